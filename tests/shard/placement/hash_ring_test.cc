#include "shard/placement/hash_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/random.h"
#include "tests/shard/placement/ring_study.h"

namespace flotilla {
namespace {

PlacementRule Rule(std::uint32_t replicas, std::vector<std::string> apart = {},
                   Labels require = {}) {
  return {.replicas = replicas, .apart = std::move(apart), .require = std::move(require)};
}

std::vector<NodeId> Ids(std::initializer_list<std::uint64_t> numbers) {
  std::vector<NodeId> nodes;
  for (const std::uint64_t number : numbers) nodes.emplace_back(number);
  return nodes;
}

// Nodes 1..zones.size(), each in the zone named.
std::vector<NodeRecord> Zoned(const std::vector<std::string>& zones) {
  std::vector<NodeRecord> nodes = PlainNodes(zones.size());
  for (std::size_t i = 0; i < zones.size(); ++i) {
    if (!zones[i].empty()) nodes[i].labels["zone"] = zones[i];
  }
  return nodes;
}

const std::string& ZoneOf(const std::vector<NodeRecord>& nodes, NodeId node) {
  return LabelOf(nodes[node.value() - 1], "zone");
}

// Shards in production lie where these numbers say: they never change.
TEST(HashRing, PlacesTheSameShardsOnTheSameNodesForEver) {
  const HashRing ring(PlainNodes(5));
  EXPECT_EQ(ring.points(), 5u * kVirtualNodes);
  EXPECT_EQ(ring.PlaceShard("a", Rule(3)), Ids({1, 5, 2}));
  EXPECT_EQ(ring.PlaceShard("b", Rule(3)), Ids({5, 4, 3}));
  EXPECT_EQ(ring.PlaceShard(std::string_view("\0\0\0\1\x80", 5), Rule(3)), Ids({2, 3, 1}));
}

TEST(HashRing, DoesNotDependOnTheOrderOfTheNodes) {
  std::vector<NodeRecord> nodes = PlainNodes(7);
  const std::vector<std::string> keys = StudyKeys(256);
  const Placement placement = PlaceAll(nodes, keys, Rule(3));
  std::reverse(nodes.begin(), nodes.end());
  EXPECT_EQ(PlaceAll(nodes, keys, Rule(3)), placement);
}

TEST(HashRing, GivesDistinctNodesAndNoMoreThanThereAre) {
  const HashRing ring(PlainNodes(3));
  for (const std::string& key : StudyKeys(256)) {
    const std::vector<NodeId> placed = ring.PlaceShard(key, Rule(5));
    EXPECT_EQ(std::set<NodeId>(placed.begin(), placed.end()).size(), 3u);
    EXPECT_EQ(placed.size(), 3u);
  }
  EXPECT_TRUE(HashRing({}).PlaceShard("a", Rule(3)).empty());
}

TEST(HashRing, IsEvenWithinABoundForThreeToFiftyNodes) {
  const std::vector<std::string> keys = StudyKeys();
  for (std::uint64_t count = 3; count <= 50; ++count) {
    const auto replicas = ReplicasByNode(PlaceAll(PlainNodes(count), keys, Rule(1)));
    ASSERT_EQ(replicas.size(), count);
    const double mean = static_cast<double>(keys.size()) / static_cast<double>(count);
    // Of the ring 1/sqrt(512), of the shards 1/sqrt(mean), both four times.
    const double bound = 4 * std::sqrt(1.0 / kVirtualNodes + 1 / mean);
    for (const auto& [node, number] : replicas) {
      EXPECT_NEAR(number / mean, 1, bound) << "node " << node.value() << " of " << count;
    }
  }
}

TEST(HashRing, ANodeThatLeavesGivesOnlyItsOwnToAllOthers) {
  std::vector<NodeRecord> nodes = PlainNodes(8);
  const std::vector<std::string> keys = StudyKeys();
  const Placement before = PlaceAll(nodes, keys, Rule(3));
  nodes.erase(nodes.begin() + 4);
  const Placement after = PlaceAll(nodes, keys, Rule(3));
  std::map<NodeId, int> takers;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::set<NodeId> had(before[i].begin(), before[i].end());
    for (const NodeId node : after[i]) {
      if (had.contains(node)) continue;
      EXPECT_TRUE(had.contains(NodeId(5))) << "moved without need";
      ++takers[node];
    }
  }
  EXPECT_EQ(takers.size(), 7u);
}

TEST(HashRing, SharesFollowTheWeights) {
  std::vector<NodeRecord> nodes = PlainNodes(10);
  nodes[0].weight = 200;
  nodes[1].weight = 50;
  nodes[2].weight = kWeightMin;
  nodes[3].weight = 0;
  const std::vector<std::string> keys = StudyKeys();
  auto replicas = ReplicasByNode(PlaceAll(nodes, keys, Rule(1)));
  const double per_hundred = static_cast<double>(keys.size()) * 100 / (200 + 50 + kWeightMin + 600);
  EXPECT_NEAR(replicas[NodeId(1)] / (2 * per_hundred), 1, 0.15);
  EXPECT_NEAR(replicas[NodeId(2)] / (0.5 * per_hundred), 1, 0.25);
  EXPECT_NEAR(replicas[NodeId(3)] / (0.2 * per_hundred), 1, 0.4);
  EXPECT_EQ(replicas.count(NodeId(4)), 0u) << "weight 0 takes nothing";
}

TEST(HashRing, EveryNodeThatTakesPartHasAHundredVirtualNodes) {
  for (const std::uint32_t weight : {1u, kWeightMin, 100u, kWeightMax, 1'000'000u}) {
    std::vector<NodeRecord> nodes = PlainNodes(1);
    nodes[0].weight = weight;
    EXPECT_GE(HashRing(nodes).points(), kVirtualNodesMin) << weight;
    EXPECT_LE(HashRing(nodes).points(), kVirtualNodes * kWeightMax / 100) << weight;
  }
}

TEST(HashRing, UsesOnlyNodesWithTheLabelsThatAreRequired) {
  std::vector<NodeRecord> nodes = PlainNodes(6);
  for (const std::size_t ssd : {1, 3, 4}) nodes[ssd].labels["disk"] = "ssd";
  nodes[5].labels["disk"] = "hdd";
  const HashRing ring(nodes);
  for (const std::string& key : StudyKeys(256)) {
    const std::vector<NodeId> placed = ring.PlaceShard(key, Rule(5, {}, {{"disk", "ssd"}}));
    EXPECT_EQ(std::set<NodeId>(placed.begin(), placed.end()),
              (std::set<NodeId>{NodeId(2), NodeId(4), NodeId(5)}));
  }
}

TEST(HashRing, KeepsReplicasInDifferentZonesAsLongAsThereAreZones) {
  const std::vector<NodeRecord> nodes = Zoned({"a", "a", "a", "b", "b", "c", "c"});
  const HashRing ring(nodes);
  for (const std::string& key : StudyKeys(512)) {
    std::map<std::string, int> three;
    for (const NodeId node : ring.PlaceShard(key, Rule(3, {"zone"}))) {
      ++three[ZoneOf(nodes, node)];
    }
    EXPECT_EQ(three.size(), 3u);
    std::map<std::string, int> five;
    for (const NodeId node : ring.PlaceShard(key, Rule(5, {"zone"}))) ++five[ZoneOf(nodes, node)];
    EXPECT_EQ(five.size(), 3u);
    for (const auto& [zone, number] : five) EXPECT_LE(number, 2) << zone;
  }
}

TEST(HashRing, TakesNodesWithoutTheLabelForOnePlace) {
  const std::vector<NodeRecord> nodes = Zoned({"a", "", "", "b"});
  const HashRing ring(nodes);
  for (const std::string& key : StudyKeys(256)) {
    const std::vector<NodeId> placed = ring.PlaceShard(key, Rule(3, {"zone"}));
    const std::set<NodeId> set(placed.begin(), placed.end());
    EXPECT_NE(set.contains(NodeId(2)), set.contains(NodeId(3)));
  }
}

TEST(HashRing, WithZonesAJoinerStillTakesOneReplicaAtMostOfAShard) {
  Random random(1);
  const std::vector<std::string> keys = StudyKeys(256);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::string> zones;
    const std::uint64_t count = random.Between(3, 12);
    for (std::uint64_t i = 0; i <= count; ++i) {
      zones.emplace_back(1, static_cast<char>('a' + random.Below(4)));
    }
    std::vector<NodeRecord> nodes = Zoned(zones);
    const auto replicas = static_cast<std::uint32_t>(random.Between(1, 5));
    const Placement after = PlaceAll(nodes, keys, Rule(replicas, {"zone"}));
    nodes.pop_back();
    const Placement before = PlaceAll(nodes, keys, Rule(replicas, {"zone"}));
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::set<NodeId> had(before[i].begin(), before[i].end());
      for (const NodeId node : after[i]) {
        EXPECT_TRUE(had.contains(node) || node == NodeId(count + 1)) << "round " << round;
      }
    }
  }
}

}  // namespace
}  // namespace flotilla
