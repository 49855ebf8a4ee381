// txn, txn list|show|abort.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <set>
#include <sstream>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/asking.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/line_editor.h"
#include "cmd/kvctl/locks.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/txn_script.h"

namespace flotilla::kvctl {
namespace {

struct TxnFlags {
  std::string file;
  std::string commands;
  std::string isolation = "serializable";
  bool read_only = false;
  bool pessimistic = false;
  std::string lifetime = "60s";
  std::string lock_timeout;
};

StatusOr<Duration> DurationOf(const char* flag, const std::string& text) {
  const auto duration = ParseDuration(text);
  if (duration) return *duration;
  return Error(Reason::kBadRequest,
               fmt::format("{} {} is not a duration: write 30s or 5m", flag, text));
}

StatusOr<client::TransactionOptions> OptionsOf(const Session& session, const TxnFlags& flags) {
  client::TransactionOptions options;
  ASSIGN_OR_RETURN(options.isolation, IsolationNamed(flags.isolation));
  options.read_only = flags.read_only || session.flags.at != 0;
  options.read_timestamp = Timestamp(session.flags.at);
  ASSIGN_OR_RETURN(options.timeout, DurationOf("--lifetime", flags.lifetime));
  if (flags.pessimistic) options.locking = client::Locking::kPessimistic;
  if (!flags.lock_timeout.empty()) {
    ASSIGN_OR_RETURN(options.lock_timeout, DurationOf("--lock-timeout", flags.lock_timeout));
  }
  return options;
}

// Up to its first error. `next` gives line after line, and false at the end.
Status RunScript(Session& session, const client::TransactionOptions& options,
                 const std::string& name, const std::function<bool(std::string&)>& next) {
  TxnScript script(session, options, /*interactive=*/false);
  std::string line;
  for (int number = 1; next(line); ++number) {
    for (const std::string& one : CommandsOf(line)) {
      if (const Status status = script.Run(one); !status.ok()) {
        return Annotate(status, fmt::format("{}:{}", name, number));
      }
    }
    std::fflush(stdout);  // for a program that waits for it
  }
  return script.Finish();
}

void RunInteractively(Session& session, const client::TransactionOptions& options) {
  TxnScript script(session, options, /*interactive=*/true);
  LineEditor editor("txn> ", TxnScript::Complete, HistoryFile());
  for (;;) {
    // With a star: a transaction is open.
    editor.SetPrompt(script.open() ? "txn*> " : "txn> ");
    const auto line = editor.Next();
    if (!line) session.PrintLine("");
    if (!line || *line == "exit" || *line == "quit") break;
    for (const std::string& command : CommandsOf(*line)) {
      if (const Status status = script.Run(command); !status.ok()) {
        session.Fail(status);
        break;
      }
    }
    std::fflush(stdout);
  }
  session.exit_code = kDone;
  if (!script.Finish().ok()) session.Note("the transaction has been rolled back");
}

Status Transact(Session& session, const TxnFlags& flags) {
  ASSIGN_OR_RETURN(const client::TransactionOptions options, OptionsOf(session, flags));
  if (flags.file.empty() && flags.commands.empty() && LineEditor::AtTerminal()) {
    RunInteractively(session, options);
    return absl::OkStatus();
  }
  if (flags.commands.empty() && (flags.file.empty() || flags.file == "-")) {
    return RunScript(session, options, "standard input", [](std::string& line) {
      return static_cast<bool>(std::getline(std::cin, line));
    });
  }
  std::string text = flags.commands;
  if (text.empty()) {
    ASSIGN_OR_RETURN(text, Session::ReadFile(flags.file));
  }
  std::istringstream lines(text);
  return RunScript(
      session, options, flags.commands.empty() ? flags.file : "-c",
      [&lines](std::string& line) { return static_cast<bool>(std::getline(lines, line)); });
}

Status NotOpen(std::uint64_t id) {
  return Error(
      Reason::kTxnNotFound,
      fmt::format("no node has transaction {} open: it has ended, or is being committed", id));
}

// Of all nodes, oldest first.
StatusOr<std::vector<v1::TransactionStatus>> OpenTransactions(Session& session) {
  ASSIGN_OR_RETURN(const std::set<std::string> nodes, AnsweringNodes(session));
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  std::vector<v1::TransactionStatus> open;
  for (const std::string& node : nodes) {
    const auto some = admin->ListTransactions(node);
    if (some.ok()) {
      open.insert(open.end(), some->transactions().begin(), some->transactions().end());
    } else {
      session.Note(fmt::format("not listed: {}", MessageOf(some.status())));
    }
  }
  std::sort(open.begin(), open.end(),
            [](const auto& a, const auto& b) { return a.transaction_id() < b.transaction_id(); });
  return open;
}

// `only`: no others; 0: all.
Status ListTransactions(Session& session, std::uint64_t only) {
  ASSIGN_OR_RETURN(std::vector<v1::TransactionStatus> open, OpenTransactions(session));
  if (only != 0) {
    std::erase_if(open, [&](const auto& one) { return one.transaction_id() != only; });
    if (open.empty()) return NotOpen(only);
  }
  const Format format = session.FormatFor(true);
  Table table(
      {">transaction", "node", ">age", "isolation", "locking", "phase", ">written", ">read"});
  JsonArray json;
  for (const v1::TransactionStatus& one : open) {
    const std::string isolation = Lower(v1::Isolation_Name(one.isolation()), "ISOLATION_");
    const std::string locking = Lower(v1::Locking_Name(one.locking()), "LOCKING_");
    const std::string phase = Lower(v1::TransactionPhase_Name(one.phase()), "TRANSACTION_PHASE_");
    const std::int64_t age_ms = one.age().seconds() * 1000 + one.age().nanos() / 1'000'000;
    const std::string age = fmt::format("{:.1f}s", static_cast<double>(age_ms) / 1000);
    if (format == Format::kJson) {
      json.Add(JsonObject()
                   .Number64("transaction_id", one.transaction_id())
                   .Number64("node_id", one.node_id())
                   .Number64("age_ms", static_cast<std::uint64_t>(age_ms))
                   .Text("isolation", isolation)
                   .Text("locking", locking)
                   .Text("phase", phase)
                   .Number64("keys_written", one.keys_written())
                   .Number64("keys_read", one.keys_read())
                   .str());
    } else if (format == Format::kPlain) {
      session.PrintLine(fmt::format("{}\tn{}\t{}\t{}\t{}", one.transaction_id(), one.node_id(), age,
                                    isolation, phase));
    } else {
      table.Add({fmt::format("{}", one.transaction_id()), fmt::format("n{}", one.node_id()), age,
                 isolation, locking, phase, fmt::format("{}", one.keys_written()),
                 fmt::format("{}", one.keys_read())});
    }
  }
  if (format == Format::kJson) {
    session.PrintLine(JsonObject().Raw("transactions", json.str()).str());
  } else if (format == Format::kTable) {
    session.Print(table.Render(session.Color()));
  }
  return absl::OkStatus();
}

// No node knows of the others' transactions: all of them are asked.
Status AbortTransaction(Session& session, std::uint64_t id) {
  ASSIGN_OR_RETURN(const std::set<std::string> nodes, AnsweringNodes(session));
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  Status last;
  for (const std::string& node : nodes) {
    last = admin->AbortTransaction(node, id);
    if (last.ok()) {
      Report(session, JsonObject().Number64("transaction_id", id).Text("address", node),
             fmt::format("transaction {} has been rolled back", id));
      return absl::OkStatus();
    }
    if (ReasonOf(last) != Reason::kTxnNotFound) return last;
  }
  return NotOpen(id);
}

}  // namespace

void AddTxnCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  auto flags = std::make_shared<TxnFlags>();
  auto id = std::make_shared<std::uint64_t>(0);
  CLI::App* txn = app.add_subcommand("txn", "Read and write many keys in one transaction");
  txn->require_subcommand(0, 1);
  CLI::Option* const file =
      txn->add_option("-f,--file", flags->file, "the commands; - reads standard input");
  txn->add_option("-c,--commands", flags->commands, "the commands, separated by semicolons")
      ->excludes(file);
  txn->add_option("--isolation", flags->isolation,
                  "read-uncommitted, read-committed, repeatable-read or serializable (default)");
  txn->add_flag("--read-only", flags->read_only, "nothing will be written; --at implies it");
  txn->add_flag("--pessimistic", flags->pessimistic,
                "lock what is written, and, if serializable, what is read, on the way");
  txn->add_option("--lock-timeout", flags->lock_timeout,
                  "how long to wait for a lock; default: as long as --timeout");
  txn->add_option("--lifetime", flags->lifetime,
                  "a transaction that takes longer is rolled back; default 60s, up to 10m");
  txn->footer(std::string("From a terminal without -f and -c: type them.\n") + kTxnCommands);
  txn->callback([=, &session] {
    if (txn->get_subcommands().empty()) run(Transact(session, *flags));
  });
  CLI::App* command = txn->add_subcommand("list", "Show the transactions that are open");
  command->callback([=, &session] { run(ListTransactions(session, 0)); });
  command = txn->add_subcommand("show", "Show a transaction, and what it has locked");
  command->add_option("TRANSACTION", *id, "its number")->required();
  command->callback([=, &session] {
    Status status = ListTransactions(session, *id);
    if (status.ok()) status = ListLocks(session, *id);
    run(status);
  });
  command = txn->add_subcommand("abort", "Roll a transaction back");
  command->add_option("TRANSACTION", *id, "its number")->required();
  command->callback([=, &session] { run(AbortTransaction(session, *id)); });
}

}  // namespace flotilla::kvctl
