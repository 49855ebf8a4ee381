#include "shard/directory/new_shards.h"

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "shard/placement/hash_ring.h"
#include "shard/placement/spread.h"

namespace flotilla {
namespace {

class NewShards {
 public:
  explicit NewShards(const DirectoryImage& image) : nodes_(Takers(image)), ring_(nodes_) {
    for (const auto& [group, shard] : image.shards()) Count(shard.voters);
  }

  std::vector<NodeId> Place(const KeyspaceDescriptor& keyspace, const ShardDescriptor& shard) {
    const PlacementRule rule = RuleOf(keyspace);
    std::vector<NodeId> places = keyspace.partitioning == Partitioning::kHash
                                     ? ring_.PlaceShard(RingKey(shard), rule)
                                     : Emptiest(rule);
    Count({places.begin(), places.end()});
    return places;
  }

 private:
  static std::vector<NodeRecord> Takers(const DirectoryImage& image) {
    std::vector<NodeRecord> nodes;
    for (const auto& [id, node] : image.nodes()) {
      if (node.role == NodeRole::kActive && node.weight > 0) nodes.push_back(node);
    }
    return nodes;
  }

  void Count(const std::set<NodeId>& places) {
    for (const NodeId node : places) ++replicas_[node];
  }

  // One by one: the fewest conflicts of labels, then the fewest replicas for its weight.
  std::vector<NodeId> Emptiest(const PlacementRule& rule) {
    std::vector<const NodeRecord*> chosen;
    while (chosen.size() < rule.replicas) {
      const NodeRecord* best = nullptr;
      std::tuple<std::uint32_t, double> best_cost;
      for (const NodeRecord& node : nodes_) {
        const bool taken = std::find(chosen.begin(), chosen.end(), &node) != chosen.end();
        if (taken || !Satisfies(node, rule.require)) continue;
        chosen.push_back(&node);
        const std::tuple<std::uint32_t, double> cost{
            Conflicts(chosen, rule.apart),
            static_cast<double>(replicas_[node.node] + 1) / EffectiveWeight(node)};
        chosen.pop_back();
        if (best != nullptr && cost >= best_cost) continue;
        best = &node;
        best_cost = cost;
      }
      if (best == nullptr) break;
      chosen.push_back(best);
    }
    std::vector<NodeId> places;
    for (const NodeRecord* node : chosen) places.push_back(node->node);
    return places;
  }

  const std::vector<NodeRecord> nodes_;
  const HashRing ring_;
  std::map<NodeId, std::uint32_t> replicas_;
};

}  // namespace

Placement PlaceNewShards(const DirectoryImage& image) {
  const auto shards = std::make_shared<NewShards>(image);
  return [shards](const KeyspaceDescriptor& keyspace, const ShardDescriptor& shard) {
    return shards->Place(keyspace, shard);
  };
}

}  // namespace flotilla
