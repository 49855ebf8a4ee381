#include "shard/placement/balancer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "shard/placement/hash_ring.h"
#include "tests/shard/placement/balancer_world.h"

namespace flotilla {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ---- drain ------------------------------------------------------------------------------------

TEST(BalancerDrain, EmptiesANodeLeadershipsFirst) {
  World world(4);
  world.Shards(6, {{1, 2, 3}, {2, 3, 4}});
  world.SetRole(NodeId(2), NodeRole::kDraining);
  const Plan plan = world.Make();
  ASSERT_FALSE(plan.actions.empty());
  EXPECT_EQ(plan.actions[0].purpose, Purpose::kDrain);
  EXPECT_EQ(plan.actions[0].reason, "node 2 is draining");
  world.SettleWell();
  EXPECT_EQ(world.Replicas().count(NodeId(2)), 0u);
  EXPECT_EQ(world.Leaders().count(NodeId(2)), 0u);
}

TEST(BalancerDrain, SaysWhyANodeCannotBeEmptied) {
  World world(3);
  world.Shards(3, {{1, 2, 3}});
  world.SetRole(NodeId(1), NodeRole::kDraining);
  world.SettleWell();
  EXPECT_EQ(world.Leaders().count(NodeId(1)), 0u) << "leaderships go even so";
  EXPECT_THAT(PlanText(world.Make()),
              HasSubstr("3 shards (one is 100): cannot leave node 1: no other node is alive"));
}

// It does not come back, so that nothing is gained by waiting.
TEST(BalancerDrain, LeavesShardsWithFewerReplicasWhereADecommissionedNodeHasNoSuccessor) {
  World world(3);
  world.Shards(3, {{1, 2, 3}});
  world.SetRole(NodeId(1), NodeRole::kDecommissioned);
  world.SettleWell();
  EXPECT_EQ(world.Replicas().count(NodeId(1)), 0u);
  EXPECT_EQ(world.Replicas()[NodeId(2)], 3);
  // One that is away for the moment is a successor.
  World waits(4);
  waits.Shards(1, {{1, 2, 3}});
  waits.node(NodeId(4)).liveness = Liveness::kSuspect;
  waits.SetRole(NodeId(1), NodeRole::kDecommissioned);
  EXPECT_TRUE(waits.Make().actions.empty() ||
              waits.Make().actions[0].kind == ActionKind::kTransferLeader);
}

TEST(BalancerDrain, MovesPinnedShardsToo) {
  World world(4);
  world.Shards(1, {{1, 2, 3}});
  world.shard(kFirst).descriptor.pinned = true;
  world.SetRole(NodeId(3), NodeRole::kDraining);
  world.SettleWell();
  EXPECT_EQ(world.Replicas().count(NodeId(3)), 0u);
}

// ---- labels -----------------------------------------------------------------------------------

TEST(BalancerLabels, MovesReplicasApartAndOntoRequiredNodes) {
  KeyspaceDescriptor policy = Policy(3);
  policy.apart = {"zone"};
  policy.require = {{"disk", "ssd"}};
  World world(0, {}, policy);
  for (const char* zone : {"a", "a", "a", "b", "c"})
    world.AddNode({{"zone", zone}, {"disk", "ssd"}});
  world.AddNode({{"zone", "d"}});
  world.Shards(4, {{1, 2, 3}, {1, 4, 6}});
  world.SettleWell();
  for (const ShardView& shard : world.view().shards) {
    std::set<std::string> zones;
    for (const NodeId node : shard.descriptor.voters) {
      zones.insert(world.node(node).record.labels.at("zone"));
    }
    EXPECT_EQ(zones, (std::set<std::string>{"a", "b", "c"}));
  }
}

TEST(BalancerLabels, SaysWhichLabelNoNodeHas) {
  KeyspaceDescriptor policy = Policy(3);
  policy.require = {{"disk", "nvme"}};
  World world(4, {}, policy);
  world.Shards(1, {{1, 2, 3}});
  const Plan plan = world.Make();
  EXPECT_TRUE(plan.Settled());
  EXPECT_THAT(PlanText(plan), HasSubstr("node 1 lacks disk=nvme, and no other node that has it"));
}

// ---- the ring ---------------------------------------------------------------------------------

TEST(BalancerRing, BringsHashShardsToTheirPlacesAndNoOthers) {
  KeyspaceDescriptor policy = Policy(3);
  policy.partitioning = Partitioning::kHash;
  policy.shards_min = 32;
  World world(5, {}, policy);
  world.Shards(32, {{1, 2, 3}});
  world.shard(GroupId(101)).descriptor.pinned = true;
  world.SettleWell();
  std::vector<NodeRecord> nodes;
  for (const NodeView& node : world.view().nodes) nodes.push_back(node.record);
  const HashRing ring(nodes);
  for (const ShardView& shard : world.view().shards) {
    const auto places = ring.PlaceShard(RingKey(shard.descriptor), RuleOf(policy));
    const std::set<NodeId> wanted = shard.descriptor.pinned
                                        ? std::set<NodeId>{NodeId(1), NodeId(2), NodeId(3)}
                                        : std::set<NodeId>(places.begin(), places.end());
    EXPECT_EQ(shard.descriptor.voters, wanted);
  }
}

// What a shard still has before it counts while one step of it is under way: else others would be
// evened out against nodes that it is about to fill.
TEST(BalancerRing, ThinksOnFromAJobThatRuns) {
  KeyspaceDescriptor policy = Policy(3);
  policy.partitioning = Partitioning::kHash;
  World world(9, {}, policy);
  world.Shards(1, {{1, 2, 3}});
  const auto moves_of = [](const Plan& plan) {
    std::vector<Action> moves = plan.actions;
    moves.insert(moves.end(), plan.later.begin(), plan.later.end());
    std::erase_if(moves, [](const Action& one) { return one.kind != ActionKind::kMoveReplica; });
    return moves;
  };
  const std::vector<Action> moves = moves_of(world.Make());
  ASSERT_GE(moves.size(), 2u);
  JobRecord job;
  job.kind = JobKind::kMove;
  job.group = kFirst;
  job.from = moves[0].from;
  job.to = moves[0].to;
  world.view().jobs.push_back(job);
  const Plan plan = world.Make();
  EXPECT_THAT(plan.actions, IsEmpty());
  ASSERT_EQ(moves_of(plan).size(), moves.size() - 1) << PlanText(plan);
  EXPECT_EQ(moves_of(plan)[0].to, moves[1].to);
}

// ---- evening out ------------------------------------------------------------------------------

TEST(BalancerEven, EvensOutReplicasAndLeadersExactlyWhereShardsAreAlike) {
  World world(5);
  world.Shards(20, {{1, 2, 3}});
  world.SettleWell();
  for (const auto& [node, replicas] : world.Replicas()) EXPECT_EQ(replicas, 12) << node.value();
  for (const auto& [node, leaders] : world.Leaders()) EXPECT_EQ(leaders, 4) << node.value();
}

TEST(BalancerEven, FollowsWeights) {
  World world(3, {}, Policy(1));
  world.AddNode({}, 300);
  world.Shards(60, {{1}});
  world.SettleWell();
  EXPECT_NEAR(world.Replicas()[NodeId(4)], 30, 1);
  EXPECT_NEAR(world.Replicas()[NodeId(2)], 10, 1);
}

TEST(BalancerEven, GivesAJoinerItsShareAndNothingToOthers) {
  World world(4, {}, Policy(3));
  world.Shards(20, {{1, 2, 3}, {2, 3, 4}, {3, 4, 1}, {4, 1, 2}});
  world.SettleWell();
  world.AddNode();
  BalancerOptions all_at_once;
  const Plan plan = world.Make(all_at_once);
  for (const std::vector<Action>* actions : {&plan.actions, &plan.later}) {
    for (const Action& action : *actions) {
      if (action.kind == ActionKind::kMoveReplica) {
        EXPECT_EQ(action.to, NodeId(5));
      }
    }
  }
  world.SettleWell();
  EXPECT_EQ(world.Replicas()[NodeId(5)], 12);
}

TEST(BalancerEven, NoiseInTheLoadMovesNothing) {
  World world(4);
  // One more than is even: the gap between nodes is as wide as what would move.
  world.Shards(17, {{1, 2, 3}, {2, 3, 4}, {3, 4, 1}, {4, 1, 2}});
  world.SettleWell();
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    for (ShardView& shard : world.view().shards) {
      shard.reads_per_s = 1000 * (0.95 + 0.1 * random.Unit());
    }
    const Plan plan = world.Make();
    EXPECT_TRUE(plan.Settled()) << PlanText(plan);
    if (HasFailure()) return;
  }
}

TEST(BalancerEven, LeavesAShardInPeaceRightAfterAChange) {
  World world(4);
  world.Shards(8, {{1, 2, 3}});
  for (ShardView& shard : world.view().shards) shard.changed = world.view().now;
  const Plan plan = world.Make();
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_FALSE(plan.later.empty());
  world.Pass(std::chrono::seconds(10));
  EXPECT_FALSE(world.Make().actions.empty());
}

TEST(BalancerEven, FillsNoDisk) {
  World world(4);
  world.Shards(8, {{1, 2, 3}});
  for (ShardView& shard : world.view().shards) shard.bytes = 100;
  world.node(NodeId(4)).record.disk_bytes = 1000;
  world.node(NodeId(4)).bytes_used = 650;
  const Plan plan = world.Make();
  int moves = 0;
  for (const std::vector<Action>* actions : {&plan.actions, &plan.later}) {
    for (const Action& action : *actions)
      moves += action.to == NodeId(4) && action.kind == ActionKind::kMoveReplica;
  }
  EXPECT_EQ(moves, 2) << PlanText(plan);
}

// ---- sizes ------------------------------------------------------------------------------------

BalancerOptions SplitFrom(double requests_per_s) {
  BalancerOptions options;
  options.split_requests_per_s = requests_per_s;
  return options;
}

TEST(BalancerSizes, AHotRangeIsSplitAndItsHalvesLandOnDifferentLeaders) {
  World world(3, SplitFrom(20'000));
  world.Shards(6, {{1, 2, 3}, {2, 3, 1}, {3, 1, 2}});
  world.SettleWell();
  const std::size_t before = world.view().shards.size();
  for (std::uint16_t i = 0; i < 100; ++i) world.Put(world.keyspace_id(), 100 + i, 300, 1000);
  const Plan plan = world.Make(SplitFrom(20'000));
  const auto split = std::find_if(plan.actions.begin(), plan.actions.end(),
                                  [](const Action& one) { return one.kind == ActionKind::kSplit; });
  ASSERT_NE(split, plan.actions.end()) << PlanText(plan);
  EXPECT_EQ(split->reason, "30000 requests/s; more than 20000 requests/s are split");
  EXPECT_EQ(split->key, world.KeyAt(world.keyspace_id(), 150));
  world.SettleWell();
  EXPECT_EQ(world.view().shards.size(), before + 1);
  std::set<NodeId> leaders;
  for (const ShardView& shard : world.view().shards) {
    if (shard.load() > 1000) leaders.insert(shard.leader);
  }
  EXPECT_EQ(leaders.size(), 2u);
}

TEST(BalancerSizes, SplitsWhatIsBig) {
  World world(3);
  world.Shards(1, {{1, 2, 3}});
  for (std::uint16_t i = 0; i < 50; ++i) {
    world.Put(world.keyspace_id(), static_cast<std::uint16_t>(i * 1000), 0, 100 << 20);
  }
  world.SettleWell();
  EXPECT_EQ(world.view().shards.size(), 8u);
}

TEST(BalancerSizes, SaysThatASingleHotKeyCannotBeSplit) {
  World world(3, SplitFrom(20'000));
  world.Shards(3, {{1, 2, 3}, {2, 3, 1}, {3, 1, 2}});
  world.Put(world.keyspace_id(), 7, 90'000, 10);
  world.SettleWell();
  EXPECT_THAT(PlanText(world.Make(SplitFrom(20'000))),
              HasSubstr("90000 requests/s; more than 20000 requests/s are "
                        "split, but no key is known that would part it"));
}

TEST(BalancerSizes, SplitsHashShardsBetweenSlots) {
  KeyspaceDescriptor policy = Policy(3);
  policy.partitioning = Partitioning::kHash;
  World world(3, SplitFrom(20'000), policy);
  world.Shards(1, {{1, 2, 3}});
  for (std::uint16_t i = 0; i < 10; ++i) world.Put(world.keyspace_id(), 1000 + i, 3000, 10);
  const Plan plan = world.Make(SplitFrom(20'000));
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(plan.actions[0].key, world.KeyAt(world.keyspace_id(), 1005));
}

TEST(BalancerSizes, MergesSmallColdNeighboursButNotBelowWhatTheKeyspaceWasSplitInto) {
  KeyspaceDescriptor policy = Policy(3);
  policy.shards_min = 4;
  World world(3, {}, policy);
  world.Shards(9, {{1, 2, 3}});
  world.SettleWell();
  EXPECT_EQ(world.view().shards.size(), 4u);
}

TEST(BalancerSizes, MergesNeitherTheBigNorTheHotNorThePinned) {
  World world(3);
  world.keyspace(world.keyspace_id()).shards_min = 1;
  world.Shards(4, {{1, 2, 3}});
  world.Put(world.keyspace_id(), 5, 0, 100 << 20);
  world.Put(world.keyspace_id(), 20'000, 600, 0);
  world.shard(GroupId(103)).descriptor.pinned = true;
  world.SettleWell();
  EXPECT_EQ(world.view().shards.size(), 4u);
}

TEST(BalancerSizes, MergesNothingThatWouldSoonBeSplitAgainWhateverTheOptionsSay) {
  BalancerOptions options;
  options.split_bytes = 64 << 20;
  options.merge_bytes = 64 << 20;
  World world(3, options);
  world.keyspace(world.keyspace_id()).shards_min = 1;
  world.Shards(2, {{1, 2, 3}});
  world.Put(world.keyspace_id(), 5, 0, 20 << 20);
  world.SettleWell();
  EXPECT_EQ(world.view().shards.size(), 2u);
}

TEST(BalancerSizes, NeverTouchesTheDirectorysOwnGroup) {
  World world(3);
  world.keyspace(world.keyspace_id()).shards_min = 1;
  world.Shards(2, {{1, 2, 3}});
  world.shard(kFirst).descriptor.group = kDirectoryGroup;
  world.shard(kDirectoryGroup).bytes = 2ull << 30;
  world.shard(kDirectoryGroup).bytes_median = world.KeyAt(world.keyspace_id(), 10);
  const Plan plan = world.Make();
  for (const Action& action : plan.actions) EXPECT_NE(action.kind, ActionKind::kSplit);
  world.shard(kDirectoryGroup).bytes = 0;
  for (const Action& action : world.Make().actions) EXPECT_NE(action.kind, ActionKind::kMerge);
}

// ---- limits -----------------------------------------------------------------------------------

TEST(BalancerLimits, KeepsRoomForRepair) {
  BalancerOptions options;
  options.jobs_max = 4;
  options.jobs_kept_for_repair = 2;
  options.jobs_per_node_max = 10;
  World world(5, options);
  world.Shards(20, {{1, 2, 3}});
  Plan plan = world.Make(options);
  std::size_t jobs = 0;
  for (const Action& action : plan.actions) jobs += action.kind != ActionKind::kTransferLeader;
  EXPECT_EQ(jobs, 2u);
  world.Kill(NodeId(3));
  world.SetRole(NodeId(3), NodeRole::kDecommissioned);
  plan = world.Make(options);
  EXPECT_EQ(plan.actions.size(), 4u);
  for (const Action& action : plan.actions) EXPECT_EQ(action.purpose, Purpose::kRepair);
}

TEST(BalancerLimits, CountsJobsThatRun) {
  BalancerOptions options;
  options.jobs_per_node_max = 1;
  World world(4, options);
  world.Shards(9, {{1, 2, 3}});
  JobRecord job;
  job.kind = JobKind::kMove;
  job.group = kFirst;
  job.from = NodeId(1);
  job.to = NodeId(4);
  world.view().jobs.push_back(job);
  const Plan plan = world.Make(options);
  for (const Action& action : plan.actions) {
    EXPECT_EQ(action.kind, ActionKind::kTransferLeader) << ActionText(action);
  }
  EXPECT_THAT(PlanText(plan), HasSubstr("waits: at most 1 jobs at a time on node 4"));
}

TEST(Balancer, TheSameViewGivesTheSamePlan) {
  World world(5);
  world.Shards(30, {{1, 2, 3}, {3, 4, 5}});
  EXPECT_EQ(PlanText(world.Make(), 1000), PlanText(world.Make(), 1000));
}

TEST(Balancer, LeavesShardsOfUnknownAndOfDroppedKeyspacesAlone) {
  World world(4);
  world.Shards(8, {{1, 2, 3}});
  world.keyspace(world.keyspace_id()).dropping = true;
  EXPECT_TRUE(world.Make().Settled());
  world.view().keyspaces.clear();
  EXPECT_TRUE(world.Make().Settled());
}

}  // namespace
}  // namespace flotilla
