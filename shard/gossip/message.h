// What nodes tell each other: probes, their answers, pages of the view; rumours ride along.
//
// One-way datagrams. Any may be lost, repeated, delayed, or come from an earlier life of its node.
#pragma once

#include <variant>
#include <vector>

#include "shard/gossip/types.h"

namespace flotilla::gossip {

struct StandingRumour {
  NodeId node;
  Standing standing;
  bool operator==(const StandingRumour&) const = default;
};
struct ProfileRumour {
  NodeId node;
  ProfilePtr profile;  // never null
};
struct LoadRumour {
  NodeId node;
  LoadPtr load;  // never null
};
using Rumour = std::variant<StandingRumour, ProfileRumour, LoadRumour>;

// "Are you there?"
struct Ping {
  ProbeNumber number = {};
};
// "Ask that one for me." The asked node pings it with a number of its own.
struct PingRequest {
  ProbeNumber number = {};
  NodeId target;
};
// The answer to a Ping, or a helper's to a PingRequest whose target has answered.
struct Ack {
  ProbeNumber number = {};
};
// A helper's: "I am here, but the target has not answered me."
struct Nack {
  ProbeNumber number = {};
};

// All that the sender knows of nodes `first` to before `end` (0: to the last).
struct Page {
  NodeId first = {};
  NodeId end = {};
  std::vector<Member> members = {};
};
// "This is what I know; what do you?" The answer starts at the same node.
struct SyncRequest {
  Page page = {};
};
struct SyncReply {
  Page page = {};
};

struct Message {
  // The sender's own: alive, or left.
  Standing sender;
  std::variant<Ping, PingRequest, Ack, Nack, SyncRequest, SyncReply> body;
  std::vector<Rumour> rumours = {};
};

}  // namespace flotilla::gossip
