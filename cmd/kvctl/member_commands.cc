// member list|add|remove|promote, leader transfer.
#include <fmt/format.h>

#include <algorithm>

#include "base/types.h"
#include "cmd/kvctl/app.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/names.h"
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

Status TransferLeadership(Session& session, std::uint64_t group, const std::string& name) {
  v1::TransferLeadershipRequest request;
  request.set_group_id(group);
  if (!name.empty()) {
    ASSIGN_OR_RETURN(const std::uint64_t node, FindNode(session, name));
    request.set_node_id(node);
  }
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  ASSIGN_OR_RETURN(const v1::TransferLeadershipResponse now, admin->TransferLeadership(request));
  Report(session, JsonObject().Number64("leader_id", now.leader_id()),
         fmt::format("n{} leads group {}", now.leader_id(), group));
  return absl::OkStatus();
}

}  // namespace

void AddMemberCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  auto node = std::make_shared<std::string>();
  auto group = std::make_shared<std::uint64_t>(kFirstDataGroup.value());
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

  CLI::App* leader = app.add_subcommand("leader", "The leader of a group");
  leader->require_subcommand(1);
  command = leader->add_subcommand("transfer", "Hand leadership over");
  command->add_option("NODE", *node, "to whom; default: who is furthest along");
  command->add_option("--group", *group, "of which; default: the first of the data");
  command->callback([=, &session] { run(TransferLeadership(session, *group, *node)); });
}

}  // namespace flotilla::kvctl
