// What consistent hashing does to clusters of a given size, counted: the numbers behind
// shard/placement/ring.svg and behind the tests of the ring.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "shard/placement/hash_ring.h"

namespace flotilla {

inline constexpr std::uint32_t kStudyShards = 16384;
inline constexpr std::uint32_t kStudyReplicas = 3;

// Nodes 1..count of weight 100, without labels.
std::vector<NodeRecord> PlainNodes(std::uint64_t count);
// The keys of the shards of a hash keyspace.
std::vector<std::string> StudyKeys(std::uint32_t shards = kStudyShards);

// By shard.
using Placement = std::vector<std::vector<NodeId>>;
Placement PlaceAll(const std::vector<NodeRecord>& nodes, const std::vector<std::string>& keys,
                   const PlacementRule& rule);
std::map<NodeId, std::uint32_t> ReplicasByNode(const Placement& placement);

// One node joins a cluster of `before` nodes.
struct Join {
  std::uint64_t before = 0;
  std::uint32_t replicas = 0;                // of all shards
  std::uint32_t moved_to_joiner = 0;         //
  std::uint32_t moved_elsewhere = 0;         // between nodes that were there before
  std::map<NodeId, std::uint32_t> given_by;  // to the joiner
  // Replicas of a node, after the join, over their mean.
  double fullest = 0;
  double emptiest = 0;
};
Join StudyJoin(std::uint64_t before);

// Whole picture, as SVG.
std::string DrawRing();

}  // namespace flotilla
