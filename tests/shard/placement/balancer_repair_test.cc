// Replicas that are lost, too few or too many; and what waits meanwhile.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/shard/placement/balancer_world.h"

namespace flotilla {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ---- repair -----------------------------------------------------------------------------------

TEST(BalancerRepair, WaitsForADeadNodeAndThenReplacesIt) {
  World world(4);
  world.Shards(1, {{1, 2, 3}});
  world.Kill(NodeId(3));
  world.Pass(std::chrono::minutes(4));
  Plan plan = world.Make();
  EXPECT_TRUE(plan.Settled());
  EXPECT_THAT(PlanText(plan), HasSubstr("node 3 is dead since 4m00s; its 1 replicas are replaced"));
  world.Pass(std::chrono::minutes(1));
  plan = world.Make();
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(ActionText(plan.actions[0]), "move shard 100 from node 3 to node 4");
  EXPECT_EQ(plan.actions[0].purpose, Purpose::kRepair);
  EXPECT_EQ(plan.actions[0].reason, "node 3 has been dead for 5m00s; the limit is 5m00s");
}

TEST(BalancerRepair, DoesNothingAboutASuspect) {
  World world(4);
  world.Shards(1, {{1, 2, 3}});
  world.node(NodeId(3)).liveness = Liveness::kSuspect;
  world.Pass(std::chrono::hours(1));
  EXPECT_TRUE(world.Make().Settled());
}

TEST(BalancerRepair, ReplacesADecommissionedDeadNodeAtOnce) {
  World world(4);
  world.Shards(1, {{1, 2, 3}});
  world.Kill(NodeId(3));
  world.SetRole(NodeId(3), NodeRole::kDecommissioned);
  EXPECT_EQ(world.Make().actions.size(), 1u);
}

TEST(BalancerRepair, GivesADecommissionedNodeThatDoesNotAnswerUpEvenWithoutASuccessor) {
  World world(3);
  world.Shards(1, {{1, 2, 3}});
  world.node(NodeId(3)).liveness = Liveness::kSuspect;
  world.SetRole(NodeId(3), NodeRole::kDecommissioned);
  const Plan plan = world.Make();
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(plan.actions[0].kind, ActionKind::kRemoveReplica);
  EXPECT_EQ(plan.actions[0].from, NodeId(3));
}

TEST(BalancerRepair, SaysWhatIsMissingWhereNoNodeCanTakeTheReplica) {
  World world(3);
  world.Shards(2, {{1, 2, 3}});
  world.Kill(NodeId(3));
  world.Pass(std::chrono::minutes(6));
  const Plan plan = world.Make();
  EXPECT_TRUE(plan.Settled());
  EXPECT_THAT(PlanText(plan),
              HasSubstr("2 shards (one is 100): a replica is lost (node 3 has been dead for 6m00s; "
                        "the limit is 5m00s), and no other node can take one"));
}

TEST(BalancerRepair, LeavesAShardWithoutAQuorumAlone) {
  World world(6);
  world.Shards(1, {{1, 2, 3}});
  world.Kill(NodeId(2));
  world.Kill(NodeId(3));
  world.Pass(std::chrono::hours(1));
  const Plan plan = world.Make();
  EXPECT_TRUE(plan.Settled());
  EXPECT_THAT(PlanText(plan), HasSubstr("most of its voters are dead or behind"));
}

TEST(BalancerRepair, SaysOnASingleNodeWhyThereIsOneReplica) {
  World world(1);
  world.Shards(3, {{1}});
  const Plan plan = world.Make();
  EXPECT_TRUE(plan.Settled());
  EXPECT_THAT(PlanText(plan), HasSubstr("has 1 of 3 replicas: needs 2 more node(s)"));
  EXPECT_TRUE(world.Settle(10)) << "and does not flap";
}

TEST(BalancerRepair, StaysAtOneVoterWithTwoNodesAndGrowsToThreeWithThree) {
  World world(2);
  world.Shards(1, {{1}});
  EXPECT_TRUE(world.Make().Settled()) << "two voters stop when either is lost";
  EXPECT_THAT(PlanText(world.Make()), HasSubstr("an even number of voters"));
  world.AddNode();
  world.SettleWell();
  EXPECT_EQ(world.shard(kFirst).descriptor.voters.size(), 3u);
}

TEST(BalancerRepair, RemovesReplicasThatAreTooManyOneAtATime) {
  World world(5, {}, Policy(5));
  world.Shards(1, {{1, 2, 3, 4, 5}});
  world.keyspace(world.keyspace_id()).replicas = 3;
  const Plan plan = world.Make();
  EXPECT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(plan.later.size(), 1u);
  world.SettleWell();
  EXPECT_EQ(world.shard(kFirst).descriptor.voters.size(), 3u);
}

TEST(BalancerRepair, TakesTheShardsNearestToLossFirst) {
  World world(7, {}, Policy(5));
  world.Shards(2, {{1, 2, 3, 4, 6}, {1, 2, 3, 4, 5}});
  world.Kill(NodeId(5));
  world.Kill(NodeId(4));
  world.shard(GroupId(100)).descriptor.voters = {NodeId(1), NodeId(2), NodeId(3), NodeId(4),
                                                 NodeId(6)};
  world.Pass(std::chrono::minutes(6));
  const Plan plan = world.Make();
  ASSERT_FALSE(plan.actions.empty());
  EXPECT_EQ(plan.actions[0].group, GroupId(101)) << PlanText(plan);
}

TEST(BalancerRepair, ReplacesOrDropsALearnerOnALostNode) {
  World world(4);
  world.Shards(1, {{1, 2, 3}});
  world.shard(kFirst).descriptor.learners = {NodeId(4)};
  world.Kill(NodeId(4));
  world.Pass(std::chrono::minutes(6));
  const Plan plan = world.Make();
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(ActionText(plan.actions[0]), "remove learner of shard 100 from node 4");
  world.AddNode();
  EXPECT_EQ(ActionText(world.Make().actions.at(0)),
            "move learner of shard 100 from node 4 to node 5");
}

// What a job that failed has left behind, with nobody else to take its place.
TEST(BalancerRepair, PromotesALearnerWhereNobodyElseCanTakeAReplica) {
  World world(3);
  world.Shards(1, {{1, 2}});
  world.shard(kFirst).descriptor.learners = {NodeId(3)};
  const Plan plan = world.Make();
  ASSERT_EQ(plan.actions.size(), 1u) << PlanText(plan);
  EXPECT_EQ(ActionText(plan.actions[0]), "add shard 100 on node 3");
  world.SettleWell();
  EXPECT_EQ(world.shard(kFirst).descriptor.voters.size(), 3u);
  EXPECT_TRUE(world.shard(kFirst).descriptor.learners.empty());
}

TEST(BalancerRepair, LeavesAShardAloneThatAJobIsAbout) {
  World world(4);
  world.Shards(1, {{1, 2, 3}});
  world.Kill(NodeId(3));
  world.Pass(std::chrono::minutes(6));
  JobRecord job;
  job.kind = JobKind::kSplit;
  job.group = kFirst;
  world.view().jobs.push_back(job);
  EXPECT_TRUE(world.Make().Settled());
  world.view().jobs[0].state = JobState::kDone;
  EXPECT_EQ(world.Make().actions.size(), 1u);
}

// ---- safety while a voter is not well ---------------------------------------------------------

TEST(BalancerSafety, MovesNothingAwayWhileAReplicaIsLost) {
  World world(5);
  world.Shards(8, {{1, 2, 3}});
  world.Kill(NodeId(3));
  world.SetRole(NodeId(2), NodeRole::kDraining);
  world.Pass(std::chrono::minutes(1));
  const Plan plan = world.Make();
  for (const Action& action : plan.actions) {
    EXPECT_EQ(action.kind, ActionKind::kTransferLeader) << ActionText(action);
  }
  EXPECT_THAT(PlanText(plan), HasSubstr("node 2 keeps its replica until all voters are alive"));
}

TEST(BalancerSafety, EvensNothingOutWhileAReplicaIsBehind) {
  World world(4);
  world.Shards(8, {{1, 2, 3}});
  EXPECT_FALSE(world.Make().Settled());
  for (ShardView& shard : world.view().shards) shard.behind = {NodeId(2)};
  EXPECT_TRUE(world.Make().Settled()) << PlanText(world.Make());
}

}  // namespace
}  // namespace flotilla
