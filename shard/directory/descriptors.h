// What the directory knows: keyspaces, shards, nodes and jobs, as plain data.
//
// Purpose: the words that the directory, the router, the balancer and the jobs share. Rows of the
// directory hold them in the encoding of directory/codec.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/strong.h"
#include "base/types.h"
#include "kv/request.h"
#include "shard/members.h"

namespace flotilla {

// 0: none.
using JobId = Strong<struct JobIdTag>;

// "zone" -> "a", "disk" -> "ssd".
using Labels = std::map<std::string, std::string>;

// ---- keyspaces ------------------------------------------------------------------------------

enum class Partitioning : std::uint8_t { kRange = 1, kHash = 2 };

struct KeyspaceDescriptor {
  kv::KeyspaceId id{0};  // says the partitioning as well (kv::IsHashed)
  std::string name;
  Partitioning partitioning = Partitioning::kRange;
  std::uint32_t replicas = 3;
  // No two replicas of a shard on nodes that share the value of one of these labels, as long as
  // there are nodes enough: "zone".
  std::vector<std::string> apart;
  // Replicas only on nodes that have all of these.
  Labels require;
  // What it was split into at its creation; merged into fewer by hand only.
  std::uint32_t shards_min = 1;
  // How long old versions are kept.
  Duration retention{};
  // Its shards are on their way out, and it takes no more requests.
  bool dropping = false;

  bool operator==(const KeyspaceDescriptor&) const = default;
};

// ---- shards ---------------------------------------------------------------------------------

// Of a shard that was not changed since it was founded.
inline constexpr Epoch kFoundedEpoch{2};

// A contiguous range of encoded keys (kv/key_codec.h), and the group that holds it.
struct ShardDescriptor {
  GroupId group;
  kv::KeyspaceId keyspace{0};
  std::string start;  // inclusive
  std::string end;    // exclusive; never empty
  Epoch epoch;
  std::set<NodeId> voters;
  std::set<NodeId> learners;
  // Placed by hand: the balancer leaves it where it is.
  bool pinned = false;

  bool Contains(std::string_view encoded_key) const {
    return encoded_key >= start && encoded_key < end;
  }
  bool Has(NodeId node) const { return voters.contains(node) || learners.contains(node); }
  // Voters, then learners; each in order.
  std::vector<NodeId> Members() const {
    std::vector<NodeId> members(voters.begin(), voters.end());
    members.insert(members.end(), learners.begin(), learners.end());
    return members;
  }
  bool operator==(const ShardDescriptor&) const = default;
};

// ---- nodes ----------------------------------------------------------------------------------

enum class NodeRole : std::uint8_t {
  kActive = 1,
  kDraining = 2,        // gives its replicas and leaderships away, and may come back
  kDecommissioned = 3,  // empty, and never to come back
};

struct NodeRecord {
  NodeId node;
  NodeUuid uuid;
  std::string address;
  Labels labels;
  // Its share of the replicas, relative to others: 0 (none) or 20 to 1000 (placement/hash_ring.h).
  std::uint32_t weight = 100;
  std::uint64_t disk_bytes = 0;  // its capacity, about; 0: not known
  NodeRole role = NodeRole::kActive;

  bool operator==(const NodeRecord&) const = default;
};

// ---- jobs -----------------------------------------------------------------------------------

enum class JobKind : std::uint8_t {
  kSplit = 1,
  kMerge = 2,
  kMove = 3,
  kDrain = 4,
  kDropKeyspace = 5,
};

enum class JobState : std::uint8_t {
  kRunning = 1,
  kCancelling = 2,  // on its way back to where it began
  kDone = 3,
  kCancelled = 4,
  kFailed = 5,
};

// What a running job is about to do is `step`; each step can be repeated.
struct JobRecord {
  JobId id;
  JobKind kind = JobKind::kSplit;
  JobState state = JobState::kRunning;
  std::string step;
  GroupId group;    // the shard that it is about
  GroupId other;    // the new half, or the right neighbour
  std::string key;  // where to split; encoded
  NodeId from;      // kMove (none: only adds `to`), kDrain
  NodeId to;        // kMove (none: only removes `from`)
  kv::KeyspaceId keyspace{0};
  std::string reason;  // "by hand", or the balancer's
  std::string error;   // kFailed
  Timestamp created;
  Timestamp updated;

  bool operator==(const JobRecord&) const = default;
};

}  // namespace flotilla
