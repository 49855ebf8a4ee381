// Admin: the Cluster service's unary calls, for tools: status, members, leadership, snapshots.
//
// Thin on purpose: requests and answers are the API's own messages. Blocking; any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "flotilla/v1/cluster.grpc.pb.h"

namespace flotilla::client {

class Admin {
 public:
  // `timeout`: of each call.
  Admin(std::vector<std::string> endpoints, Duration timeout);
  ~Admin();

  const std::vector<std::string>& endpoints() const { return endpoints_; }

  // Asks these nodes at the same time; an answer or an error for each, in their order.
  std::vector<StatusOr<v1::StatusResponse>> StatusOf(const std::vector<std::string>& addresses);

  // The rest goes to the first endpoint that can be reached, which forwards it to the leader.
  StatusOr<v1::ListNodesResponse> ListNodes();
  StatusOr<v1::AddReplicaResponse> AddReplica(const v1::AddReplicaRequest& request);
  StatusOr<v1::RemoveReplicaResponse> RemoveReplica(const v1::RemoveReplicaRequest& request);
  StatusOr<v1::PromoteReplicaResponse> PromoteReplica(const v1::PromoteReplicaRequest& request);
  StatusOr<v1::TransferLeadershipResponse> TransferLeadership(
      const v1::TransferLeadershipRequest& request);
  StatusOr<v1::TriggerSnapshotResponse> TriggerSnapshot(const v1::TriggerSnapshotRequest& request);

 private:
  using Stub = v1::Cluster::Stub;

  Stub& StubFor(const std::string& address);
  template <class Request, class Response>
  StatusOr<Response> AnyEndpoint(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                                 const Request& request);

  const std::vector<std::string> endpoints_;
  const Duration timeout_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Stub>> stubs_;  // guarded by mutex_
};

}  // namespace flotilla::client
