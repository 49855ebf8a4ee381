// ClusterService: flotilla.v1.Cluster over gRPC's callback API. Thin: everything is the node's.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "base/clock.h"
#include "flotilla/v1/cluster.grpc.pb.h"
#include "shard/node.h"

namespace flotilla {

class ClusterService final : public v1::Cluster::CallbackService {
 public:
  struct Options {
    std::string version;
    std::string http_address;
    Duration default_timeout = std::chrono::seconds(10);
  };
  // All outlive the service.
  ClusterService(const Options& options, Node* node, const Clock* clock);

  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context,
                                   const v1::StatusRequest* request,
                                   v1::StatusResponse* response) override;
  grpc::ServerUnaryReactor* ListNodes(grpc::CallbackServerContext* context,
                                      const v1::ListNodesRequest* request,
                                      v1::ListNodesResponse* response) override;
  grpc::ServerUnaryReactor* AddReplica(grpc::CallbackServerContext* context,
                                       const v1::AddReplicaRequest* request,
                                       v1::AddReplicaResponse* response) override;
  grpc::ServerUnaryReactor* RemoveReplica(grpc::CallbackServerContext* context,
                                          const v1::RemoveReplicaRequest* request,
                                          v1::RemoveReplicaResponse* response) override;
  grpc::ServerUnaryReactor* PromoteReplica(grpc::CallbackServerContext* context,
                                           const v1::PromoteReplicaRequest* request,
                                           v1::PromoteReplicaResponse* response) override;
  grpc::ServerUnaryReactor* TransferLeadership(grpc::CallbackServerContext* context,
                                               const v1::TransferLeadershipRequest* request,
                                               v1::TransferLeadershipResponse* response) override;
  grpc::ServerUnaryReactor* TriggerSnapshot(grpc::CallbackServerContext* context,
                                            const v1::TriggerSnapshotRequest* request,
                                            v1::TriggerSnapshotResponse* response) override;
  grpc::ServerUnaryReactor* VacuumStatus(grpc::CallbackServerContext* context,
                                         const v1::VacuumStatusRequest* request,
                                         v1::VacuumStatusResponse* response) override;
  grpc::ServerUnaryReactor* VacuumRun(grpc::CallbackServerContext* context,
                                      const v1::VacuumRunRequest* request,
                                      v1::VacuumRunResponse* response) override;
  grpc::ServerUnaryReactor* DrainNode(grpc::CallbackServerContext* context,
                                      const v1::DrainNodeRequest* request,
                                      v1::DrainNodeResponse* response) override;
  grpc::ServerUnaryReactor* DecommissionNode(grpc::CallbackServerContext* context,
                                             const v1::DecommissionNodeRequest* request,
                                             v1::DecommissionNodeResponse* response) override;

 private:
  // Says what a drain would do, or gives the node its role.
  template <class Response>
  grpc::ServerUnaryReactor* SetRole(grpc::CallbackServerContext* context, NodeId node,
                                    NodeRole role, bool dry_run, Response* response);
  // False when the group is none of the cluster's; the call has then been answered.
  bool Knows(std::uint64_t group, grpc::ServerUnaryReactor* reactor) const;

  const Options options_;
  Node* const node_;
  const Clock* const clock_;
  const MonoTime started_;
};

}  // namespace flotilla
