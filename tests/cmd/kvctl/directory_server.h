// DirectoryServer: a server whose directory is what the test says; it keeps what it was asked for.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "flotilla/v1/cluster.grpc.pb.h"
#include "flotilla/v1/directory.grpc.pb.h"
#include "flotilla/v1/kv.grpc.pb.h"

namespace flotilla::kvctl {

class DirectoryServer final : public v1::Directory::Service,
                              public v1::Cluster::Service,
                              public v1::KV::Service {
 public:
  // Two keyspaces, a node with labels, no jobs.
  DirectoryServer();
  ~DirectoryServer() override;

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // ---- of the test; not while a call is under way
  // ------------------------------------------------
  std::vector<std::string> asked;  // in protobuf's short text form
  flotilla::Status error;          // of every change
  v1::ListKeyspacesResponse keyspaces;
  v1::ListShardsResponse shards;
  v1::LocateKeyResponse located;
  std::vector<v1::Job> job;  // what a watcher sees of it, one after the other
  std::string plan;
  v1::StatusResponse status;
  v1::VacuumStatusResponse vacuum;
  v1::HistoryResponse history;

  // ---- the services --------------------------------------------------------------------------
#define FLOTILLA_CALL(name, request, response) \
  grpc::Status name(grpc::ServerContext*, const v1::request* in, v1::response* out) override
  FLOTILLA_CALL(ListKeyspaces, ListKeyspacesRequest, ListKeyspacesResponse);
  FLOTILLA_CALL(CreateKeyspace, CreateKeyspaceRequest, CreateKeyspaceResponse);
  FLOTILLA_CALL(AlterKeyspace, AlterKeyspaceRequest, AlterKeyspaceResponse);
  FLOTILLA_CALL(DropKeyspace, DropKeyspaceRequest, DropKeyspaceResponse);
  FLOTILLA_CALL(ListShards, ListShardsRequest, ListShardsResponse);
  FLOTILLA_CALL(LocateKey, LocateKeyRequest, LocateKeyResponse);
  FLOTILLA_CALL(SplitShard, SplitShardRequest, JobResponse);
  FLOTILLA_CALL(MergeShards, MergeShardsRequest, JobResponse);
  FLOTILLA_CALL(MoveReplica, MoveReplicaRequest, JobResponse);
  FLOTILLA_CALL(ListJobs, ListJobsRequest, ListJobsResponse);
  FLOTILLA_CALL(CancelJob, CancelJobRequest, CancelJobResponse);
  FLOTILLA_CALL(GetTimestamp, GetTimestampRequest, GetTimestampResponse);
  FLOTILLA_CALL(Status, StatusRequest, StatusResponse);
  FLOTILLA_CALL(TriggerSnapshot, TriggerSnapshotRequest, TriggerSnapshotResponse);
  FLOTILLA_CALL(TransferLeadership, TransferLeadershipRequest, TransferLeadershipResponse);
  FLOTILLA_CALL(ListNodes, ListNodesRequest, ListNodesResponse);
  FLOTILLA_CALL(Aggregate, AggregateRequest, AggregateResponse);
  FLOTILLA_CALL(VacuumStatus, VacuumStatusRequest, VacuumStatusResponse);
  FLOTILLA_CALL(VacuumRun, VacuumRunRequest, VacuumRunResponse);
  FLOTILLA_CALL(History, HistoryRequest, HistoryResponse);
  FLOTILLA_CALL(DrainNode, DrainNodeRequest, DrainNodeResponse);
  FLOTILLA_CALL(DecommissionNode, DecommissionNodeRequest, DecommissionNodeResponse);
#undef FLOTILLA_CALL
  grpc::Status WatchJobs(grpc::ServerContext*, const v1::WatchJobsRequest* in,
                         grpc::ServerWriter<v1::WatchJobsResponse>* out) override;

 private:
  grpc::Status Changed(const google::protobuf::Message& request);

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace flotilla::kvctl
