// The plain data of gossip: who is there, in which state, and what each node says of itself.
//
// Three registers per node, merged one by one, the newer winning: its standing, its profile, its
// load. A merge is a maximum, so the order, loss and repetition of messages do not matter to where
// the views end up.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/types.h"

namespace flotilla::gossip {

// Raised by a node itself and nobody else: to refute a suspicion, or when it starts anew.
using Incarnation = Strong<struct IncarnationTag>;
// Raised by a node itself whenever it says something new.
using FactVersion = Strong<struct FactVersionTag>;
// Matches an answer to a probe.
using ProbeNumber = Strong<struct ProbeNumberTag>;
// The core's time.
using GossipTick = Strong<struct GossipTickTag>;

// Numbers on the wire. Of one incarnation the greater wins: a suspicion overrides a sign of life,
// a death both, and a farewell, which only the node itself says, everything.
enum class MemberState : std::uint8_t { kAlive = 0, kSuspect = 1, kDead = 2, kLeft = 3 };

// "alive", "suspect", "dead", "left".
const char* StateName(MemberState state);

// Whether one may count on the node; the later one in this order is the newer.
struct Standing {
  Incarnation incarnation;
  MemberState state = MemberState::kAlive;

  // Takes part: it may be down, but nobody has said so for good.
  bool present() const { return state == MemberState::kAlive || state == MemberState::kSuspect; }
  auto operator<=>(const Standing&) const = default;
};

// What a node is. Changes seldom. The later one in this order is the newer: by its version, and by
// what it says only where two lives of a node have given one version to two things.
struct Profile {
  FactVersion version = {};
  std::string address = {};                        // "host:port"
  std::map<std::string, std::string> labels = {};  // "zone": "a"

  auto operator<=>(const Profile&) const = default;
};

// What a node has to do. Changes always; a hint, seconds old. Ordered as profiles are.
struct LoadReport {
  FactVersion version = {};
  std::uint64_t bytes_stored = 0;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t replicas = 0;
  std::uint64_t leaders = 0;
  std::uint64_t requests_per_second = 0;

  auto operator<=>(const LoadReport&) const = default;
};

using ProfilePtr = std::shared_ptr<const Profile>;
using LoadPtr = std::shared_ptr<const LoadReport>;

struct Member {
  NodeId node;
  Standing standing;
  ProfilePtr profile = nullptr;  // null: not heard yet
  LoadPtr load = nullptr;        // null: not heard yet
};

// By value, through the pointers.
bool SameMember(const Member& a, const Member& b);

enum class ChangeKind : std::uint8_t {
  kAlive,  // new, or back, or no longer suspected
  kSuspect,
  kDead,
  kLeft,
  kForgotten,  // dead or left for so long that the view drops it
  kProfile,
  kLoad,
};

struct Change {
  NodeId node;
  ChangeKind kind = ChangeKind::kAlive;

  bool operator==(const Change&) const = default;
};

// Encoded, a profile takes at most so much: a message must hold one whole.
inline constexpr std::size_t kProfileBytesMax = 1024;

// A peer's number beyond this is malformed, so that counting on from one never wraps.
inline constexpr std::uint64_t kVersionMax = std::uint64_t{1} << 62;

}  // namespace flotilla::gossip
