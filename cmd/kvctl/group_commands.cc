// group list|show|snapshot: the replicas of each group, by the word of their own nodes.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/types.h"
#include "cmd/kvctl/app.h"
#include "cmd/kvctl/asking.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/shards.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

// What nodes and the directory say of one group.
struct GroupView {
  std::optional<v1::Shard> shard;  // nothing: the directory's own, or not known there
  std::vector<StatusLine> replicas;
};

using Groups = std::map<std::uint64_t, GroupView>;

Groups GroupsOf(const std::vector<StatusLine>& lines, const std::vector<v1::Shard>& shards) {
  Groups groups;
  for (const v1::Shard& shard : shards) groups[shard.group_id()].shard = shard;
  for (const StatusLine& line : lines) {
    if (line.node.state() == v1::NODE_STATE_LEFT) continue;  // what it has is of no group any more
    if (line.group.group_id() != 0) groups[line.group.group_id()].replicas.push_back(line);
  }
  return groups;
}

// Its own word, of the highest term; null: nobody leads who answers.
const StatusLine* LeaderOf(const GroupView& group) {
  const StatusLine* leader = nullptr;
  for (const StatusLine& line : group.replicas) {
    if (line.group.role() != v1::ROLE_LEADER) continue;
    if (leader == nullptr || line.group.term() > leader->group.term()) leader = &line;
  }
  return leader;
}

std::string KeyspaceOf(std::uint64_t id, const GroupView& group) {
  if (group.shard) return group.shard->keyspace();
  return GroupId(id) == kDirectoryGroup ? "(directory)" : "?";
}

// Members, by the directory or the leader, whose nodes do not answer for the group.
std::vector<std::uint64_t> Silent(const GroupView& group) {
  std::vector<std::uint64_t> members;
  const StatusLine* leader = LeaderOf(group);
  if (group.shard) {
    members.assign(group.shard->voters().begin(), group.shard->voters().end());
    members.insert(members.end(), group.shard->learners().begin(), group.shard->learners().end());
  } else if (leader != nullptr) {
    for (const v1::MemberStatus& member : leader->group.members()) {
      members.push_back(member.node_id());
    }
  }
  std::erase_if(members, [&](std::uint64_t node) {
    return std::any_of(group.replicas.begin(), group.replicas.end(),
                       [&](const StatusLine& line) { return line.node_id == node; });
  });
  return members;
}

std::string Lag(const StatusLine& line) { return line.lag ? fmt::format("{}", *line.lag) : "-"; }

// "n1 leader, n2 follower, n3 ?".
std::string Roles(const GroupView& group) {
  std::map<std::uint64_t, std::string> roles;
  for (const StatusLine& line : group.replicas) roles[line.node_id] = RoleName(line.group.role());
  for (const std::uint64_t node : Silent(group)) roles[node] = "?";
  std::string text;
  for (const auto& [node, role] : roles) {
    text += fmt::format("{}n{} {}", text.empty() ? "" : ", ", node, role);
  }
  return text;
}

std::uint64_t WorstLag(const GroupView& group) {
  std::uint64_t worst = 0;
  for (const StatusLine& line : group.replicas) worst = std::max(worst, line.lag.value_or(0));
  return worst;
}

JsonObject ToJson(std::uint64_t id, const GroupView& group) {
  const StatusLine* leader = LeaderOf(group);
  JsonArray replicas;
  for (const StatusLine& line : group.replicas) {
    JsonObject json;
    json.Number64("node_id", line.node_id)
        .Text("address", line.address)
        .Bool("quiescent", line.group.quiescent());
    AddPart(line, json);
    replicas.Add(json.str());
  }
  JsonArray silent;
  for (const std::uint64_t node : Silent(group)) silent.Add(fmt::format("\"{}\"", node));
  return JsonObject()
      .Number64("group_id", id)
      .Text("keyspace", group.shard ? group.shard->keyspace() : "")
      .Number64("epoch", group.shard ? group.shard->epoch() : 0)
      .Number64("leader_id", leader == nullptr ? 0 : leader->node_id)
      .Number64("term", leader == nullptr ? 0 : leader->group.term())
      .Number64("commit_index", leader == nullptr ? 0 : leader->group.commit_index())
      .Raw("replicas", replicas.str())
      .Raw("silent", silent.str());
}

StatusOr<Groups> Ask(Session& session, const v1::ListShardsRequest& request) {
  ASSIGN_OR_RETURN(const ClusterView view, AskEveryNode(session));
  auto shards = FetchShards(session, request);
  // Nodes answer without a quorum; the directory may not.
  if (!shards.ok()) session.Note(fmt::format("no shards: {}", MessageOf(shards.status())));
  return GroupsOf(view.lines, shards.ok() ? *shards : std::vector<v1::Shard>());
}

Status ListGroups(Session& session) {
  ASSIGN_OR_RETURN(Groups groups, Ask(session, {}));
  const std::string& keyspace = session.flags.keyspace;
  std::erase_if(groups, [&](const auto& one) {
    return !keyspace.empty() && KeyspaceOf(one.first, one.second) != keyspace;
  });
  const Format format = session.FormatFor(true);
  JsonArray json;
  Table table({">group", "keyspace", "from", "to", "leader", ">term", ">commit", ">lag", "replicas",
               "state"});
  for (const auto& [id, group] : groups) {
    const StatusLine* leader = LeaderOf(group);
    const std::string name = leader == nullptr ? "?" : fmt::format("n{}", leader->node_id);
    const std::string term = leader == nullptr ? "-" : fmt::format("{}", leader->group.term());
    const std::string commit =
        leader == nullptr ? "-" : fmt::format("{}", leader->group.commit_index());
    json.Add(ToJson(id, group).str());
    if (format == Format::kPlain) {
      session.PrintLine(fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}", id, KeyspaceOf(id, group), name,
                                    term, commit, WorstLag(group), Roles(group)));
    }
    const bool idle = leader != nullptr && leader->group.quiescent();
    table.Add({fmt::format("{}", id), KeyspaceOf(id, group),
               group.shard ? From(session, *group.shard) : "-",
               group.shard ? To(session, *group.shard) : "-", name, term, commit,
               fmt::format("{}", WorstLag(group)), Roles(group),
               leader == nullptr ? "no leader" : (idle ? "asleep" : "awake")});
  }
  if (format == Format::kJson) session.PrintLine(JsonObject().Raw("groups", json.str()).str());
  if (format == Format::kTable) session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

StatusOr<GroupView> Find(Session& session, std::uint64_t id) {
  v1::ListShardsRequest request;
  if (GroupId(id) != kDirectoryGroup) request.set_group_id(id);
  ASSIGN_OR_RETURN(Groups groups, Ask(session, request));
  const auto found = groups.find(id);
  if (found != groups.end()) return std::move(found->second);
  return Error(
      Reason::kGroupNotFound,
      fmt::format("there is no group {}: `kvctl group list` lists those that there are", id));
}

Status ShowGroup(Session& session, std::uint64_t id) {
  ASSIGN_OR_RETURN(const GroupView group, Find(session, id));
  const Format format = session.FormatFor(true);
  if (format == Format::kJson) {
    session.PrintLine(ToJson(id, group).str());
    return absl::OkStatus();
  }
  Table table({"node", "address", "role", ">term", ">commit", ">applied", ">lag", ">last",
               ">snapshot", ">keys", ">disk"});
  for (const StatusLine& line : group.replicas) {
    const v1::GroupStatus& status = line.group;
    if (format == Format::kPlain) {
      session.PrintLine(fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}", line.node_id, line.address,
                                    RoleName(status.role()), status.term(), status.commit_index(),
                                    status.applied_index(), Lag(line)));
    }
    table.Add({fmt::format("n{}", line.node_id), line.address, RoleName(status.role()),
               fmt::format("{}", status.term()), fmt::format("{}", status.commit_index()),
               fmt::format("{}", status.applied_index()), Lag(line),
               fmt::format("{}", status.last_index()), fmt::format("{}", status.snapshot_index()),
               fmt::format("~{}", status.keys_estimate()), HumanBytes(status.disk_bytes())});
  }
  for (const std::uint64_t node : Silent(group)) {
    if (format == Format::kPlain) session.PrintLine(fmt::format("{}\t-\t?\t-\t-\t-\t-", node));
    table.Add({fmt::format("n{}", node), "-", "no answer", "-", "-", "-", "-", "-", "-", "-", "-"});
  }
  if (format == Format::kTable) session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

Status Snapshot(Session& session, std::uint64_t id, const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  std::vector<std::uint64_t> nodes;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(nodes.emplace_back(), FindNode(session, name));
  }
  if (names.empty()) {
    ASSIGN_OR_RETURN(const GroupView group, Find(session, id));
    for (const StatusLine& line : group.replicas) nodes.push_back(line.node_id);
    const std::vector<std::uint64_t> silent = Silent(group);
    nodes.insert(nodes.end(), silent.begin(), silent.end());
  }
  // Every node gets its turn, whatever becomes of another.
  Status failed;
  JsonArray json;
  for (const std::uint64_t node : nodes) {
    v1::TriggerSnapshotRequest request;
    request.set_group_id(id);
    request.set_node_id(node);
    const auto taken = admin->TriggerSnapshot(request);
    if (!taken.ok()) {
      failed = Annotate(taken.status(), fmt::format("n{}", node));
      continue;
    }
    json.Add(JsonObject()
                 .Number64("node_id", node)
                 .Number64("index", taken->index())
                 .Number64("bytes", taken->bytes())
                 .str());
    if (session.FormatFor(false) != Format::kJson) {
      session.PrintLine(fmt::format("n{}: snapshot at index {}, {}", node, taken->index(),
                                    HumanBytes(taken->bytes())));
    }
  }
  if (session.FormatFor(false) == Format::kJson) {
    session.PrintLine(JsonObject().Raw("snapshots", json.str()).str());
  }
  return failed;
}

}  // namespace

void AddGroupCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  auto id = std::make_shared<std::uint64_t>(0);
  auto nodes = std::make_shared<std::vector<std::string>>();
  CLI::App* group = app.add_subcommand("group", "The Raft groups behind the shards");
  group->require_subcommand(1);
  CLI::App* command = group->add_subcommand("list", "Show them: leader, term, who is behind");
  command->callback([=, &session] { run(ListGroups(session)); });
  command = group->add_subcommand("show", "Show the replicas of one");
  command->add_option("GROUP", *id, "its number, which is its shard's")->required();
  command->callback([=, &session] { run(ShowGroup(session, *id)); });
  command = group->add_subcommand("snapshot", "Take a snapshot now and let the log before it go");
  command->add_option("GROUP", *id, "its number")->required();
  command->add_option("NODE", *nodes, "of which nodes; default: all that have a replica");
  command->callback([=, &session] { run(Snapshot(session, *id, *nodes)); });
}

}  // namespace flotilla::kvctl
