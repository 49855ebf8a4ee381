#include <gtest/gtest.h>

#include "tests/raft/core/cluster.h"

namespace flotilla::raft {
namespace {

TEST(RaftCore, ThreeNodesElectOneLeader) {
  Cluster cluster;
  cluster.Round(60);
  const std::uint64_t leader = cluster.leader();
  ASSERT_NE(leader, 0u);
  for (std::uint64_t id : cluster.ids()) {
    EXPECT_EQ(cluster.core(id).leader(), N(leader));
    EXPECT_EQ(cluster.core(id).commit(), I(1));
    EXPECT_EQ(cluster.core(id).role(), id == leader ? Role::kLeader : Role::kFollower);
  }
}

TEST(RaftCore, ALoneVoterLeadsOnceItsVoteIsDurable) {
  Cluster cluster({.voters = {1}, .instant_disks = false});
  cluster.Tick(1, 30);
  EXPECT_EQ(cluster.core(1).role(), Role::kCandidate);
  cluster.CompleteWrite(1);
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(1).commit(), I(0));
  cluster.CompleteWrite(1);
  EXPECT_EQ(cluster.core(1).commit(), I(1));
}

TEST(RaftCore, AnotherLeaderTakesOverWhenTheFirstIsCutOff) {
  Cluster cluster;
  cluster.Elect(1);
  const Term before = cluster.core(1).term();
  cluster.Isolate({1});
  cluster.Round(80);
  const std::uint64_t leader = cluster.leader();
  ASSERT_NE(leader, 0u);
  ASSERT_NE(leader, 1u);
  EXPECT_GT(cluster.core(leader).term(), before);
  // Check-quorum: who reaches nobody stops leading by itself.
  EXPECT_NE(cluster.core(1).role(), Role::kLeader);
}

}  // namespace
}  // namespace flotilla::raft
