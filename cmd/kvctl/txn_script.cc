#include "cmd/kvctl/txn_script.h"

#include <fmt/format.h>

#include <utility>

#include "client/retry.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/rows.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

constexpr std::pair<const char*, client::Isolation> kLevels[] = {
    {"read-uncommitted", client::Isolation::kReadUncommitted},
    {"read-committed", client::Isolation::kReadCommitted},
    {"repeatable-read", client::Isolation::kRepeatableRead},
    {"serializable", client::Isolation::kSerializable}};

constexpr const char* kWords[] = {"begin",     "get",      "put",    "delete", "scan",
                                  "savepoint", "rollback", "commit", "help",   "exit"};

Status Mistake(std::string_view usage) {
  return Error(Reason::kBadRequest, fmt::format("expected `{}`", usage));
}

// `for update|share [nowait|skip-locked]`, at the end; it is taken out.
Status TakeLock(std::vector<std::string>& words, client::TxnCallOptions& options) {
  std::size_t count = words.size();
  client::TxnLock lock;
  if (count >= 3 && words[count - 3] == "for") {
    const std::string& patience = words[--count];
    if (patience == "nowait") {
      lock.patience = client::TxnLock::Patience::kNoWait;
    } else if (patience == "skip-locked") {
      lock.patience = client::TxnLock::Patience::kSkipLocked;
    } else {
      return Mistake("... for update|share [nowait|skip-locked]");
    }
  }
  if (count < 2 || words[count - 2] != "for") return absl::OkStatus();
  const std::string& strength = words[count - 1];
  if (strength != "update" && strength != "share") {
    return Mistake("... for update|share [nowait|skip-locked]");
  }
  lock.share = strength == "share";
  options.lock = lock;
  words.resize(count - 2);
  return absl::OkStatus();
}

// It is over, whatever was to come.
bool Ends(const Status& status) {
  if (ReasonOf(status) == Reason::kLockTimeout) return false;
  return InfoOf(ReasonOf(status)).retry == Retry::kRestartTxn ||
         ReasonOf(status) == Reason::kUnreachable || ReasonOf(status) == Reason::kTxnNotFound;
}

}  // namespace

const char kTxnCommands[] =
    "begin [LEVEL] [read-only|pessimistic]\n"
    "                            read-uncommitted, read-committed, repeatable-read, serializable\n"
    "get KEY...                  put KEY VALUE       delete KEY...       scan [FROM [TO]]\n"
    "get KEY... for update|share [nowait|skip-locked]                    scan ... for update|share "
    "...\n"
    "savepoint NAME              rollback [to NAME]  commit\n"
    "Words with blanks go in quotes; `#` starts a comment. Without `begin` the first command "
    "begins.";

StatusOr<client::Isolation> IsolationNamed(const std::string& name) {
  for (const auto& [text, level] : kLevels) {
    if (name == text) return level;
  }
  return Error(Reason::kBadRequest,
               fmt::format("'{}' is no isolation level: read-uncommitted, read-committed, "
                           "repeatable-read or serializable",
                           name));
}

std::vector<std::string> CommandsOf(std::string_view line) {
  std::vector<std::string> commands(1);
  char quote = '\0';
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    std::string& command = commands.back();
    if (c == '#' && command.find_first_not_of(" \t") == std::string::npos) break;
    if (c == ';' && quote == '\0') {
      commands.emplace_back();
      continue;
    }
    if ((c == '"' || c == '\'') && (quote == '\0' || quote == c)) {
      quote = quote == '\0' ? c : '\0';
    }
    command += c;
    if (c == '\\' && quote != '\'' && i + 1 < line.size()) command += line[++i];
  }
  return commands;
}

std::vector<std::string> TxnScript::Complete(const std::vector<std::string>& words) {
  std::vector<std::string> candidates;
  const auto offer = [&](std::string_view word) {
    if (word.starts_with(words.back())) candidates.emplace_back(word);
  };
  if (words.size() == 1) {
    for (const char* word : kWords) offer(word);
  } else if (words.front() == "begin") {
    for (const auto& [text, level] : kLevels) offer(text);
    offer("read-only");
    offer("pessimistic");
  } else if (words.size() > 2 && (words.front() == "get" || words.front() == "scan")) {
    const std::string& before = words[words.size() - 2];
    if (before == "for") {
      offer("update");
      offer("share");
    } else if (before == "update" || before == "share") {
      offer("nowait");
      offer("skip-locked");
    } else {
      offer("for");
    }
  } else if (words.front() == "rollback") {
    offer("to");
  }
  return candidates;
}

Status TxnScript::Run(const std::string& command) {
  std::string mistake;
  auto words = SplitWords(command, &mistake);
  if (!words) return Error(Reason::kBadRequest, mistake);
  if (words->empty() || words->front().starts_with("#")) return absl::OkStatus();
  const bool was_open = open();
  const Status status = RunWords(*words);
  if (!status.ok() && open() && Ends(status)) txn_ = nullptr;
  const bool over = was_open && !open();
  if (interactive_ && !status.ok() && over && ReasonOf(status) != Reason::kOutcomeUnknown) {
    session_.Note("the transaction has been rolled back");
  }
  return status;
}

Status TxnScript::RunWords(const Words& words) {
  const std::string& name = words.front();
  Words arguments(words.begin() + 1, words.end());
  if (name == "help") {
    session_.PrintLine(kTxnCommands);
    return absl::OkStatus();
  }
  if (name == "begin") return Begin(arguments);
  if (name == "rollback") return RollBack(arguments);
  if (name == "commit") return arguments.empty() ? Commit() : Mistake("commit");
  if (name == "savepoint") {
    if (arguments.size() != 1) return Mistake("savepoint NAME");
    ASSIGN_OR_RETURN(client::Transaction* const txn, Open());
    RETURN_IF_ERROR(txn->SetSavepoint(arguments[0]));
    return Taken();
  }
  client::TxnCallOptions options;
  if (name == "get" || name == "scan") RETURN_IF_ERROR(TakeLock(arguments, options));
  for (std::string& argument : arguments) {
    ASSIGN_OR_RETURN(argument, session_.Argument(argument));
  }
  if (name == "get") return arguments.empty() ? Mistake("get KEY...") : Get(arguments, options);
  if (name == "scan")
    return arguments.size() > 2 ? Mistake("scan [FROM [TO]]") : Scan(arguments, options);
  if (name == "put") {
    if (arguments.size() != 2) return Mistake("put KEY VALUE");
    ASSIGN_OR_RETURN(client::Transaction* const txn, Open());
    wrote_ = true;
    RETURN_IF_ERROR(txn->Put(arguments[0], arguments[1]));
    return Taken();
  }
  if (name == "delete") {
    if (arguments.empty()) return Mistake("delete KEY...");
    ASSIGN_OR_RETURN(client::Transaction* const txn, Open());
    wrote_ = true;
    for (const std::string& key : arguments) RETURN_IF_ERROR(txn->Delete(key));
    return Taken();
  }
  return Error(Reason::kBadRequest,
               fmt::format("'{}' is no command of a transaction: `help` lists them", name));
}

StatusOr<client::Transaction*> TxnScript::Open() {
  if (txn_ == nullptr) {
    ASSIGN_OR_RETURN(auto* const client, session_.Client());
    txn_ = client->Begin(options_);
    wrote_ = false;
  }
  return txn_.get();
}

Status TxnScript::Taken() {
  RETURN_IF_ERROR(txn_->Flush());
  Say("ok");
  return absl::OkStatus();
}

void TxnScript::Say(std::string_view words) {
  if (interactive_ && session_.FormatFor(false) != Format::kJson) session_.PrintLine(words);
}

Status TxnScript::Begin(const Words& words) {
  if (txn_ != nullptr) {
    return Error(Reason::kBadRequest, "a transaction is open: commit it, or roll it back, first");
  }
  client::TransactionOptions options = options_;
  for (const std::string& word : words) {
    if (word == "read-only") {
      options.read_only = true;
    } else if (word == "pessimistic") {
      options.locking = client::Locking::kPessimistic;
    } else {
      ASSIGN_OR_RETURN(options.isolation, IsolationNamed(word));
    }
  }
  ASSIGN_OR_RETURN(auto* const client, session_.Client());
  auto txn = client->Begin(options);
  RETURN_IF_ERROR(txn->Flush());
  txn_ = std::move(txn);
  wrote_ = false;
  if (session_.FormatFor(false) == Format::kJson) {
    session_.PrintLine(JsonObject().Number64("transaction_id", txn_->id()).str());
  } else {
    Say(fmt::format("transaction {}", txn_->id()));
  }
  return absl::OkStatus();
}

Status TxnScript::Get(const Words& keys, const client::TxnCallOptions& options) {
  ASSIGN_OR_RETURN(client::Transaction* const txn, Open());
  ASSIGN_OR_RETURN(const std::vector<client::GetResult> results, txn->BatchGet(keys, options));
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (session_.FormatFor(false) == Format::kJson) {
      session_.PrintLine(GetJson(keys[i], results[i]));
    } else if (results[i].skipped) {
      session_.Note(fmt::format("key {} is locked", session_.Show(keys[i])));
    } else if (!results[i].found) {
      session_.Note(fmt::format("key {} does not exist", session_.Show(keys[i])));
    } else if (keys.size() == 1) {
      session_.PrintLine(session_.Show(results[i].value));
    } else {
      session_.PrintLine(session_.Show(keys[i]) + "\t" + session_.Show(results[i].value));
    }
  }
  return absl::OkStatus();
}

Status TxnScript::Scan(const Words& bounds, const client::TxnCallOptions& options) {
  client::ScanOptions range;
  if (!bounds.empty()) range.start = bounds[0];
  if (bounds.size() > 1) range.end = bounds[1];
  ASSIGN_OR_RETURN(client::Transaction* const txn, Open());
  std::string token;
  do {
    ASSIGN_OR_RETURN(client::ScanPage page, txn->GetPage(range, token, options));
    for (const client::Row& row : page.rows) {
      session_.PrintLine(session_.FormatFor(false) == Format::kJson
                             ? RowJson(row, /*keys_only=*/false)
                             : session_.Show(row.key) + "\t" + session_.Show(row.value));
    }
    token = std::move(page.continuation_token);
  } while (!token.empty());
  return absl::OkStatus();
}

Status TxnScript::RollBack(const Words& words) {
  if (!words.empty() && (words.size() != 2 || words[0] != "to")) {
    return Mistake("rollback [to NAME]");
  }
  if (txn_ == nullptr) return Error(Reason::kBadRequest, "no transaction is open");
  if (!words.empty()) {
    RETURN_IF_ERROR(txn_->RollBackTo(words[1]));
    return Taken();
  }
  txn_ = nullptr;
  if (session_.FormatFor(false) == Format::kJson) {
    session_.PrintLine(JsonObject().Bool("committed", false).str());
  } else {
    session_.PrintLine("rolled back");
  }
  return absl::OkStatus();
}

Status TxnScript::Commit() {
  if (txn_ == nullptr) return Error(Reason::kBadRequest, "no transaction is open");
  const auto txn = std::move(txn_);
  ASSIGN_OR_RETURN(const Timestamp timestamp, txn->Commit());
  if (session_.FormatFor(false) == Format::kJson) {
    session_.PrintLine(
        JsonObject().Bool("committed", true).Number64("timestamp", timestamp.value()).str());
  } else {
    session_.PrintLine("committed");
    session_.Detail(fmt::format("at timestamp {}", timestamp.value()));
  }
  return absl::OkStatus();
}

Status TxnScript::Finish() {
  const auto txn = std::move(txn_);
  if (txn == nullptr || !wrote_) return absl::OkStatus();
  return Error(Reason::kBadRequest,
               "the transaction was rolled back: end the script with `commit` or `rollback`");
}

}  // namespace flotilla::kvctl
