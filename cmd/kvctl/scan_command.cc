// scan.
#include <fmt/format.h>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/rows.h"
#include "cmd/kvctl/table.h"

namespace flotilla::kvctl {
namespace {

struct ScanFlags {
  std::string prefix;
  std::string from;
  std::string to;
  std::uint64_t limit = 0;
  bool reverse = false;
  bool keys_only = false;
};

// A table needs all rows to know its widths; beyond this many, it comes in pieces.
constexpr std::size_t kTableRowsMax = 1000;

class Printer {
 public:
  Printer(Session& session, bool keys_only)
      : session_(session), keys_only_(keys_only), format_(session.FormatFor(true)) {
    if (format_ == Format::kJson) session_.Print("{\"rows\":[");
  }

  void Add(const client::Row& row) {
    ++count_;
    if (format_ == Format::kJson) {
      session_.Print(count_ > 1 ? ",\n" : "\n");
      session_.Print(RowJson(row, keys_only_));
    } else if (format_ == Format::kTable) {
      rows_.push_back({session_.Show(row.key), keys_only_ ? "" : session_.Show(row.value),
                       fmt::format("{}", row.version.value())});
      if (rows_.size() >= kTableRowsMax) FlushTable();
    } else {
      session_.PrintLine(keys_only_ ? session_.Show(row.key)
                                    : session_.Show(row.key) + "\t" + session_.Show(row.value));
    }
  }

  // `complete`: no error came in between.
  void Finish(bool complete) {
    if (format_ == Format::kJson) {
      session_.Print(fmt::format("\n],\"count\":\"{}\",\"complete\":{}}}\n", count_, complete));
    } else if (format_ == Format::kTable) {
      FlushTable();
    }
    session_.Detail(fmt::format("{} rows", count_));
  }

 private:
  void FlushTable() {
    if (rows_.empty()) return;
    Table table(keys_only_ ? std::vector<std::string>{"key", ">version"}
                           : std::vector<std::string>{"key", "value", ">version"});
    for (auto& row : rows_) {
      if (keys_only_) row.erase(row.begin() + 1);
      table.Add(std::move(row));
    }
    rows_.clear();
    session_.Print(table.Render(session_.Color()));
  }

  Session& session_;
  const bool keys_only_;
  const Format format_;
  std::uint64_t count_ = 0;
  std::vector<std::vector<std::string>> rows_;
};

Status Scan(Session& session, const ScanFlags& flags) {
  if (!flags.prefix.empty() && !(flags.from + flags.to).empty()) {
    return Error(Reason::kBadRequest, "--prefix and --from or --to are given: choose one");
  }
  client::ScanOptions options;
  ASSIGN_OR_RETURN(options.prefix, session.Argument(flags.prefix));
  ASSIGN_OR_RETURN(options.start, session.Argument(flags.from));
  ASSIGN_OR_RETURN(options.end, session.Argument(flags.to));
  options.limit = flags.limit;
  options.reverse = flags.reverse;
  options.keys_only = flags.keys_only;
  options.read = session.ReadOptions();
  ASSIGN_OR_RETURN(auto* const client, session.Client());
  client::Scanner scanner = client->Scan(options);
  // An error of the first page comes before any output.
  const bool any = scanner.Next();
  if (!scanner.status().ok()) return scanner.status();
  Printer printer(session, flags.keys_only);
  if (any) {
    do {
      printer.Add(scanner.row());
    } while (scanner.Next());
  }
  printer.Finish(scanner.status().ok());
  return scanner.status();
}

}  // namespace

void AddScanCommand(CLI::App& app, Session& session) {
  auto flags = std::make_shared<ScanFlags>();
  CLI::App* command = app.add_subcommand("scan", "List keys in order");
  command->add_option("--prefix", flags->prefix, "keys that start so");
  command->add_option("--from", flags->from, "keys from this one on");
  command->add_option("--to", flags->to, "up to this one, itself not");
  command->add_option("--limit", flags->limit, "rows at most; 0: all");
  command->add_flag("--reverse", flags->reverse, "the last key first");
  command->add_flag("--keys-only", flags->keys_only, "no values");
  command->callback([=, &session] {
    const Status status = Scan(session, *flags);
    if (!status.ok()) session.Fail(status);
  });
}

}  // namespace flotilla::kvctl
