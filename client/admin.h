// Admin: the calls of the services Cluster and Directory, for tools: status, members, leadership,
// snapshots; keyspaces, shards, jobs; open transactions; vacuums; KV.History and KV.Aggregate.
//
// Thin on purpose: requests and answers are the API's own messages. Blocking; any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "flotilla/v1/cluster.grpc.pb.h"
#include "flotilla/v1/directory.grpc.pb.h"
#include "flotilla/v1/kv.grpc.pb.h"
#include "flotilla/v1/transactions.grpc.pb.h"

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
  StatusOr<v1::DrainNodeResponse> DrainNode(const v1::DrainNodeRequest& request);
  StatusOr<v1::DecommissionNodeResponse> DecommissionNode(
      const v1::DecommissionNodeRequest& request);

  // Of the transactions that this very node keeps.
  StatusOr<v1::ListTransactionsResponse> ListTransactions(const std::string& address);
  StatusOr<v1::ListLocksResponse> ListLocks(const std::string& address);
  StatusOr<v1::ListDeadlocksResponse> ListDeadlocks(const std::string& address);
  Status AbortTransaction(const std::string& address, std::uint64_t transaction_id);

  // Of the replicas of this very node.
  StatusOr<v1::VacuumStatusResponse> VacuumStatus(const std::string& address);
  StatusOr<v1::VacuumRunResponse> VacuumRun(const std::string& address, std::uint64_t group_id);

  // The versions of a key, by its group's leader.
  StatusOr<v1::HistoryResponse> History(const v1::HistoryRequest& request);
  // Any node adds up what all shards say.
  StatusOr<v1::AggregateResponse> Aggregate(const v1::AggregateRequest& request);

  // A unary call of the directory: Directory(&v1::Directory::Stub::SplitShard, request).
  template <class Request, class Response>
  StatusOr<Response> Directory(grpc::Status (v1::Directory::Stub::*method)(grpc::ClientContext*,
                                                                           const Request&,
                                                                           Response*),
                               const std::type_identity_t<Request>& request) {
    return AnyEndpoint<v1::Directory::Stub, Request, Response>(method, request);
  }
  // `news` gets every message until it returns false or the server ends the stream. Without a
  // timeout; tried at another endpoint as long as none has answered.
  Status WatchJobs(const v1::WatchJobsRequest& request,
                   const std::function<bool(const v1::WatchJobsResponse&)>& news);

 private:
  struct Stubs {
    std::unique_ptr<v1::Cluster::Stub> cluster;
    std::unique_ptr<v1::Directory::Stub> directory;
    std::unique_ptr<v1::KV::Stub> kv;
    std::unique_ptr<v1::Transactions::Stub> transactions;
  };

  Stubs& StubsFor(const std::string& address);
  template <class Stub>
  Stub& StubFor(const std::string& address) {
    if constexpr (std::is_same_v<Stub, v1::Cluster::Stub>) {
      return *StubsFor(address).cluster;
    } else if constexpr (std::is_same_v<Stub, v1::KV::Stub>) {
      return *StubsFor(address).kv;
    } else if constexpr (std::is_same_v<Stub, v1::Transactions::Stub>) {
      return *StubsFor(address).transactions;
    } else {
      return *StubsFor(address).directory;
    }
  }
  // A unary call to this very node.
  template <class Stub, class Request, class Response>
  StatusOr<Response> At(const std::string& address,
                        grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                        const Request& request);
  // One attempt per endpoint, for as long as none can be reached.
  Status Each(
      const std::function<grpc::Status(const std::string&, grpc::ClientContext&)>& attempt) const;
  template <class Stub, class Request, class Response>
  StatusOr<Response> AnyEndpoint(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                                 const Request& request) {
    Response response;
    RETURN_IF_ERROR(Each([&](const std::string& endpoint, grpc::ClientContext& context) {
      response.Clear();
      return (StubFor<Stub>(endpoint).*method)(&context, request, &response);
    }));
    return response;
  }

  const std::vector<std::string> endpoints_;
  const Duration timeout_;
  std::mutex mutex_;
  std::map<std::string, Stubs> stubs_;  // guarded by mutex_
};

}  // namespace flotilla::client
