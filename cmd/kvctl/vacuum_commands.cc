// vacuum status|run: the collector of old versions, on every node.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/timestamp.h"
#include "base/types.h"
#include "cmd/kvctl/app.h"
#include "cmd/kvctl/asking.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

// For one group on one node; a node that does not answer any more is noticed sooner.
constexpr Duration kRunTimeout = std::chrono::hours(1);

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + static_cast<double>(duration.nanos()) / 1e9;
}

std::string Keyspace(const v1::GroupVacuum& group) {
  if (!group.keyspace().empty()) return group.keyspace();
  return GroupId(group.group_id()) == kDirectoryGroup ? "(directory)" : "?";
}

bool Wanted(const Session& session, const v1::GroupVacuum& group) {
  return session.flags.keyspace.empty() || session.flags.keyspace == Keyspace(group);
}

JsonObject ToJson(const v1::VacuumRunStatus& run) {
  JsonObject json;
  json.Number64("runs", run.runs())
      .Bool("running", run.running())
      .Number64("ended_at_seconds", static_cast<std::uint64_t>(run.ended_at().seconds()))
      .Number("took_seconds", Seconds(run.took()))
      .Number64("versions_dropped", run.versions_dropped())
      .Number64("bytes_before", run.bytes_before())
      .Number64("bytes_after", run.bytes_after())
      .Text("failure", run.failure());
  return json;
}

std::string ReaderName(const v1::OldReader& reader) {
  return fmt::format("transaction {} of n{}", reader.transaction_id(), reader.node_id());
}

std::string LastRun(const v1::VacuumRunStatus& run) {
  if (run.running()) return "under way";
  if (run.runs() == 0) return "none";
  if (!run.failure().empty()) return run.failure();
  return fmt::format("{} dropped in {:.1f}s", run.versions_dropped(), Seconds(run.took()));
}

void AddGroup(Session& session, Format format, const v1::VacuumStatusResponse& node,
              const v1::GroupVacuum& group, Table& table, JsonArray& json) {
  const std::string reader = group.held_up() ? ReaderName(node.oldest_reader()) : "";
  if (format == Format::kJson) {
    JsonObject one;
    one.Number64("node_id", node.node_id())
        .Number64("group_id", group.group_id())
        .Text("keyspace", group.keyspace())
        .Number64("versions", group.versions())
        .Number64("dead_versions", group.dead_versions())
        .Number64("dead_bytes", group.dead_bytes())
        .Number64("due_versions", group.due_versions())
        .Number64("file_bytes", group.file_bytes())
        .Number64("safe_point", group.safe_point())
        .Number("safe_point_age_seconds", Seconds(group.safe_point_age()))
        .Bool("held_up", group.held_up())
        .Number64("collected_total", group.collected_total());
    if (group.has_retention()) one.Number("retention_seconds", Seconds(group.retention()));
    json.Add(one.Raw("last_run", ToJson(group.last_run()).str()).str());
  } else if (format == Format::kPlain) {
    session.PrintLine(fmt::format(
        "n{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}", node.node_id(), group.group_id(), Keyspace(group),
        group.versions(), group.dead_versions(), group.due_versions(), group.file_bytes(), reader));
  } else {
    table.Add({fmt::format("n{}", node.node_id()), fmt::format("{}", group.group_id()),
               Keyspace(group), fmt::format("{}", group.versions()),
               fmt::format("{}", group.dead_versions()), HumanBytes(group.dead_bytes()),
               fmt::format("{}", group.due_versions()), HumanBytes(group.file_bytes()),
               group.safe_point() == 0
                   ? "all"
                   : HumanSeconds(static_cast<std::uint64_t>(group.safe_point_age().seconds())),
               reader.empty() ? "-" : reader, LastRun(group.last_run())});
  }
}

Status ShowStatus(Session& session) {
  ASSIGN_OR_RETURN(const std::set<std::string> nodes, AnsweringNodes(session));
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  const Format format = session.FormatFor(true);
  Table table({"node", ">group", "keyspace", ">versions", ">dead", ">bytes", ">due", ">files",
               ">kept", "held up by", "last run"});
  JsonArray groups;
  JsonArray readers;
  for (const std::string& address : nodes) {
    const auto node = admin->VacuumStatus(address);
    if (!node.ok()) {
      session.Note(fmt::format("not shown: {}", MessageOf(node.status())));
      continue;
    }
    for (const v1::GroupVacuum& group : node->groups()) {
      if (Wanted(session, group)) AddGroup(session, format, *node, group, table, groups);
    }
    if (!node->has_oldest_reader()) continue;
    const v1::OldReader& reader = node->oldest_reader();
    readers.Add(JsonObject()
                    .Number64("heard_by", node->node_id())
                    .Number64("transaction_id", reader.transaction_id())
                    .Number64("node_id", reader.node_id())
                    .Number64("read_timestamp", reader.read_timestamp())
                    .str());
  }
  if (format == Format::kJson) {
    session.PrintLine(
        JsonObject().Raw("groups", groups.str()).Raw("oldest_readers", readers.str()).str());
  } else if (format == Format::kTable) {
    session.Print(table.Render(session.Color()));
  }
  return absl::OkStatus();
}

// Where a group is, leaders first: they move its time, by which the others go.
struct Place {
  std::string address;
  std::uint64_t node_id = 0;
  std::uint64_t group_id = 0;
  bool leads = false;
};

StatusOr<std::vector<Place>> PlacesOf(Session& session, const std::vector<std::uint64_t>& wanted) {
  ASSIGN_OR_RETURN(const ClusterView view, AskEveryNode(session));
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  std::map<std::string, std::set<std::uint64_t>> of_keyspace;
  std::vector<Place> places;
  for (const StatusLine& line : view.lines) {
    if (!line.reachable || line.group.group_id() == 0) continue;
    const bool named =
        wanted.empty() || std::ranges::find(wanted, line.group.group_id()) != wanted.end();
    if (!named) continue;
    if (!session.flags.keyspace.empty()) {
      if (!of_keyspace.contains(line.address)) {
        std::set<std::uint64_t>& groups = of_keyspace[line.address];
        ASSIGN_OR_RETURN(const v1::VacuumStatusResponse node, admin->VacuumStatus(line.address));
        for (const v1::GroupVacuum& group : node.groups()) {
          if (Wanted(session, group)) groups.insert(group.group_id());
        }
      }
      if (!of_keyspace[line.address].contains(line.group.group_id())) continue;
    }
    places.push_back({.address = line.address,
                      .node_id = line.node_id,
                      .group_id = line.group.group_id(),
                      .leads = line.group.role() == v1::ROLE_LEADER});
  }
  std::ranges::sort(places, {}, [](const Place& place) {
    return std::tuple(place.group_id, !place.leads, place.node_id);
  });
  if (!places.empty()) return places;
  return Error(Reason::kGroupNotFound,
               "no node that answers has such a group: `kvctl vacuum status` lists them");
}

Status Run(Session& session, const std::vector<std::uint64_t>& groups) {
  ASSIGN_OR_RETURN(const std::vector<Place> places, PlacesOf(session, groups));
  ASSIGN_OR_RETURN(auto* const regular, session.Admin());
  client::Admin admin(regular->endpoints(), kRunTimeout);
  const Format format = session.FormatFor(true);
  Table table({"node", ">group", ">dropped", ">before", ">after", ">took"});
  JsonArray json;
  Status failed;
  std::uint64_t done = 0;
  for (const Place& place : places) {
    session.Progress(fmt::format("group {} on n{} ({} of {})", place.group_id, place.node_id,
                                 ++done, places.size()));
    const auto response = admin.VacuumRun(place.address, place.group_id);
    if (!response.ok()) {
      // Every group gets its turn, whatever becomes of another.
      failed = Annotate(response.status(),
                        fmt::format("group {} on n{}", place.group_id, place.node_id));
      continue;
    }
    const v1::VacuumRunStatus& run = response->run();
    const std::string took = fmt::format("{:.1f}s", Seconds(run.took()));
    if (format == Format::kJson) {
      json.Add(ToJson(run)
                   .Number64("node_id", place.node_id)
                   .Number64("group_id", place.group_id)
                   .str());
    } else if (format == Format::kPlain) {
      session.PrintLine(fmt::format("n{}\t{}\t{}\t{}\t{}\t{}", place.node_id, place.group_id,
                                    run.versions_dropped(), run.bytes_before(), run.bytes_after(),
                                    took));
    } else {
      table.Add({fmt::format("n{}", place.node_id), fmt::format("{}", place.group_id),
                 fmt::format("{}", run.versions_dropped()), HumanBytes(run.bytes_before()),
                 HumanBytes(run.bytes_after()), took});
    }
  }
  session.Progress("");
  if (format == Format::kJson) session.PrintLine(JsonObject().Raw("runs", json.str()).str());
  if (format == Format::kTable) session.Print(table.Render(session.Color()));
  return failed;
}

}  // namespace

void AddVacuumCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  auto groups = std::make_shared<std::vector<std::uint64_t>>();
  CLI::App* vacuum = app.add_subcommand("vacuum", "The collector of old versions");
  vacuum->require_subcommand(1);
  CLI::App* command = vacuum->add_subcommand(
      "status", "Show what old versions there are on each node, and who holds them up");
  command->callback([=, &session] { run(ShowStatus(session)); });
  command = vacuum->add_subcommand(
      "run", "Drop what neither the retention nor a reader keeps; of --keyspace, or of all");
  command->add_option("GROUP", *groups, "of these groups alone");
  command->callback([=, &session] { run(Run(session, *groups)); });
}

}  // namespace flotilla::kvctl
