// member list|add|remove|promote, leader transfer, snapshot.
#include <fmt/format.h>

#include <algorithm>

#include "base/types.h"
#include "cmd/kvctl/app.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/shards.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

// Until a node's replicas have found other places.
constexpr Duration kEmptyingTimeout = std::chrono::minutes(1);

Status ListMembers(Session& session) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  ASSIGN_OR_RETURN(const v1::ListNodesResponse nodes, admin->ListNodes());
  const Format format = session.FormatFor(true);
  if (format == Format::kJson) {
    JsonArray members;
    for (const v1::MemberStatus& node : nodes.nodes()) {
      members.Add(JsonObject()
                      .Number64("node_id", node.node_id())
                      .Text("address", node.address())
                      .Bool("voter", node.voter())
                      .Bool("active", node.active())
                      .Bool("in_snapshot", node.in_snapshot())
                      .Number64("match_index", node.match_index())
                      .str());
    }
    session.PrintLine(JsonObject().Raw("members", members.str()).str());
    return absl::OkStatus();
  }
  if (format == Format::kPlain) {
    for (const v1::MemberStatus& node : nodes.nodes()) {
      session.PrintLine(fmt::format("{}\t{}\t{}", node.node_id(), node.address(),
                                    node.voter() ? "voter" : "learner"));
    }
    return absl::OkStatus();
  }
  Table table({"node", "address", "role", "active", ">match"});
  for (const v1::MemberStatus& node : nodes.nodes()) {
    table.Add({fmt::format("n{}", node.node_id()), node.address(),
               node.voter() ? "voter" : "learner",
               node.in_snapshot() ? "snapshot"
               : node.active()    ? "yes"
                                  : "no",
               fmt::format("{}", node.match_index())});
  }
  session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

Status AddMember(Session& session, const std::string& address, bool learner) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::AddReplicaRequest request;
  request.set_address(address);
  request.set_promote(!learner);
  ASSIGN_OR_RETURN(const v1::AddReplicaResponse added, admin->AddReplica(request));
  Report(session, JsonObject().Number64("node_id", added.node_id()),
         fmt::format("added n{}{}", added.node_id(),
                     learner ? "; `kvctl member promote` lets it vote on the directory" : ""));
  return absl::OkStatus();
}

Status RemoveMember(Session& session, const std::string& name) {
  ASSIGN_OR_RETURN(const std::uint64_t node, FindNode(session, name));
  ASSIGN_OR_RETURN(const Duration timeout, session.Timeout());
  client::Admin admin(session.flags.endpoints, std::max<Duration>(timeout, kEmptyingTimeout));
  v1::RemoveReplicaRequest request;
  request.set_node_id(node);
  RETURN_IF_ERROR(admin.RemoveReplica(request).status());
  Report(session, JsonObject().Number64("node_id", node), fmt::format("removed n{}", node));
  return absl::OkStatus();
}

Status PromoteMember(Session& session, const std::string& name) {
  ASSIGN_OR_RETURN(const std::uint64_t node, FindNode(session, name));
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::PromoteReplicaRequest request;
  request.set_node_id(node);
  RETURN_IF_ERROR(admin->PromoteReplica(request).status());
  Report(session, JsonObject().Number64("node_id", node),
         fmt::format("n{} votes on the directory", node));
  return absl::OkStatus();
}

Status TransferLeadership(Session& session, const std::string& name) {
  v1::TransferLeadershipRequest request;
  if (!name.empty()) {
    ASSIGN_OR_RETURN(const std::uint64_t node, FindNode(session, name));
    request.set_node_id(node);
  }
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  ASSIGN_OR_RETURN(const v1::TransferLeadershipResponse now, admin->TransferLeadership(request));
  Report(session, JsonObject().Number64("leader_id", now.leader_id()),
         fmt::format("n{} leads", now.leader_id()));
  return absl::OkStatus();
}

Status Snapshot(Session& session, const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  std::vector<std::uint64_t> nodes;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(nodes.emplace_back(), FindNode(session, name));
  }
  if (names.empty()) {
    v1::ListShardsRequest request;
    request.set_group_id(kFirstDataGroup.value());
    ASSIGN_OR_RETURN(const std::vector<v1::Shard> shards, FetchShards(session, request));
    for (const v1::Shard& shard : shards) {
      nodes.insert(nodes.end(), shard.voters().begin(), shard.voters().end());
      nodes.insert(nodes.end(), shard.learners().begin(), shard.learners().end());
    }
  }
  // Every node gets its turn, whatever becomes of another.
  Status failed;
  JsonArray json;
  for (const std::uint64_t node : nodes) {
    v1::TriggerSnapshotRequest request;
    request.set_group_id(kFirstDataGroup.value());
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

void AddMemberCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  auto node = std::make_shared<std::string>();
  auto nodes = std::make_shared<std::vector<std::string>>();
  auto learner = std::make_shared<bool>(false);

  CLI::App* member = app.add_subcommand("member", "The nodes of the cluster");
  member->require_subcommand(1);
  CLI::App* command = member->add_subcommand("list", "Show them");
  command->callback([=, &session] { run(ListMembers(session)); });
  command = member->add_subcommand("add", "Add a node that runs with --join");
  command->add_option("ADDRESS", *node, "HOST:PORT where it listens")->required();
  command->add_flag("--learner", *learner, "it does not vote on the directory");
  command->callback([=, &session] { run(AddMember(session, *node, *learner)); });
  command = member->add_subcommand("remove", "Empty a node and remove it");
  command->add_option("NODE", *node, "its number or address")->required();
  command->callback([=, &session] { run(RemoveMember(session, *node)); });
  command = member->add_subcommand("promote", "Let a node vote on the directory, too");
  command->add_option("NODE", *node, "its number or address")->required();
  command->callback([=, &session] { run(PromoteMember(session, *node)); });

  CLI::App* leader = app.add_subcommand("leader", "The leader of the group");
  leader->require_subcommand(1);
  command = leader->add_subcommand("transfer", "Hand leadership over");
  command->add_option("NODE", *node, "to whom; default: who is furthest along");
  command->callback([=, &session] { run(TransferLeadership(session, *node)); });

  command = app.add_subcommand("snapshot", "Take a snapshot now and let the log before it go");
  command->add_option("NODE", *nodes, "of which nodes; default: all that have a replica");
  command->callback([=, &session] { run(Snapshot(session, *nodes)); });
}

}  // namespace flotilla::kvctl
