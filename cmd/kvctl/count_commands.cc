// count, sum: reckoned where the rows are.
#include <fmt/format.h>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

struct CountFlags {
  std::string prefix;
  std::string from;
  std::string to;
  std::string is;
  std::string contains;
  std::string begins;
};

Status Count(Session& session, const CountFlags& flags, const CLI::App& given, bool sum) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::AggregateRequest request;
  request.mutable_header()->set_keyspace(session.flags.keyspace);
  if (session.flags.consistency == "eventual") request.set_consistency(v1::CONSISTENCY_EVENTUAL);
  if (session.flags.at != 0) {
    request.set_consistency(v1::CONSISTENCY_SNAPSHOT);
    request.set_read_timestamp(session.flags.at);
  }
  request.set_add_up(sum);
  ASSIGN_OR_RETURN(*request.mutable_prefix(), session.Argument(flags.prefix));
  ASSIGN_OR_RETURN(*request.mutable_start(), session.Argument(flags.from));
  ASSIGN_OR_RETURN(*request.mutable_end(), session.Argument(flags.to));
  if (given.count("--value-is") > 0) {
    ASSIGN_OR_RETURN(*request.mutable_value_is(), session.Argument(flags.is));
  } else if (given.count("--value-contains") > 0) {
    ASSIGN_OR_RETURN(*request.mutable_value_contains(), session.Argument(flags.contains));
  } else if (given.count("--value-prefix") > 0) {
    ASSIGN_OR_RETURN(*request.mutable_value_prefix(), session.Argument(flags.begins));
  }
  ASSIGN_OR_RETURN(const v1::AggregateResponse total, admin->Aggregate(request));
  const Format format = session.FormatFor(false);
  if (format == Format::kTable) {
    Table table({">keys", ">bytes"});
    table.Add({fmt::format("{}", total.count()), HumanBytes(total.bytes())});
    if (sum) {
      table = Table({">sum", ">keys", ">not integers", ">bytes"});
      table.Add({fmt::format("{}", total.sum()), fmt::format("{}", total.count()),
                 fmt::format("{}", total.not_integers()), HumanBytes(total.bytes())});
    }
    session.Print(table.Render(session.Color()));
    return absl::OkStatus();
  }
  JsonObject json;
  json.Number64("count", total.count()).Number64("bytes", total.bytes());
  if (sum) {
    json.Text("sum", fmt::format("{}", total.sum())).Number64("not_integers", total.not_integers());
  }
  Report(session, json, fmt::format("{}", sum ? total.sum() : std::int64_t(total.count())));
  if (sum && total.not_integers() > 0) {
    session.Detail(
        fmt::format("{} of {} values are no integers", total.not_integers(), total.count()));
  }
  return absl::OkStatus();
}

}  // namespace

void AddCountCommands(CLI::App& app, Session& session) {
  auto flags = std::make_shared<CountFlags>();
  const auto add = [&](const char* name, const char* help, bool sum) {
    CLI::App* command = app.add_subcommand(name, help);
    CLI::Option* prefix = command->add_option("--prefix", flags->prefix, "keys that begin so");
    command->add_option("--from", flags->from, "first key")->excludes(prefix);
    command->add_option("--to", flags->to, "end, exclusive")->excludes(prefix);
    CLI::Option* is = command->add_option("--value-is", flags->is, "only such values");
    CLI::Option* contains =
        command->add_option("--value-contains", flags->contains, "only values with this in them")
            ->excludes(is);
    command->add_option("--value-prefix", flags->begins, "only values that begin so")
        ->excludes(is)
        ->excludes(contains);
    command->callback([=, &session] {
      const Status status = Count(session, *flags, *command, sum);
      if (!status.ok()) session.Fail(status);
    });
  };
  add("count", "Count keys, without bringing them here", false);
  add("sum", "Add up the values that are integers", true);
}

}  // namespace flotilla::kvctl
