#include <gtest/gtest.h>

#include "tests/raft/core/cluster.h"

namespace flotilla::raft {
namespace {

TEST(RaftCore, AProposalIsAppliedByAll) {
  Cluster cluster;
  cluster.Elect(1);
  const ProposeResult result = cluster.Propose(1, "a");
  ASSERT_TRUE(result.first.has_value());
  EXPECT_EQ(*result.first, I(2));
  cluster.Settle();
  for (std::uint64_t id : cluster.ids()) {
    ASSERT_EQ(cluster.at(id).applied.size(), 2u) << "node " << id;
    EXPECT_EQ(cluster.at(id).applied[1].payload.view(), "a");
  }
}

TEST(RaftCore, ALeaderSendsInParallelWithItsOwnWrite) {
  Cluster cluster({.instant_disks = false});
  cluster.Elect(1);
  cluster.Propose(1, "a");
  EXPECT_EQ(cluster.at(1).writes.size(), 1u);
  EXPECT_EQ(cluster.network().size(), 2u);
}

TEST(RaftCore, FollowersCommitWithoutTheLeadersDisk) {
  Cluster cluster({.instant_disks = false});
  cluster.Elect(1);
  cluster.Propose(1, "a");
  cluster.DeliverAll();
  cluster.CompleteWrites(2);
  cluster.CompleteWrites(3);
  cluster.DeliverAll();
  EXPECT_EQ(cluster.core(1).commit(), I(2));
  // But its own state machine does not run ahead of its own log.
  EXPECT_EQ(cluster.at(1).applied_index, I(1));
  cluster.CompleteWrites(1);
  EXPECT_EQ(cluster.at(1).applied_index, I(2));
}

}  // namespace
}  // namespace flotilla::raft
