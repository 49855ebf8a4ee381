// A cluster as the balancer's tests need it: so many nodes, one keyspace.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "shard/placement/balancer.h"
#include "tests/shard/placement/placement_sim.h"

namespace flotilla {

inline constexpr GroupId kFirst{100};  // the first shard of a PlacementSim

// A range keyspace whose shards are not merged.
inline KeyspaceDescriptor Policy(std::uint32_t replicas) {
  KeyspaceDescriptor keyspace;
  keyspace.replicas = replicas;
  keyspace.shards_min = 1000;
  return keyspace;
}

// So many nodes, one keyspace.
class World : public PlacementSim {
 public:
  explicit World(std::uint64_t nodes, BalancerOptions options = {},
                 KeyspaceDescriptor policy = Policy(3))
      : PlacementSim(1, options) {
    for (std::uint64_t i = 0; i < nodes; ++i) AddNode();
    keyspace_ = AddKeyspace(std::move(policy));
  }
  kv::KeyspaceId keyspace_id() const { return keyspace_; }
  void Shards(std::uint32_t count, const std::vector<std::vector<std::uint64_t>>& voters) {
    std::vector<std::vector<NodeId>> nodes;
    for (const auto& one : voters) {
      nodes.emplace_back();
      for (const std::uint64_t number : one) nodes.back().emplace_back(number);
    }
    AddShards(keyspace_, count, nodes);
  }
  Plan Make(const BalancerOptions& options = {}) { return MakePlan(view(), options); }
  std::map<NodeId, int> Replicas() {
    std::map<NodeId, int> replicas;
    for (const ShardView& shard : view().shards) {
      for (const NodeId node : shard.descriptor.voters) ++replicas[node];
    }
    return replicas;
  }
  std::map<NodeId, int> Leaders() {
    std::map<NodeId, int> leaders;
    for (const ShardView& shard : view().shards) ++leaders[shard.leader];
    return leaders;
  }
  void Pass(Duration duration) { view().now += duration; }
  void SettleWell(std::uint32_t ticks = 1000) {
    EXPECT_TRUE(Settle(ticks));
    EXPECT_THAT(wrongs(), testing::IsEmpty());
  }

 private:
  kv::KeyspaceId keyspace_;
};

}  // namespace flotilla
