#include "tests/shard/placement/ring_study.h"

#include <algorithm>
#include <set>

#include "shard/placement/slots.h"

namespace flotilla {

std::vector<NodeRecord> PlainNodes(std::uint64_t count) {
  std::vector<NodeRecord> nodes(count);
  for (std::uint64_t i = 0; i < count; ++i) nodes[i].node = NodeId(i + 1);
  return nodes;
}

std::vector<std::string> StudyKeys(std::uint32_t shards) {
  std::vector<std::string> keys;
  const auto ranges = SplitIntoSlotRuns(kv::KeyspaceId(7), shards);
  for (const KeyRange& range : *ranges) keys.push_back(range.start);
  return keys;
}

Placement PlaceAll(const std::vector<NodeRecord>& nodes, const std::vector<std::string>& keys,
                   const PlacementRule& rule) {
  const HashRing ring(nodes);
  Placement placement;
  placement.reserve(keys.size());
  for (const std::string& key : keys) placement.push_back(ring.PlaceShard(key, rule));
  return placement;
}

std::map<NodeId, std::uint32_t> ReplicasByNode(const Placement& placement) {
  std::map<NodeId, std::uint32_t> replicas;
  for (const std::vector<NodeId>& shard : placement) {
    for (const NodeId node : shard) ++replicas[node];
  }
  return replicas;
}

Join StudyJoin(std::uint64_t before) {
  const std::vector<std::string> keys = StudyKeys();
  const PlacementRule rule{.replicas = kStudyReplicas, .apart = {}, .require = {}};
  const Placement old = PlaceAll(PlainNodes(before), keys, rule);
  const Placement now = PlaceAll(PlainNodes(before + 1), keys, rule);
  const NodeId joiner(before + 1);
  Join join;
  join.before = before;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::set<NodeId> had(old[i].begin(), old[i].end());
    const std::set<NodeId> has(now[i].begin(), now[i].end());
    join.replicas += has.size();
    for (const NodeId node : has) {
      if (had.contains(node)) continue;
      ++(node == joiner ? join.moved_to_joiner : join.moved_elsewhere);
    }
    for (const NodeId node : had) join.given_by[node] += !has.contains(node);
  }
  const double mean = static_cast<double>(join.replicas) / static_cast<double>(before + 1);
  const auto replicas = ReplicasByNode(now);
  const auto [low, high] =
      std::minmax_element(replicas.begin(), replicas.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; });
  join.emptiest = low->second / mean;
  join.fullest = high->second / mean;
  return join;
}

}  // namespace flotilla
