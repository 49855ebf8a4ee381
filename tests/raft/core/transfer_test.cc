// Leadership transfer (thesis, 3.10).

#include <gtest/gtest.h>

#include "tests/raft/core/script.h"

namespace flotilla::raft {
namespace {

TEST(RaftTransfer, TheTargetLeadsAtOnce) {
  Cluster cluster;
  cluster.Elect(1);
  ASSERT_TRUE(cluster.Transfer(1, 3));
  cluster.Settle();
  EXPECT_EQ(cluster.leader(), 3u);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
}

TEST(RaftTransfer, ATargetThatIsBehindCatchesUpFirst) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({3});
  for (int i = 0; i < 5; ++i) cluster.Propose(1, "x");
  cluster.Settle();
  ASSERT_TRUE(cluster.Transfer(1, 3));
  cluster.Heal();
  cluster.Round(12);
  EXPECT_EQ(cluster.leader(), 3u);
  EXPECT_GE(cluster.core(3).commit(), I(6));
}

TEST(RaftTransfer, ZeroPicksTheOneThatIsFurthest) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({2});
  cluster.Propose(1, "x");
  cluster.Settle();
  ASSERT_TRUE(cluster.Transfer(1, 0));
  cluster.Settle();
  EXPECT_EQ(cluster.leader(), 3u);
}

TEST(RaftTransfer, ProposalsAreRefusedMeanwhile) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({3});
  ASSERT_TRUE(cluster.Transfer(1, 3));
  EXPECT_EQ(cluster.Propose(1, "x").refusal, ProposeRefusal::kTransferring);
  EXPECT_FALSE(cluster.Transfer(1, 2)) << "one at a time";
}

TEST(RaftTransfer, IsGivenUpWhenTheTargetIsDead) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Crash(3);
  ASSERT_TRUE(cluster.Transfer(1, 3));
  cluster.Round(14);
  EXPECT_FALSE(cluster.Propose(1, "x").first);
  cluster.Round(2);
  EXPECT_TRUE(cluster.Propose(1, "x").first);
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
}

TEST(RaftTransfer, OnlyToAVoter) {
  Cluster cluster({.voters = {1, 2}, .learners = {3}});
  cluster.Elect(1);
  EXPECT_FALSE(cluster.Transfer(1, 3));
  EXPECT_FALSE(cluster.Transfer(1, 9));
  EXPECT_FALSE(cluster.Transfer(1, 1));
  EXPECT_FALSE(cluster.Transfer(2, 1)) << "a follower has nothing to hand over";
}

TEST(RaftTransfer, ARequestOfAnOlderTermIsIgnored) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Deliver(From(1, 2, 0, TimeoutNow{}));
  EXPECT_EQ(cluster.core(2).role(), Role::kFollower);
}

TEST(RaftTransfer, AMembershipChangeWaits) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({3});
  ASSERT_TRUE(cluster.Transfer(1, 3));
  EXPECT_EQ(cluster.ChangeMembers(1, {1, 2}), MembershipRefusal::kChangeUnderWay);
}

}  // namespace
}  // namespace flotilla::raft
