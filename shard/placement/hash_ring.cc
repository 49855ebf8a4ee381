#include "shard/placement/hash_ring.h"

#include <algorithm>
#include <set>
#include <string>

#include "base/coding.h"
#include "base/stable_hash.h"

namespace flotilla {
namespace {

std::uint64_t PointHash(NodeId node, std::uint32_t number) {
  std::string bytes;
  AppendFixed64(bytes, node.value());
  AppendFixed32(bytes, number);
  return StableHash(bytes);
}

}  // namespace

std::uint32_t EffectiveWeight(const NodeRecord& node) {
  return node.weight == 0 ? 0 : std::clamp(node.weight, kWeightMin, kWeightMax);
}

HashRing::HashRing(const std::vector<NodeRecord>& nodes) : nodes_(nodes) {
  for (const NodeRecord& node : nodes_) {
    const std::uint32_t virtual_nodes = kVirtualNodes * EffectiveWeight(node) / 100;
    for (std::uint32_t number = 0; number < virtual_nodes; ++number) {
      points_.push_back({PointHash(node.node, number), &node});
    }
  }
  std::sort(points_.begin(), points_.end(), [](const Point& a, const Point& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.node->node < b.node->node;
  });
}

std::vector<const NodeRecord*> HashRing::Clockwise(std::string_view shard_key,
                                                   const PlacementRule& rule,
                                                   std::size_t wanted) const {
  std::vector<const NodeRecord*> found;
  const std::uint64_t hash = StableHash(shard_key);
  const auto first =
      std::lower_bound(points_.begin(), points_.end(), hash,
                       [](const Point& point, std::uint64_t at) { return point.hash < at; });
  const std::size_t offset = first - points_.begin();
  for (std::size_t i = 0; i < points_.size() && found.size() < wanted; ++i) {
    const NodeRecord* node = points_[(offset + i) % points_.size()].node;
    if (std::find(found.begin(), found.end(), node) == found.end() &&
        Satisfies(*node, rule.require)) {
      found.push_back(node);
    }
  }
  return found;
}

std::vector<NodeId> HashRing::PlaceShard(std::string_view shard_key,
                                         const PlacementRule& rule) const {
  const std::size_t eligible = std::count_if(
      nodes_.begin(), nodes_.end(),
      [&](const NodeRecord& node) { return node.weight != 0 && Satisfies(node, rule.require); });
  const std::size_t replicas = std::min<std::size_t>(rule.replicas, eligible);
  std::vector<const NodeRecord*> rest =
      Clockwise(shard_key, rule, rule.apart.empty() ? replicas : eligible);
  std::vector<NodeId> placed;
  std::map<std::pair<std::string_view, std::string_view>, std::uint32_t> taken;  // label, value
  for (std::uint32_t round = 1; placed.size() < replicas; ++round) {
    std::erase_if(rest, [&](const NodeRecord* node) {
      if (placed.size() == replicas) return false;
      for (const std::string& label : rule.apart) {
        if (taken[{label, LabelOf(*node, label)}] >= round) return false;
      }
      for (const std::string& label : rule.apart) ++taken[{label, LabelOf(*node, label)}];
      placed.push_back(node->node);
      return true;
    });
  }
  return placed;
}

std::string_view RingKey(const ShardDescriptor& shard) { return shard.start; }

}  // namespace flotilla
