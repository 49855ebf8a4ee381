// Relays: probes that this node makes for others (SWIM, 4.1: indirect probing).
//
// Bounded: what does not fit is refused, and the asker has other helpers.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "shard/gossip/types.h"

namespace flotilla::gossip {

class Relays {
 public:
  explicit Relays(std::size_t relays_max) : relays_max_(relays_max) {}

  struct Relay {
    ProbeNumber number;  // of our ping
    NodeId asker;
    ProbeNumber asker_number;
    GossipTick deadline;
  };

  // False: full.
  bool Add(const Relay& relay) {
    if (relays_.size() >= relays_max_) return false;
    relays_.push_back(relay);
    return true;
  }
  // The target of ping `number` has answered.
  std::optional<Relay> TakeAnswered(ProbeNumber number) {
    return TakeIf([number](const Relay& relay) { return relay.number == number; });
  }
  // One whose target has not answered in time.
  std::optional<Relay> TakeExpired(GossipTick now) {
    return TakeIf([now](const Relay& relay) { return relay.deadline <= now; });
  }

 private:
  template <class Predicate>
  std::optional<Relay> TakeIf(Predicate predicate) {
    for (auto relay = relays_.begin(); relay != relays_.end(); ++relay) {
      if (!predicate(*relay)) continue;
      const Relay taken = *relay;
      relays_.erase(relay);
      return taken;
    }
    return std::nullopt;
  }

  const std::size_t relays_max_;
  std::vector<Relay> relays_;
};

}  // namespace flotilla::gossip
