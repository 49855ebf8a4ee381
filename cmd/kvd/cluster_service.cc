#include "cmd/kvd/cluster_service.h"

#include <fmt/format.h>

#include <utility>

#include "cmd/kvd/directory_codec.h"
#include "cmd/kvd/metrics.h"
#include "cmd/kvd/rpc.h"
#include "cmd/kvd/vacuum_codec.h"
#include "kv/limits.h"
#include "raft/transport/grpc_transport.h"

namespace flotilla {
namespace {

void EncodeDuration(Duration duration, google::protobuf::Duration& out) {
  out.set_seconds(duration.count() / 1'000'000'000);
  out.set_nanos(static_cast<std::int32_t>(duration.count() % 1'000'000'000));
}

v1::NodeState EncodeState(NodeState state) {
  switch (state) {
    case NodeState::kForming:
      return v1::NODE_STATE_FORMING;
    case NodeState::kJoining:
      return v1::NODE_STATE_JOINING;
    case NodeState::kServing:
      return v1::NODE_STATE_SERVING;
    case NodeState::kStopping:
      return v1::NODE_STATE_STOPPING;
    case NodeState::kSlowDisk:
      return v1::NODE_STATE_SLOW_DISK;
    case NodeState::kLeft:
      return v1::NODE_STATE_LEFT;
  }
  return v1::NODE_STATE_UNSPECIFIED;
}

v1::Role EncodeRole(const GroupInfo& group, NodeId self) {
  if (group.core.configuration.learners.contains(self)) return v1::ROLE_LEARNER;
  switch (group.core.role) {
    case raft::Role::kLeader:
      return v1::ROLE_LEADER;
    case raft::Role::kCandidate:
    case raft::Role::kPreCandidate:
      return v1::ROLE_CANDIDATE;
    case raft::Role::kFollower:
      break;
  }
  return v1::ROLE_FOLLOWER;
}

void EncodeMember(const MemberInfo& member, v1::MemberStatus& out) {
  out.set_node_id(member.node.value());
  out.set_address(member.address);
  out.set_voter(member.voter);
  out.set_match_index(member.match.value());
  out.set_active(member.active);
  out.set_in_snapshot(member.in_snapshot);
}

void EncodeGroup(const GroupInfo& group, NodeId self, v1::GroupStatus& out) {
  out.set_group_id(group.group.value());
  out.set_role(EncodeRole(group, self));
  out.set_term(group.core.term.value());
  out.set_leader_id(group.core.leader.value());
  out.set_leader_address(group.leader_address);
  out.set_commit_index(group.core.commit.value());
  out.set_applied_index(group.applied.value());
  out.set_last_index(group.core.last.value());
  out.set_snapshot_index(group.core.snapshot.index.value());
  for (const MemberInfo& member : group.members) EncodeMember(member, *out.add_members());
  out.set_joint(group.core.configuration.joint());
  out.set_keys_estimate(group.sizes.keys_estimate);
  out.set_disk_bytes(group.sizes.disk_bytes);
  out.set_sessions(group.counts.sessions);
  out.set_quiescent(group.core.quiescent);
}

}  // namespace

ClusterService::ClusterService(const Options& options, Node* node, const Clock* clock)
    : options_(options), node_(node), clock_(clock), started_(clock->Now()) {}

grpc::ServerUnaryReactor* ClusterService::Status(grpc::CallbackServerContext* context,
                                                 const v1::StatusRequest*,
                                                 v1::StatusResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  node_->Info([this, response, reactor](const NodeInfo& info) {
    v1::NodeStatus& node = *response->mutable_node();
    node.set_node_id(info.node.value());
    node.set_cluster_id(info.cluster.value());
    node.set_version(options_.version);
    node.set_address(info.address);
    node.set_http_address(options_.http_address);
    node.set_state(EncodeState(info.state));
    EncodeDuration(clock_->Now() - started_, *node.mutable_uptime());
    node.mutable_log()->set_segments(info.log.segments);
    node.mutable_log()->set_live_bytes(info.log.live_bytes);
    node.mutable_log()->set_appended_bytes(info.log.appended_bytes);
    node.mutable_log()->set_syncs(info.log.syncs);
    const MetricsPage::Process process = MetricsPage::ReadProcess();
    EncodeDuration(Duration(static_cast<std::int64_t>(process.cpu_seconds * 1e9)),
                   *node.mutable_cpu());
    node.set_memory_bytes(process.resident_bytes);
    for (const GroupInfo& group : info.groups) {
      EncodeGroup(group, info.node, *response->add_groups());
    }
    v1::Limits& limits = *response->mutable_limits();
    limits.set_key_bytes_max(kv::kKeyBytesMax);
    limits.set_value_bytes_max(kv::kValueBytesMax);
    limits.set_batch_bytes_max(kv::kBatchBytesMax);
    limits.set_message_bytes_max(raft::kPeerMessageBytesMax);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

// 0 is the first data group, 1 the directory.
bool ClusterService::Knows(std::uint64_t group, grpc::ServerUnaryReactor* reactor) const {
  const GroupId id(group);
  if (!id || id == kDirectoryGroup || id == kFirstDataGroup) return true;
  if (node_->DirectoryView()->Find(id) != nullptr) return true;
  reactor->Finish(ToGrpc(Error(
      Reason::kGroupNotFound,
      fmt::format("there is no group {}: `kvctl shard list` lists those that there are", group))));
  return false;
}

grpc::ServerUnaryReactor* ClusterService::ListNodes(grpc::CallbackServerContext* context,
                                                    const v1::ListNodesRequest*,
                                                    v1::ListNodesResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  node_->ListMembers(DeadlineOf(*context, *clock_, options_.default_timeout),
                     [this, response, reactor](const StatusOr<std::vector<MemberInfo>>& members) {
                       if (members.ok()) {
                         // Both remember those that have left, too.
                         const auto image = node_->DirectoryView();
                         const auto gossip = node_->GossipView();
                         for (const MemberInfo& member : *members) {
                           EncodeMember(member, *response->add_nodes());
                           const NodeRecord* node = image->Find(member.node);
                           if (node != nullptr) Encode(*node, *response->add_descriptors());
                           const gossip::Member* heard = gossip->Find(member.node);
                           if (heard != nullptr) Encode(*heard, *response->add_reports());
                         }
                       }
                       reactor->Finish(ToGrpc(members.status()));
                     });
  return reactor;
}

grpc::ServerUnaryReactor* ClusterService::AddReplica(grpc::CallbackServerContext* context,
                                                     const v1::AddReplicaRequest* request,
                                                     v1::AddReplicaResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!Knows(request->group_id(), reactor)) return reactor;
  if (request->address().empty()) {
    reactor->Finish(ToGrpc(Error(Reason::kBadRequest, "name the address of the node to add")));
    return reactor;
  }
  node_->AddReplica(GroupId(request->group_id()), request->address(), request->promote(),
                    DeadlineOf(*context, *clock_, options_.default_timeout),
                    [response, reactor](const StatusOr<NodeId>& node) {
                      if (node.ok()) response->set_node_id(node->value());
                      reactor->Finish(ToGrpc(node.status()));
                    });
  return reactor;
}

grpc::ServerUnaryReactor* ClusterService::RemoveReplica(grpc::CallbackServerContext* context,
                                                        const v1::RemoveReplicaRequest* request,
                                                        v1::RemoveReplicaResponse*) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!Knows(request->group_id(), reactor)) return reactor;
  node_->RemoveReplica(
      GroupId(request->group_id()), NodeId(request->node_id()),
      DeadlineOf(*context, *clock_, options_.default_timeout),
      [reactor](const flotilla::Status& status) { reactor->Finish(ToGrpc(status)); });
  return reactor;
}

grpc::ServerUnaryReactor* ClusterService::PromoteReplica(grpc::CallbackServerContext* context,
                                                         const v1::PromoteReplicaRequest* request,
                                                         v1::PromoteReplicaResponse*) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!Knows(request->group_id(), reactor)) return reactor;
  node_->PromoteReplica(
      GroupId(request->group_id()), NodeId(request->node_id()),
      DeadlineOf(*context, *clock_, options_.default_timeout),
      [reactor](const flotilla::Status& status) { reactor->Finish(ToGrpc(status)); });
  return reactor;
}

grpc::ServerUnaryReactor* ClusterService::TransferLeadership(
    grpc::CallbackServerContext* context, const v1::TransferLeadershipRequest* request,
    v1::TransferLeadershipResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!Knows(request->group_id(), reactor)) return reactor;
  node_->TransferLeadership(GroupId(request->group_id()), NodeId(request->node_id()),
                            DeadlineOf(*context, *clock_, options_.default_timeout),
                            [response, reactor](const StatusOr<NodeId>& leader) {
                              if (leader.ok()) response->set_leader_id(leader->value());
                              reactor->Finish(ToGrpc(leader.status()));
                            });
  return reactor;
}

grpc::ServerUnaryReactor* ClusterService::TriggerSnapshot(grpc::CallbackServerContext* context,
                                                          const v1::TriggerSnapshotRequest* request,
                                                          v1::TriggerSnapshotResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!Knows(request->group_id(), reactor)) return reactor;
  node_->TriggerSnapshot(GroupId(request->group_id()), NodeId(request->node_id()),
                         DeadlineOf(*context, *clock_, options_.default_timeout),
                         [response, reactor](const StatusOr<Node::SnapshotTaken>& taken) {
                           if (taken.ok()) {
                             response->set_index(taken->index.value());
                             response->set_bytes(taken->bytes);
                           }
                           reactor->Finish(ToGrpc(taken.status()));
                         });
  return reactor;
}

grpc::ServerUnaryReactor* ClusterService::VacuumStatus(grpc::CallbackServerContext* context,
                                                       const v1::VacuumStatusRequest*,
                                                       v1::VacuumStatusResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  node_->Info([this, response, reactor](const NodeInfo& info) {
    EncodeVacuums(info, *node_->DirectoryView(), *response);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* ClusterService::VacuumRun(grpc::CallbackServerContext* context,
                                                    const v1::VacuumRunRequest* request,
                                                    v1::VacuumRunResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!Knows(request->group_id(), reactor)) return reactor;
  node_->RunVacuum(GroupId(request->group_id()),
                   DeadlineOf(*context, *clock_, options_.default_timeout),
                   [response, reactor](const StatusOr<VacuumReport>& done) {
                     if (done.ok()) EncodeVacuum(*done, *response->mutable_run());
                     reactor->Finish(ToGrpc(done.status()));
                   });
  return reactor;
}

template <class Response>
grpc::ServerUnaryReactor* ClusterService::SetRole(grpc::CallbackServerContext* context, NodeId node,
                                                  NodeRole role, bool dry_run, Response* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  DirectoryCall call = SetNodeRoleCall{.node = node, .role = role};
  if (dry_run) call = PlanCall{.node = node};
  node_->ChangeDirectory(std::move(call), DeadlineOf(*context, *clock_, options_.default_timeout),
                         [response, reactor](const DirectoryAnswer& answer) {
                           response->set_job_id(answer.job.value());
                           response->set_plan(answer.text);
                           reactor->Finish(ToGrpc(answer.status));
                         });
  return reactor;
}

grpc::ServerUnaryReactor* ClusterService::DrainNode(grpc::CallbackServerContext* context,
                                                    const v1::DrainNodeRequest* request,
                                                    v1::DrainNodeResponse* response) {
  return SetRole(context, NodeId(request->node_id()),
                 request->undo() ? NodeRole::kActive : NodeRole::kDraining, request->dry_run(),
                 response);
}

grpc::ServerUnaryReactor* ClusterService::DecommissionNode(
    grpc::CallbackServerContext* context, const v1::DecommissionNodeRequest* request,
    v1::DecommissionNodeResponse* response) {
  return SetRole(context, NodeId(request->node_id()), NodeRole::kDecommissioned, request->dry_run(),
                 response);
}

}  // namespace flotilla
