// Random clusters by seed: things happen to them, then nothing does any more. Plans must be safe
// all along, and then end without undoing anything, where they belong.

#include <gtest/gtest.h>

#include <algorithm>

#include "shard/placement/hash_ring.h"
#include "shard/placement/spread.h"
#include "tests/shard/placement/placement_sim.h"

namespace flotilla {
namespace {

constexpr std::uint64_t kSeeds = 300;
constexpr std::uint32_t kEvents = 12;

BalancerOptions Options(Random& random) {
  BalancerOptions options;
  options.dead_after = std::chrono::seconds(30);
  options.settle_after = std::chrono::seconds(random.Chance(0.5) ? 0 : 10);
  options.merge_after = std::chrono::seconds(60);
  options.split_requests_per_s = 1000;
  options.merge_requests_per_s = 200;
  options.even_requests_per_s = 50;
  options.split_bytes = 1 << 20;
  options.merge_bytes = 1 << 17;
  options.even_bytes = 1 << 16;
  options.jobs_max = static_cast<std::uint32_t>(random.Between(2, 12));
  options.jobs_kept_for_repair = 1;
  options.jobs_per_node_max = static_cast<std::uint32_t>(random.Between(1, 3));
  options.transfers_max = static_cast<std::uint32_t>(random.Between(1, 8));
  return options;
}

class RandomCluster {
 public:
  explicit RandomCluster(std::uint64_t seed) : random_(seed), sim_(seed, Options(random_)) {
    zones_ = random_.Between(1, 4);
    const std::uint64_t nodes = random_.Between(1, 9);
    for (std::uint64_t i = 0; i < nodes; ++i) AddNode();
    const std::uint64_t keyspaces = random_.Between(1, 3);
    for (std::uint64_t i = 0; i < keyspaces; ++i) AddKeyspace();
  }

  PlacementSim& sim() { return sim_; }

  void Event() {
    switch (random_.Below(8)) {
      case 0:
        return sim_.Kill(AnyNode());
      case 1:
        return Kill(2);
      case 2:
        return sim_.Revive(AnyNode());
      case 3:
        return AddNode();
      case 4:
        return sim_.SetRole(AnyNode(), NodeRole::kDraining);
      case 5:
        return sim_.SetRole(AnyNode(), NodeRole::kActive);
      case 6:
        return AddLoad();
      case 7:
        AnyKeyspace().replicas = AnyReplicas();
        return;
    }
  }
  void ReviveAll() {
    for (const NodeView& node : sim_.view().nodes) sim_.Revive(node.record.node);
  }
  void LetTimePass() {
    const std::uint64_t ticks = random_.Between(0, 15);
    for (std::uint64_t i = 0; i < ticks; ++i) sim_.Tick();
  }
  bool Chance(double probability) { return random_.Chance(probability); }

 private:
  void AddNode() {
    Labels labels;
    if (zones_ > 1) labels["zone"] = std::string(1, static_cast<char>('a' + random_.Below(zones_)));
    if (random_.Chance(0.7)) labels["disk"] = "ssd";
    constexpr std::uint32_t kWeights[] = {100, 100, 100, 50, 200, 0};
    sim_.AddNode(labels, kWeights[random_.Below(6)]);
  }
  void Kill(int number) {
    for (int i = 0; i < number; ++i) sim_.Kill(AnyNode());
  }
  void AddKeyspace() {
    KeyspaceDescriptor keyspace;
    keyspace.partitioning = random_.Chance(0.4) ? Partitioning::kHash : Partitioning::kRange;
    keyspace.replicas = AnyReplicas();
    if (random_.Chance(0.5)) keyspace.apart = {"zone"};
    if (random_.Chance(0.2)) keyspace.require = {{"disk", "ssd"}};
    keyspace.shards_min = random_.Chance(0.5) ? 4 : 1;
    const kv::KeyspaceId id = sim_.AddKeyspace(keyspace);
    std::vector<std::vector<NodeId>> places;
    for (int i = 0; i < 5; ++i) {
      std::vector<NodeId> nodes;
      for (const NodeView& node : sim_.view().nodes) nodes.push_back(node.record.node);
      std::shuffle(nodes.begin(), nodes.end(), random_);
      nodes.resize(std::min<std::size_t>(nodes.size(), keyspace.replicas));
      places.push_back(nodes);
    }
    sim_.AddShards(id, static_cast<std::uint32_t>(random_.Between(1, 24)), places);
    if (random_.Chance(0.5)) sim_.view().shards.back().descriptor.pinned = true;
    if (random_.Chance(0.3)) AddLearner(sim_.view().shards.back());
    for (int i = 0; i < 3; ++i) AddLoad();
  }
  void AddLearner(ShardView& shard) {
    const NodeId node = AnyNode();
    if (!shard.descriptor.voters.contains(node)) shard.descriptor.learners.insert(node);
  }
  // Spread out, or all at one key.
  void AddLoad() {
    const kv::KeyspaceId id = AnyKeyspace().id;
    const std::uint64_t points = random_.Chance(0.2) ? 1 : random_.Between(5, 40);
    for (std::uint64_t i = 0; i < points; ++i) {
      sim_.Put(id, static_cast<std::uint16_t>(random_.Below(65536)),
               random_.Unit() * 4000 / static_cast<double>(points), random_.Below(1 << 18));
    }
  }
  NodeId AnyNode() { return NodeId(1 + random_.Below(sim_.view().nodes.size())); }
  KeyspaceDescriptor& AnyKeyspace() {
    return sim_.view().keyspaces[random_.Below(sim_.view().keyspaces.size())];
  }
  std::uint32_t AnyReplicas() {
    constexpr std::uint32_t kReplicas[] = {1, 2, 3, 3, 3, 5};
    return kReplicas[random_.Below(6)];
  }

  Random random_;
  PlacementSim sim_;
  std::uint64_t zones_;
};

// Each shard where the plan says that it belongs, as far as nodes allow.
void ExpectInPlace(PlacementSim& sim, const KeyspaceDescriptor& keyspace, const ShardView& shard) {
  // A learner is in a voter's way.
  if (!shard.descriptor.learners.empty()) return;
  const std::set<NodeId>& voters = shard.descriptor.voters;
  const std::size_t healthy = std::count_if(
      voters.begin(), voters.end(), [&](NodeId voter) { return sim.Healthy(shard, voter); });
  if (healthy <= voters.size() / 2) return;  // nobody can help it
  const std::size_t fit = sim.FitNodes(keyspace);
  if (fit < keyspace.replicas) return;
  EXPECT_EQ(voters.size(), keyspace.replicas);
  EXPECT_EQ(healthy, voters.size());
  for (const NodeId voter : voters) {
    const NodeRecord& record = sim.node(voter).record;
    EXPECT_EQ(record.role, NodeRole::kActive);
    if (!shard.descriptor.pinned) {
      EXPECT_TRUE(Satisfies(record, keyspace.require));
    }
  }
  if (shard.descriptor.pinned || keyspace.apart.empty()) return;
  std::set<std::string> zones;
  std::set<std::string> taken;
  for (const NodeView& node : sim.view().nodes) {
    const bool takes = node.liveness == Liveness::kAlive && node.record.role == NodeRole::kActive &&
                       node.record.weight > 0;
    if (takes && Satisfies(node.record, keyspace.require)) {
      zones.insert(LabelOf(node.record, "zone"));
    }
    if (voters.contains(node.record.node)) taken.insert(LabelOf(node.record, "zone"));
  }
  EXPECT_GE(taken.size(), std::min<std::size_t>(zones.size(), keyspace.replicas));
}

void ExpectOnRing(PlacementSim& sim, const KeyspaceDescriptor& keyspace) {
  std::vector<NodeRecord> nodes;
  for (const NodeView& node : sim.view().nodes) {
    if (node.record.role == NodeRole::kActive) nodes.push_back(node.record);
  }
  const HashRing ring(nodes);
  for (const ShardView& shard : sim.view().shards) {
    const bool apart = !shard.descriptor.learners.empty() || shard.descriptor.pinned;
    if (shard.descriptor.keyspace != keyspace.id || apart) continue;
    const std::vector<NodeId> places = ring.PlaceShard(RingKey(shard.descriptor), RuleOf(keyspace));
    if (places.size() < keyspace.replicas) continue;
    EXPECT_EQ(shard.descriptor.voters, std::set<NodeId>(places.begin(), places.end()));
  }
}

TEST(Balancer, PlansForRandomClustersAreSafeAndEndWithoutUndoingAnything) {
  std::uint32_t longest = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomCluster cluster(seed);
    for (std::uint32_t i = 0; i < kEvents; ++i) {
      cluster.Event();
      cluster.LetTimePass();
    }
    const bool all_alive = cluster.Chance(0.5);
    if (all_alive) cluster.ReviveAll();
    PlacementSim& sim = cluster.sim();
    const std::uint32_t before = sim.ticks();
    EXPECT_TRUE(sim.Settle(1500));
    longest = std::max(longest, sim.ticks() - before);
    for (const std::string& wrong : sim.wrongs()) ADD_FAILURE() << wrong;
    for (const ShardView& shard : sim.view().shards) {
      SCOPED_TRACE("shard " + std::to_string(shard.descriptor.group.value()));
      ExpectInPlace(sim, sim.keyspace(shard.descriptor.keyspace), shard);
    }
    for (const KeyspaceDescriptor& keyspace : sim.view().keyspaces) {
      if (all_alive && keyspace.partitioning == Partitioning::kHash) ExpectOnRing(sim, keyspace);
    }
    if (HasFailure()) FAIL() << PlanText(sim.Tick());
  }
  RecordProperty("longest_ticks", static_cast<int>(longest));
}

}  // namespace
}  // namespace flotilla
