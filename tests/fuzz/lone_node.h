// LoneNode: one whole node (flotilla::Node, as kvd runs it) that is a cluster of its own, on a
// simulated disk and in virtual time. What comes from its network is for the test to say.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kv/inline_env.h"
#include "shard/node.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_process.h"

namespace flotilla::fuzz {

// Nobody else is there: whatever is sent is lost. The test speaks for strangers and members.
class SilentTransport final : public raft::Transport {
 public:
  void Start(ClusterId, NodeId, raft::TransportHandler* handler) override { handler_ = handler; }
  void SetPeers(const std::vector<raft::PeerAddress>&) override {}
  void Send(std::vector<raft::PeerMessage>) override {}
  void CallAddress(const std::string&, std::uint32_t, Bytes, Duration,
                   UniqueFunction<void(StatusOr<Bytes>)> done) override;
  void SetAddressCallHandler(AddressCallHandler handler) override {
    address_calls_ = std::move(handler);
  }
  void Stop() override { handler_ = nullptr; }

  // Null until the node has started.
  raft::TransportHandler* handler() const { return handler_; }
  const AddressCallHandler& address_calls() const { return address_calls_; }

 private:
  raft::TransportHandler* handler_ = nullptr;
  AddressCallHandler address_calls_;
};

class LoneNode {
 public:
  // Small segments, memtables and caches, so that little data makes many files.
  static NodeOptions SmallOptions();

  explicit LoneNode(std::shared_ptr<sim::SimFileSystem> disk) : disk_(std::move(disk)) {}
  ~LoneNode();
  LoneNode(const LoneNode&) = delete;
  LoneNode& operator=(const LoneNode&) = delete;

  // Opens and starts; an error is the node's refusal.
  Status Open(const NodeOptions& options);
  // Runs until the condition holds; false: not within `time`.
  bool RunUntil(const std::function<bool()>& condition, Duration time);
  bool RunUntilReady(Duration time = std::chrono::seconds(20));
  // Asks and waits; nothing when there is no answer within the deadline and a little more.
  std::optional<GatewayAnswer> Ask(GatewayRequest request);
  // As a shutdown does it. False: it did not end.
  bool Stop();

  Node& node() { return *node_; }
  SilentTransport& transport() { return transport_; }
  sim::EventLoop& loop() { return loop_; }
  const Clock& clock() const { return *process_; }
  // Why it gave up, if it did.
  const std::optional<Status>& fatal() const { return fatal_; }

 private:
  void Destroy();

  const std::shared_ptr<sim::SimFileSystem> disk_;
  sim::EventLoop loop_;
  SilentTransport transport_;
  std::unique_ptr<sim::SimProcess> process_;
  std::unique_ptr<kv::InlineEnv> env_;
  std::unique_ptr<Node> node_;
  std::optional<Status> fatal_;
};

}  // namespace flotilla::fuzz
