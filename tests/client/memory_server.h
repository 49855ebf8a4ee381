// MemoryServer: a flotilla.v1 server over real gRPC whose store is a map; for tests of clients.
//
// One node that leads itself. Speaks KV.Pipeline, Cluster.ListNodes and Cluster.Status. Remembers
// the answers of numbered writes, so that retries can be told from repetitions.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "flotilla/v1/cluster.grpc.pb.h"
#include "flotilla/v1/kv.grpc.pb.h"

namespace flotilla::client {

class MemoryServer final : public v1::KV::Service, public v1::Cluster::Service {
 public:
  // Listens on a free port of 127.0.0.1, or on `port`.
  explicit MemoryServer(int port = 0);
  ~MemoryServer() override { Stop(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int port() const { return port_; }
  // Ends all streams and frees the port; the data stays with the object. Idempotent.
  void Stop();

  std::uint64_t writes() const;  // that took effect
  std::uint64_t pipeline_messages() const;
  // Swallows the answer of the next write and ends its stream: the client cannot know.
  void LoseNextAnswer();

  grpc::Status Pipeline(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::PipelineResponse, v1::PipelineRequest>* stream) override;
  grpc::Status ListNodes(grpc::ServerContext* context, const v1::ListNodesRequest* request,
                         v1::ListNodesResponse* response) override;
  grpc::Status Status(grpc::ServerContext* context, const v1::StatusRequest* request,
                      v1::StatusResponse* response) override;

 private:
  struct Value {
    std::string bytes;
    std::uint64_t version = 0;
  };

  // All under mutex_. False: the answer is lost and the stream with it.
  bool Serve(const v1::Request& request, v1::Response* response);
  void ServeRead(const v1::Request& request, v1::Response* response);
  void ServeWrite(const v1::Request& request, v1::Response* response);
  bool Holds(const v1::Condition& condition, const std::string& key);
  void ServeScan(const v1::ScanRequest& request, v1::ScanResponse* response);
  std::uint64_t Remove(const std::string& start, const std::string& end);

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;

  mutable std::mutex mutex_;
  std::map<std::string, Value> store_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, v1::Response> answered_;
  std::uint64_t clock_ = 100;
  std::uint64_t writes_ = 0;
  std::uint64_t messages_ = 0;
  bool lose_next_answer_ = false;
};

}  // namespace flotilla::client
