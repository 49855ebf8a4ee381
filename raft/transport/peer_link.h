// PeerLink: one stream of messages to one node.
//
// What is sent while a write is under way goes out together in the next one; a lone message waits
// for nothing. The queue is bounded: what does not fit is dropped, as the network might have done.
// A broken stream drops its queue, is reported, and is made again after a pause. The peer accepts a
// stream by its initial metadata; until then the link is not reachable, however much was written.
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

// Above the largest batch that the store accepts, with room for its envelope.
inline constexpr int kPeerMessageBytesMax = 96 << 20;
// On the initial metadata of an accepted stream.
inline constexpr char kPeerAcceptedKey[] = "flotilla-peer-accepted";

struct PeerLinkOptions {
  std::size_t queue_bytes_max = 128 << 20;
  std::size_t queue_messages_max = 100'000;
  // A write stops growing here; a single larger message still goes.
  std::size_t batch_bytes_max = 1 << 20;
  // A larger one would break the stream for all others: it is dropped.
  std::size_t message_bytes_max = kPeerMessageBytesMax - (1 << 20);
  Duration reconnect_pause_min = std::chrono::milliseconds(50);
  Duration reconnect_pause_max = std::chrono::seconds(1);
};

class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  struct World {
    Strand* strand = nullptr;  // runs the pauses between attempts; outlives the link
    std::function<void(NodeId)> on_unreachable;
    std::function<void(NodeId)> on_reachable;
    // Why there is no stream: once per code until the peer accepts one again. May be empty.
    using OnTrouble = std::function<void(NodeId, const grpc::Status&)>;
    OnTrouble on_trouble;
    std::uint64_t seed = 1;
    Duration pulse = std::chrono::seconds(1);
  };

  PeerLink(const PeerLinkOptions& options, const World& world, internal::Hello hello,
           std::shared_ptr<grpc::Channel> channel);

  void Connect();
  void Send(std::vector<PeerMessage> messages);
  // Ends the stream. The link exists until nothing of its streams does.
  void Close();

  std::uint64_t dropped() const;
  // A large message takes this stream: Carrying() until it is written, and for a while after that,
  // because nobody says when it has arrived.
  void NoteLarge();
  bool Carrying() const;

 private:
  class Stream;
  class DeferredWrite;

  // Begins to write what has gathered, unless a write is under way already.
  void WriteGathered();
  void OnAnswered(bool accepted);
  // Writes a batch of nothing now and then: gRPC says that a stream has ended, as one does whose
  // peer no longer answers keep-alives, only to who writes.
  void Pulse(const std::weak_ptr<Stream>& beating);
  void OnWritten(bool ok);
  void OnEnded(const grpc::Status& status);
  // With the lock held: whether the code is news.
  bool News(grpc::StatusCode code);
  // With the lock held: what goes into the next write, nothing when nothing waits.
  std::vector<PeerMessage> TakeBatch(std::size_t& bytes);
  // Without the lock: encoding takes its time.
  static void Write(Stream& stream, const std::vector<PeerMessage>& messages);

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
  std::uint64_t large_sent_ = 0;
  std::uint64_t large_ = 0;  // the newest one's number, while it counts
  bool writing_ = false;
  bool gathering_ = false;  // a write begins when a turn of some thread ends
  bool refused_ = false;    // or never connected: no write may follow the one under way
  bool reachable_ = false;
  std::uint32_t reported_codes_ = 0;  // a bit each, since the peer accepted a stream
  bool closed_ = false;
  Duration pause_;
};

}  // namespace flotilla::raft
