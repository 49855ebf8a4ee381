// GrpcTransport: the transport over gRPC, for production.
//
// Two client streams per peer: one for consensus and requests, one for parts of snapshots and for
// messages of megabytes, so that no heartbeat waits behind them. Log entries behind a large one
// take its way until it has gone: overtaking it, they would be rejected. The receiving side is a
// service that the owner registers on its gRPC server, which clients share. Every stream opens with
// the cluster and the nodes at both ends; a stranger is turned away with PERMISSION_DENIED, and the
// log of either side says so once.
#pragma once

#include <grpcpp/grpcpp.h>
#include <spdlog/logger.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "flotilla/internal/peer.grpc.pb.h"
#include "raft/transport/peer_link.h"
#include "raft/transport/transport.h"

namespace flotilla::raft {

class GrpcTransport final : public Transport {
 public:
  GrpcTransport(const PeerLinkOptions& options, Executor* executor,
                std::shared_ptr<spdlog::logger> logger, std::uint64_t seed);
  ~GrpcTransport() override;

  // To be registered on the node's server; lives as long as the transport.
  grpc::Service* service();

  void Start(ClusterId cluster, NodeId self, TransportHandler* handler) override;
  void SetPeers(const std::vector<PeerAddress>& peers) override;
  void Send(std::vector<PeerMessage> messages) override;
  void CallAddress(const std::string& address, std::uint32_t method, Bytes body, Duration timeout,
                   UniqueFunction<void(StatusOr<Bytes>)> done) override;
  void SetAddressCallHandler(AddressCallHandler handler) override;
  void Stop() override;

  // Messages that full queues and broken streams have cost.
  std::uint64_t dropped() const;

 private:
  class Service;
  class ExchangeReader;
  struct OneCall;
  struct Anchor;
  struct Peer {
    std::string address;
    std::shared_ptr<PeerLink> link;
    std::shared_ptr<PeerLink> bulk;
    bool entries_on_bulk = false;  // a large one went there and may be there still
  };

  // With the lock held: the stream that the message takes.
  static const std::shared_ptr<PeerLink>& Route(const PeerMessage& message, Peer& peer);

  static std::unique_ptr<grpc::Service> NewService(GrpcTransport* transport);
  // `watch`: how often it is seen to that the other end still answers.
  std::shared_ptr<PeerLink> MakeLink(NodeId node, const std::string& address, Duration watch,
                                     PeerLink::World::OnTrouble on_trouble);
  // Logs why there is no stream to the address.
  PeerLink::World::OnTrouble Trouble(const std::string& address);
  void CallEnded();
  static std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address, Duration watch);
  // A stream to or from the node has ended, and what was under way on it.
  void Lost(NodeId node);
  // Not OK when the batch is malformed: nothing of it was delivered.
  Status Deliver(std::shared_ptr<const internal::PeerBatch> batch, NodeId from);
  // OK when a stream that opens so may go on.
  grpc::Status CheckHello(const internal::Hello& hello);
  // With the lock held: once per stranger.
  void LogStranger(const internal::Hello& hello, const std::string& why);

  const PeerLinkOptions options_;
  const std::shared_ptr<spdlog::logger> logger_;
  const std::unique_ptr<Strand> strand_;
  const std::unique_ptr<grpc::Service> service_;

  // Held shared while a handler runs, so that Stop() can wait for it.
  mutable std::shared_mutex handler_mutex_;
  TransportHandler* handler_ = nullptr;
  AddressCallHandler address_calls_;

  mutable std::mutex mutex_;
  ClusterId cluster_;
  NodeId self_;
  bool stopped_ = false;
  std::uint64_t next_seed_;
  std::map<NodeId, Peer> peers_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;  // of CallAddress()
  std::set<std::pair<std::uint64_t, std::uint64_t>> strangers_;     // logged: cluster, node
  // Links and calls that exist; the destructor waits for their ends.
  int open_ = 0;
  std::condition_variable all_ended_;
  std::unique_ptr<Anchor> anchor_;
};

}  // namespace flotilla::raft
