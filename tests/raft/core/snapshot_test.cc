// Snapshots and compaction (paper, section 7).

#include <gtest/gtest.h>

#include "tests/raft/core/script.h"

namespace flotilla::raft {
namespace {

// Node 3 has missed what nodes 1 and 2 have compacted away.
Cluster WithALaggard() {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Crash(3);
  for (int i = 0; i < 10; ++i) cluster.Propose(1, "x");
  cluster.Settle();
  cluster.Compact(1, I(8));
  return cluster;
}

TEST(RaftSnapshot, AFollowerBehindCompactionGetsOne) {
  Cluster cluster = WithALaggard();
  cluster.Restart(3);
  cluster.Round(30);
  EXPECT_EQ(cluster.core(3).commit(), I(11));
  EXPECT_EQ(cluster.at(3).applied.size(), 11u);
  cluster.Propose(1, "y");
  cluster.Settle();
  cluster.Round();
  EXPECT_EQ(cluster.core(3).commit(), I(12));
}

TEST(RaftSnapshot, IsNotSentToOneThatIsAway) {
  Cluster cluster = WithALaggard();
  for (int i = 0; i < 100; ++i) {
    cluster.Tick(1);
    cluster.Tick(2);
    cluster.DeliverAll();
  }
  EXPECT_TRUE(cluster.at(1).snapshot_wanted_by.empty());
}

TEST(RaftSnapshot, AFailedOneIsWantedAgainNotAtOnceButWithTheNextHeartbeat) {
  Cluster cluster = WithALaggard();
  cluster.Restart(3);
  for (int i = 0; i < 20 && cluster.at(1).snapshot_wanted_by.empty(); ++i) {
    cluster.Tick(1);
    cluster.DeliverAll();
  }
  ASSERT_EQ(cluster.at(1).snapshot_wanted_by.size(), 1u);
  cluster.SendSnapshots(1, /*delivered=*/false);
  EXPECT_TRUE(cluster.at(1).snapshot_wanted_by.empty());
  cluster.Tick(1, 5);
  cluster.DeliverAll();
  EXPECT_EQ(cluster.at(1).snapshot_wanted_by.size(), 1u);
}

SnapshotMark Mark(std::uint64_t index, std::uint64_t term) {
  return {I(index), T(term), MakeConfiguration({1, 2, 3})};
}

TEST(RaftSnapshot, AStaleOneIsIgnoredAndTheLeaderToldWhereTheFollowerIs) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 5, Entries(1, 1, 5))));
  cluster.network().clear();
  cluster.Deliver(From(2, 1, 1, SnapshotRequest{Mark(3, 1)}));
  EXPECT_FALSE(cluster.at(1).install.has_value());
  EXPECT_EQ(Sent<AppendReply>(cluster).at(0).match, I(5));
}

TEST(RaftSnapshot, OneThatTheLogHasAlreadyOnlyCommits) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 5))));
  cluster.Deliver(From(2, 1, 1, SnapshotRequest{Mark(4, 1)}));
  EXPECT_FALSE(cluster.at(1).install.has_value());
  EXPECT_EQ(cluster.core(1).commit(), I(4));
  EXPECT_EQ(cluster.core(1).last_index(), I(5)) << "what follows it stays";
}

TEST(RaftSnapshot, ReplacesALogThatDisagrees) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 9))));
  cluster.network().clear();
  cluster.Deliver(From(3, 1, 3, SnapshotRequest{Mark(6, 2)}));
  ASSERT_TRUE(cluster.at(1).install.has_value());
  EXPECT_EQ(cluster.core(1).commit(), I(0)) << "not before it is in place";
  EXPECT_TRUE(Sent<AppendReply>(cluster).empty());
  // Meanwhile nothing is appended or committed, no other snapshot taken, no campaign begun.
  cluster.Deliver(From(3, 1, 3, Append(6, 2, 8, Entries(3, 7, 2))));
  cluster.Deliver(From(3, 1, 3, Beat(8, 1)));
  cluster.Deliver(From(3, 1, 3, SnapshotRequest{Mark(8, 3)}));
  cluster.Tick(1, 100);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  EXPECT_EQ(cluster.core(1).last_index(), I(9));
  cluster.Deliver(From(3, 1, 3, Beat(8, 2)));
  cluster.network().clear();
  cluster.core(1).SnapshotInstalled(I(6));
  cluster.at(1).install.reset();
  cluster.at(1).durable.snapshot = cluster.at(1).seen.snapshot = Mark(6, 2);
  cluster.at(1).durable.log.clear();
  cluster.at(1).seen.log.clear();
  cluster.at(1).applied_index = I(6);
  cluster.Drain(1);
  EXPECT_EQ(cluster.core(1).commit(), I(6));
  EXPECT_EQ(cluster.core(1).last_index(), I(6));
  EXPECT_EQ(Sent<AppendReply>(cluster).at(0).match, I(6));
  ASSERT_EQ(cluster.at(1).overwritten.size(), 1u);
  EXPECT_EQ(cluster.at(1).overwritten[0].first, I(7));
}

TEST(RaftSnapshot, TwoInQuickSuccessionAreTakenOneAfterTheOther) {
  Cluster cluster;
  cluster.Elect(1);
  for (int i = 0; i < 3; ++i) cluster.Propose(1, "x");
  cluster.Settle();
  cluster.AddNode(4);
  const std::uint64_t term = cluster.core(1).term().value();
  cluster.Deliver(From(1, 4, term, SnapshotRequest{Mark(2, term)}));
  cluster.Deliver(From(1, 4, term, SnapshotRequest{Mark(3, term)}));
  EXPECT_EQ(cluster.at(4).install->index, I(2));
  cluster.FinishInstall(4);
  EXPECT_EQ(cluster.core(4).commit(), I(2));
  cluster.Deliver(From(1, 4, term, SnapshotRequest{Mark(3, term)}));
  cluster.FinishInstall(4);
  EXPECT_EQ(cluster.core(4).commit(), I(3));
  cluster.Deliver(From(1, 4, term, SnapshotRequest{Mark(2, term)}));
  EXPECT_FALSE(cluster.at(4).install.has_value()) << "the older one again";
}

TEST(RaftSnapshot, EntriesThatWaitForTheDiskAreWrittenBeforeTheInstall) {
  Cluster cluster({.instant_disks = false});
  cluster.core(1).Step(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 2))));
  cluster.core(1).Step(From(2, 1, 1, SnapshotRequest{Mark(6, 1)}));
  const Ready first = cluster.core(1).TakeReady();
  EXPECT_TRUE(first.persist && !first.persist->entries.empty());
  EXPECT_FALSE(first.install.has_value());
  ASSERT_TRUE(cluster.core(1).HasReady());
  const Ready second = cluster.core(1).TakeReady();
  EXPECT_TRUE(second.install.has_value());
  EXPECT_FALSE(second.persist.has_value());
}

TEST(RaftSnapshot, WhatBecomesDurableDuringTheInstallIsNotApplied) {
  Cluster cluster({.instant_disks = false});
  cluster.core(1).Step(From(2, 1, 1, Append(0, 0, 2, Entries(1, 1, 2))));
  const Ready written = cluster.core(1).TakeReady();
  ASSERT_TRUE(written.persist.has_value());
  cluster.core(1).Step(From(2, 1, 1, SnapshotRequest{Mark(6, 1)}));
  ASSERT_TRUE(cluster.core(1).TakeReady().install.has_value());
  cluster.core(1).Persisted(written.persist->token);
  while (cluster.core(1).HasReady()) {
    EXPECT_TRUE(cluster.core(1).TakeReady().committed.empty()) << "the state is ahead of it";
  }
}

TEST(RaftSnapshot, ACrashAtEachStepOfAnInstallLeavesANodeThatComesBack) {
  for (int step = 0; step < 3; ++step) {
    Cluster cluster = WithALaggard();
    cluster.Restart(3);
    for (int i = 0; i < 20 && cluster.at(1).snapshot_wanted_by.empty(); ++i) {
      cluster.Tick(1);
      cluster.DeliverAll();
    }
    if (step >= 1) {
      cluster.SendSnapshots(1);
      cluster.DeliverAll();
      ASSERT_TRUE(cluster.at(3).install.has_value());
    }
    if (step >= 2) cluster.FinishInstall(3);
    cluster.Crash(3);
    cluster.network().clear();
    cluster.Restart(3);
    cluster.Round(40);
    EXPECT_EQ(cluster.core(3).commit(), I(11)) << "step " << step;
  }
}

TEST(RaftSnapshot, AConfigurationInsideItIsInForceAfterwards) {
  Cluster cluster;
  cluster.AddNode(4);
  cluster.Elect(1);
  cluster.Crash(3);
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3, 4}), MembershipRefusal::kNone);
  cluster.Round(5);
  cluster.Propose(1, "x");
  cluster.Settle();
  cluster.Compact(1, I(3));
  cluster.Restart(3);
  cluster.Round(30);
  EXPECT_EQ(cluster.core(3).configuration(), MakeConfiguration({1, 2, 3, 4}));
  EXPECT_EQ(cluster.core(3).Status().snapshot.configuration, MakeConfiguration({1, 2, 3, 4}));
}

TEST(RaftSnapshot, ACompactedNodeRestartsFromItsMark) {
  Cluster cluster = WithALaggard();
  cluster.Crash(1, 0, I(9));
  cluster.Restart(1);
  EXPECT_EQ(cluster.core(1).Status().snapshot.index, I(8));
  EXPECT_EQ(cluster.core(1).last_index(), I(11));
  EXPECT_EQ(cluster.core(1).TermAt(I(7)), std::nullopt);
  EXPECT_EQ(cluster.core(1).Status().applied, I(9));
}

}  // namespace
}  // namespace flotilla::raft
