// One GossipCore, and a test that plays everybody else.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "shard/gossip/gossip_core.h"

namespace flotilla::gossip {

inline Standing Alive(std::uint64_t incarnation) {
  return {.incarnation = Incarnation(incarnation), .state = MemberState::kAlive};
}
inline Standing Suspect(std::uint64_t incarnation) {
  return {.incarnation = Incarnation(incarnation), .state = MemberState::kSuspect};
}
inline Standing Dead(std::uint64_t incarnation) {
  return {.incarnation = Incarnation(incarnation), .state = MemberState::kDead};
}
inline Standing Left(std::uint64_t incarnation) {
  return {.incarnation = Incarnation(incarnation), .state = MemberState::kLeft};
}
inline Rumour Says(std::uint64_t node, Standing standing) {
  return StandingRumour{.node = NodeId(node), .standing = standing};
}

// This node is 1, of incarnation 1.
class Script {
 public:
  explicit Script(GossipCoreOptions options = {}) : core_(Options(options)) {}

  GossipCore& core() { return core_; }

  // From a node of incarnation 1.
  void Hear(std::uint64_t from, std::vector<Rumour> rumours) {
    Send(from, Nack{ProbeNumber(0)}, std::move(rumours));
  }
  void Send(std::uint64_t from, decltype(Message::body) body, std::vector<Rumour> rumours = {},
            Standing sender = Alive(1)) {
    core_.Step(NodeId(from),
               {.sender = sender, .body = std::move(body), .rumours = std::move(rumours)});
    Take();
  }
  void Meet(std::vector<std::uint64_t> nodes) {
    for (const std::uint64_t node : nodes) Hear(node, {});
  }
  void Tick(std::uint64_t ticks = 1) {
    for (std::uint64_t i = 0; i < ticks; ++i) {
      core_.Tick();
      Take();
    }
  }
  void Take() {
    GossipCore::Output output = core_.TakeOutput();
    for (auto& message : output.messages) sent.push_back(std::move(message));
    for (const Change& change : output.changes) changes.push_back(change);
  }
  void Forget() {
    sent.clear();
    changes.clear();
  }

  std::optional<Standing> Of(std::uint64_t node) {
    const MemberTable::Entry* entry = core_.members().Find(NodeId(node));
    if (entry == nullptr) return std::nullopt;
    return entry->standing;
  }
  const Member& Record(std::uint64_t node) { return *core_.members().Find(NodeId(node)); }

  // The first message of this kind since Forget(), with its destination. Null: none.
  template <class Body>
  const Body* Sent(NodeId* to = nullptr) const {
    for (const GossipCore::Outgoing& outgoing : sent) {
      const Body* body = std::get_if<Body>(&outgoing.message.body);
      if (body == nullptr) continue;
      if (to != nullptr) *to = outgoing.to;
      return body;
    }
    return nullptr;
  }
  template <class Body>
  std::vector<GossipCore::Outgoing> AllSent() const {
    std::vector<GossipCore::Outgoing> all;
    for (const GossipCore::Outgoing& outgoing : sent) {
      if (std::holds_alternative<Body>(outgoing.message.body)) all.push_back(outgoing);
    }
    return all;
  }
  // Of all rumours sent since Forget() about this node's standing, the last.
  std::optional<Standing> Told(std::uint64_t node) const {
    std::optional<Standing> told;
    for (const GossipCore::Outgoing& outgoing : sent) {
      for (const Rumour& rumour : outgoing.message.rumours) {
        const auto* standing = std::get_if<StandingRumour>(&rumour);
        if (standing != nullptr && standing->node == NodeId(node)) told = standing->standing;
      }
    }
    return told;
  }
  bool Changed(std::uint64_t node, ChangeKind kind) const {
    return std::find(changes.begin(), changes.end(), Change{NodeId(node), kind}) != changes.end();
  }
  // Ticks until a probe goes out; its target.
  NodeId TickToProbe() {
    Forget();
    for (int i = 0; i < 1000; ++i) {
      Tick();
      NodeId target;
      if (Sent<Ping>(&target) != nullptr) return target;
    }
    ADD_FAILURE() << "nobody is probed";
    return NodeId();
  }

  std::vector<GossipCore::Outgoing> sent;
  std::vector<Change> changes;

 private:
  static GossipCoreOptions Options(GossipCoreOptions options) {
    options.self = NodeId(1);
    return options;
  }

  GossipCore core_;
};

}  // namespace flotilla::gossip
