// Gossip: a node's membership and load view, alive.
//
// Purpose: gives GossipCore time (timers of the injected executor), a network (a function that
// sends bytes to a node, and OnMessage()), and readers on any thread.
//
// Place in the picture: one per node, from the moment that the node is a member. README.md says how
// it is wired. What it knows is a hint; see gossip_core.h for what it never decides.
//
// All methods on any thread. `send` and the listener run on the strand of this object, never inside
// a call of its methods, and not after Stop() is done.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/status.h"
#include "shard/gossip/gossip_core.h"

namespace flotilla::gossip {

// What a node knows of all, itself among them, at one moment.
struct GossipView {
  std::vector<Member> members;  // by node

  // Null: not known.
  const Member* Find(NodeId node) const;
};

struct GossipOptions {
  GossipCoreOptions core;
  // The core's periods are ten of these, unless it is told otherwise: a second.
  Duration tick = std::chrono::milliseconds(100);
  // Received and not yet looked at; what comes beyond is dropped.
  std::size_t inbox_messages_max = 1024;
};

struct GossipStats {
  std::uint64_t received = 0;
  std::uint64_t malformed = 0;   // of those
  std::uint64_t overflowed = 0;  // dropped unread
  std::uint64_t sent = 0;
  std::uint64_t sent_bytes = 0;
};

class Gossip : public std::enable_shared_from_this<Gossip> {
 public:
  // One way, may be lost; must hand over and return.
  using SendFunction = std::function<void(NodeId to, Bytes message)>;
  // What has changed, and the view after it.
  using Listener = std::function<void(const std::vector<Change>& changes, const GossipView& view)>;

  // `executor` outlives this object. Nothing happens before Start().
  static std::shared_ptr<Gossip> Make(const GossipOptions& options, Executor* executor,
                                      SendFunction send, Listener listener);
  Gossip(const GossipOptions& options, Executor* executor, SendFunction send, Listener listener);

  void Start();
  // `done` runs on the strand; nothing else runs after it.
  void Stop(Closure done);

  // As the core's. BAD_REQUEST when the profile is too large.
  Status SetProfile(Profile profile);
  void SetLoad(const LoadReport& load);
  void SetContacts(std::vector<NodeId> contacts);
  // Before a node stops on purpose: the others need not find out. `done` runs on the strand once
  // the farewells have been given to `send`.
  void Leave(Closure done);

  // From the transport. Malformed messages are counted and dropped.
  void OnMessage(NodeId from, Bytes message);

  // Never null; it does not change.
  std::shared_ptr<const GossipView> View() const;
  GossipStats Stats() const;

 private:
  void ScheduleTick();
  void OnTick();
  void Receive(NodeId from, const Bytes& bytes);
  void Flush();
  void Publish();
  // Runs `action` on the strand unless all has ended by then.
  template <class Action>
  void OnStrand(Action action);

  const GossipOptions options_;
  const SendFunction send_;
  const Listener listener_;
  const std::unique_ptr<Strand> strand_;

  // On the strand.
  GossipCore core_;
  bool started_ = false;
  bool stopped_ = false;
  TimerId timer_ = 0;

  std::atomic<std::size_t> inbox_messages_{0};
  std::atomic<std::uint64_t> received_{0};
  std::atomic<std::uint64_t> malformed_{0};
  std::atomic<std::uint64_t> overflowed_{0};
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> sent_bytes_{0};

  mutable std::mutex mutex_;
  std::shared_ptr<const GossipView> view_;
};

}  // namespace flotilla::gossip
