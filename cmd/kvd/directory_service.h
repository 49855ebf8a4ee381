// DirectoryService: flotilla.v1.Directory over gRPC's callback API. Thin: everything is the node's.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>

#include "base/clock.h"
#include "base/executor.h"
#include "flotilla/v1/directory.grpc.pb.h"
#include "shard/node.h"

namespace flotilla {

class DirectoryService final : public v1::Directory::CallbackService {
 public:
  struct Options {
    Duration default_timeout = std::chrono::seconds(10);
  };
  // All outlive the service.
  DirectoryService(const Options& options, Node* node, Executor* executor, const Clock* clock);

  grpc::ServerUnaryReactor* ListKeyspaces(grpc::CallbackServerContext* context,
                                          const v1::ListKeyspacesRequest* request,
                                          v1::ListKeyspacesResponse* response) override;
  grpc::ServerUnaryReactor* CreateKeyspace(grpc::CallbackServerContext* context,
                                           const v1::CreateKeyspaceRequest* request,
                                           v1::CreateKeyspaceResponse* response) override;
  grpc::ServerUnaryReactor* AlterKeyspace(grpc::CallbackServerContext* context,
                                          const v1::AlterKeyspaceRequest* request,
                                          v1::AlterKeyspaceResponse* response) override;
  grpc::ServerUnaryReactor* DropKeyspace(grpc::CallbackServerContext* context,
                                         const v1::DropKeyspaceRequest* request,
                                         v1::DropKeyspaceResponse* response) override;
  grpc::ServerUnaryReactor* ListShards(grpc::CallbackServerContext* context,
                                       const v1::ListShardsRequest* request,
                                       v1::ListShardsResponse* response) override;
  grpc::ServerUnaryReactor* LocateKey(grpc::CallbackServerContext* context,
                                      const v1::LocateKeyRequest* request,
                                      v1::LocateKeyResponse* response) override;
  grpc::ServerUnaryReactor* SplitShard(grpc::CallbackServerContext* context,
                                       const v1::SplitShardRequest* request,
                                       v1::JobResponse* response) override;
  grpc::ServerUnaryReactor* MergeShards(grpc::CallbackServerContext* context,
                                        const v1::MergeShardsRequest* request,
                                        v1::JobResponse* response) override;
  grpc::ServerUnaryReactor* MoveReplica(grpc::CallbackServerContext* context,
                                        const v1::MoveReplicaRequest* request,
                                        v1::JobResponse* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::CancelJobResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchJobsResponse>* WatchJobs(
      grpc::CallbackServerContext* context, const v1::WatchJobsRequest* request) override;
  grpc::ServerWriteReactor<v1::WatchDirectoryResponse>* WatchDirectory(
      grpc::CallbackServerContext* context, const v1::WatchDirectoryRequest* request) override;
  grpc::ServerUnaryReactor* GetTimestamp(grpc::CallbackServerContext* context,
                                         const v1::GetTimestampRequest* request,
                                         v1::GetTimestampResponse* response) override;

 private:
  using View = std::shared_ptr<const DirectoryImage>;
  using Loads = std::map<GroupId, ShardSurvey>;

  MonoTime DeadlineOf(const grpc::CallbackServerContext& context) const;
  // Answers from the copy of the directory, brought up to date.
  grpc::ServerUnaryReactor* Read(grpc::CallbackServerContext* context,
                                 std::function<Status(const DirectoryImage&)> answer);
  // Brings the copy up to date, makes a change of it and answers with what came of that.
  grpc::ServerUnaryReactor* Change(
      grpc::CallbackServerContext* context,
      std::function<StatusOr<DirectoryCall>(const DirectoryImage&)> plan,
      std::function<void(const DirectoryAnswer&)> answer);
  // What leaders tell of their shards; where that cannot be had, who leads those of this node.
  void Survey(MonoTime deadline, UniqueFunction<void(Loads)> done);

  const Options options_;
  Node* const node_;
  const Clock* const clock_;
  const std::unique_ptr<Strand> strand_;  // of the streams
};

}  // namespace flotilla
