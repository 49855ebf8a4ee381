// PeerLink: one stream of messages to one node.
//
// What is sent while a write is under way goes out together in the next one; a lone message waits
// for nothing. The queue is bounded: what does not fit is dropped, as the network might have done.
// A broken stream drops its queue, is reported once, and is made again after a pause.
//
// Internal to raft/transport. All methods: any thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/random.h"
#include "flotilla/internal/peer.grpc.pb.h"
#include "raft/transport/transport.h"

namespace flotilla::raft {

struct PeerLinkOptions {
  std::size_t queue_bytes_max = 128 << 20;
  std::size_t queue_messages_max = 100'000;
  // A write stops growing here; a single larger message still goes.
  std::size_t batch_bytes_max = 1 << 20;
  Duration reconnect_pause_min = std::chrono::milliseconds(50);
  Duration reconnect_pause_max = std::chrono::seconds(1);
};

class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  struct World {
    Strand* strand = nullptr;  // runs the pauses between attempts; outlives the link
    std::function<void(NodeId)> on_unreachable;
    std::function<void(NodeId)> on_reachable;
    std::uint64_t seed = 1;
  };

  PeerLink(const PeerLinkOptions& options, const World& world, internal::Hello hello,
           std::shared_ptr<grpc::Channel> channel);

  void Connect();
  void Send(std::vector<PeerMessage> messages);
  // Ends the stream; `ended` is called once nothing of it runs any more.
  void Close(Closure ended);

  std::uint64_t dropped() const;

 private:
  class Stream;

  void OnWritten(bool ok);
  void OnEnded(const grpc::Status& status);
  // With the lock held: the next batch, or nothing to send.
  bool NextBatch(internal::PeerBatch& batch);

  const PeerLinkOptions options_;
  const World world_;
  const internal::Hello hello_;
  const NodeId peer_;
  const std::unique_ptr<internal::Peer::Stub> stub_;

  mutable std::mutex mutex_;
  Random random_;
  std::shared_ptr<Stream> stream_;
  std::vector<PeerMessage> queue_;
  std::size_t queue_bytes_ = 0;
  std::uint64_t dropped_ = 0;
  bool writing_ = false;
  bool reachable_ = false;
  bool closed_ = false;
  Duration pause_;
  Closure ended_;
};

}  // namespace flotilla::raft
