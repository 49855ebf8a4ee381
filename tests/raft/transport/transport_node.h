// TransportNode: one GrpcTransport with its server on loopback, and what has arrived at it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "base/real_executor.h"
#include "raft/transport/grpc_transport.h"

namespace flotilla::raft {

inline constexpr ClusterId kCluster{0xc1};

class TransportNode final : public TransportHandler {
 public:
  struct Options {
    NodeId self{1};
    ClusterId cluster = kCluster;
    int port = 0;  // 0: a free one
    PeerLinkOptions link;
    bool started = true;
  };

  explicit TransportNode(const Options& options);
  explicit TransportNode(NodeId self) : TransportNode(Options{.self = self, .link = {}}) {}
  // Stops what is left: the transport before the server, unless the test did otherwise.
  ~TransportNode() override;

  GrpcTransport& transport() { return *transport_; }
  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // Dials the other under its own number.
  void Dial(const TransportNode& other) { Dial(other.self_, other.address()); }
  void Dial(NodeId node, const std::string& address) {
    transport_->SetPeers({{.node = node, .address = address}});
  }

  void Start() { transport_->Start(options_.cluster, self_, this); }
  void StopServer();
  // Destroys the transport, which waits for all of it.
  void StopTransport();

  // Sends a heartbeat whose round is the number.
  void Send(NodeId to, std::uint64_t number) { transport_->Send({Numbered(to, number)}); }
  PeerMessage Numbered(NodeId to, std::uint64_t number) const;

  // Wait for the condition, which is called under the lock; the test fails after twenty seconds.
  void WaitUntil(const std::function<bool()>& condition);
  void WaitForNumber(std::uint64_t number);
  // What the condition may look at, or the test after WaitUntil().
  std::vector<std::uint64_t> numbers;  // of heartbeats, as they arrived
  std::vector<PeerMessage> others;
  int deliveries = 0;  // calls of OnMessages()
  int reachable = 0;
  int unreachable = 0;
  std::string Log() const;

  void OnMessages(std::vector<PeerMessage> messages) override;
  void OnUnreachable(NodeId node) override;
  void OnReachable(NodeId node) override;

 private:
  class LogSink;

  const Options options_;
  const NodeId self_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<LogSink> log_;
  RealExecutor executor_{2};
  std::unique_ptr<GrpcTransport> transport_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace flotilla::raft
