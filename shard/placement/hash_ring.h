// HashRing: consistent hashing of shards onto nodes.
//
// Every node stands on the ring of 64-bit hashes at many points (virtual nodes), a shard at one;
// its replicas are on the first distinct nodes clockwise of it. A node that comes takes about 1/n
// of the shards, evenly from all others, and nothing else moves; a node that goes gives them back.
//
// Points rest on node ids and StableHash alone, so that every process and version draws the same
// ring. With labels to keep apart, at most one replica of a shard moves for a node that comes or
// goes. Immutable once made; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "shard/directory/descriptors.h"
#include "shard/placement/spread.h"

namespace flotilla {

// Of a node of weight 100. The share of a node varies by about 1/sqrt of this: 4.4 %.
inline constexpr std::uint32_t kVirtualNodes = 512;
inline constexpr std::uint32_t kVirtualNodesMin = 100;
inline constexpr std::uint32_t kWeightMin = 20;
inline constexpr std::uint32_t kWeightMax = 1000;
static_assert(kVirtualNodes * kWeightMin / 100 >= kVirtualNodesMin);

// A weight other than 0 that lies outside of [kWeightMin, kWeightMax] counts as the nearest there.
std::uint32_t EffectiveWeight(const NodeRecord& node);

class HashRing {
 public:
  // Whom to leave out (the dead, the draining) is the caller's to decide; a node of weight 0 is
  // left out, too. Records are copied.
  explicit HashRing(const std::vector<NodeRecord>& nodes);
  HashRing(const HashRing&) = delete;
  HashRing& operator=(const HashRing&) = delete;

  // The nodes of a shard, first choice first: rule.replicas, or as many as there are with the
  // labels it requires. Of nodes that share a value of a label in rule.apart only one is taken as
  // long as others are left, then two, and so on.
  std::vector<NodeId> PlaceShard(std::string_view shard_key, const PlacementRule& rule) const;

  std::size_t points() const { return points_.size(); }

 private:
  struct Point {
    std::uint64_t hash;
    const NodeRecord* node;
  };
  // Up to `wanted` distinct nodes that satisfy the rule, clockwise.
  std::vector<const NodeRecord*> Clockwise(std::string_view shard_key, const PlacementRule& rule,
                                           std::size_t wanted) const;

  std::vector<NodeRecord> nodes_;
  std::vector<Point> points_;  // by hash, then node
};

// What stands for a shard on the ring: where it starts. Whoever splits a shard leaves the left half
// where it was and gives the right half a place of its own.
std::string_view RingKey(const ShardDescriptor& shard);

}  // namespace flotilla
