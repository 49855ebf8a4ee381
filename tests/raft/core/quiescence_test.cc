// Idle groups sleep, and wake when there is work or a suspicion.

#include <gtest/gtest.h>

#include "tests/raft/core/script.h"

namespace flotilla::raft {
namespace {

Cluster Asleep() {
  CoreOptions core;
  core.quiesce_after_ticks = 20;
  Cluster cluster({.core = core});
  cluster.Elect(1);
  cluster.Round(40);
  return cluster;
}

TEST(RaftQuiescence, AnIdleGroupFallsSilent) {
  Cluster cluster = Asleep();
  for (std::uint64_t id : {1, 2, 3}) EXPECT_TRUE(cluster.core(id).quiescent());
  cluster.Tick(1, 1000);
  cluster.Tick(2, 1000);
  EXPECT_TRUE(cluster.network().empty());
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
}

TEST(RaftQuiescence, AProposalWakesEverybody) {
  Cluster cluster = Asleep();
  EXPECT_TRUE(cluster.Propose(1, "x").first);
  cluster.Settle();
  cluster.Round();
  for (std::uint64_t id : {1, 2, 3}) {
    EXPECT_FALSE(cluster.core(id).quiescent());
    EXPECT_EQ(cluster.core(id).commit(), I(2));
  }
  cluster.Round(40);
  EXPECT_TRUE(cluster.core(2).quiescent()) << "and it sleeps again";
}

TEST(RaftQuiescence, AReadWakesTheLeaderFromAnywhere) {
  Cluster cluster = Asleep();
  cluster.Read(2, 1);
  cluster.DeliverAll();
  EXPECT_EQ(cluster.at(2).reads_confirmed.size(), 1u);
}

TEST(RaftQuiescence, WhoHasNotBeenHeardSinceIsKnown) {
  Cluster cluster = Asleep();
  cluster.Crash(3);
  cluster.core(1).Wake();
  const auto assumed = [&] {
    std::string nodes;
    for (const FollowerProgress& follower : cluster.core(1).Status().followers) {
      if (follower.activity_assumed) nodes += std::to_string(follower.node.value());
    }
    return nodes;
  };
  EXPECT_EQ(assumed(), "23");
  cluster.Settle();
  EXPECT_EQ(assumed(), "3");
  cluster.Round(15);
  EXPECT_EQ(assumed(), "");
  for (const FollowerProgress& follower : cluster.core(1).Status().followers) {
    EXPECT_EQ(follower.recently_active, follower.node == NodeId(2));
  }
}

TEST(RaftQuiescence, NotWhileAFollowerIsBehindOrAway) {
  CoreOptions core;
  core.quiesce_after_ticks = 20;
  Cluster cluster({.core = core});
  cluster.Elect(1);
  cluster.Crash(3);
  cluster.Round(100);
  EXPECT_FALSE(cluster.core(1).quiescent());
  cluster.Restart(3);
  cluster.Round(100);
  EXPECT_TRUE(cluster.core(1).quiescent());
}

TEST(RaftQuiescence, ALeaderThatDiedIsReplacedOnceItIsSuspected) {
  Cluster cluster = Asleep();
  cluster.Crash(1);
  cluster.Round(100);
  EXPECT_EQ(cluster.leader(), 0u) << "nobody looks";
  cluster.core(2).Wake();
  cluster.core(3).Wake();
  cluster.Round(80);
  EXPECT_NE(cluster.leader(), 0u);
}

TEST(RaftQuiescence, AFollowerThatRestartsWakesItsLeader) {
  Cluster cluster = Asleep();
  cluster.Crash(3);
  cluster.Restart(3);
  cluster.Round(60);
  EXPECT_EQ(cluster.core(3).leader(), N(1));
  EXPECT_EQ(cluster.core(3).commit(), I(1));
  EXPECT_EQ(cluster.core(1).term(), T(1));
}

TEST(RaftQuiescence, AFollowerThatMissedTheSignalWakesTheGroup) {
  CoreOptions core;
  core.quiesce_after_ticks = 20;
  Cluster cluster({.core = core});
  cluster.Elect(1);
  cluster.drop = [](const Message& message) {
    const auto* heartbeat = std::get_if<Heartbeat>(&message.body);
    return heartbeat && heartbeat->quiesce && message.to == N(3);
  };
  cluster.Round(21);
  EXPECT_TRUE(cluster.core(1).quiescent());
  EXPECT_FALSE(cluster.core(3).quiescent());
  cluster.Round(100);
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(1).term(), T(1));
  cluster.drop = nullptr;
  cluster.Round(60);
  EXPECT_TRUE(cluster.core(3).quiescent());
}

TEST(RaftQuiescence, AStrangerWakesNobody) {
  Cluster cluster = Asleep();
  cluster.Deliver(From(9, 1, 50, VoteRequest{I(9), T(9), true}));
  EXPECT_TRUE(cluster.core(1).quiescent());
  cluster.Deliver(From(3, 1, 50, VoteRequest{I(9), T(9), true}));
  EXPECT_FALSE(cluster.core(1).quiescent());
}

TEST(RaftQuiescence, AMemberThatSleptThroughAMembershipChangeLearnsOfIt) {
  Cluster cluster = Asleep();
  cluster.AddNode(4);
  cluster.Isolate({3});
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3, 4}), MembershipRefusal::kNone);
  cluster.Round(5);
  EXPECT_TRUE(cluster.core(3).quiescent()) << "it heard nothing";
  cluster.Heal();
  cluster.Round(30);
  EXPECT_EQ(cluster.core(3).configuration(), MakeConfiguration({1, 2, 3, 4}));
}

TEST(RaftQuiescence, NotWhileTheDriverHasPlans) {
  CoreOptions core;
  core.quiesce_after_ticks = 20;
  Cluster cluster({.core = core});
  cluster.Elect(1);
  for (int i = 0; i < 10; ++i) {
    cluster.Round(15);
    cluster.core(1).KeepAwake();
  }
  EXPECT_FALSE(cluster.core(1).quiescent());
  cluster.Round(40);
  EXPECT_TRUE(cluster.core(1).quiescent());
}

TEST(RaftQuiescence, AFollowerThatHasNotGotEverythingStaysAwake) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 2, Entries(1, 1, 2))));
  Heartbeat sleep{I(3), 1, true};
  cluster.Deliver(From(2, 1, 1, sleep));
  EXPECT_FALSE(cluster.core(1).quiescent());
  sleep.commit = I(2);
  cluster.Deliver(From(2, 1, 1, sleep));
  EXPECT_TRUE(cluster.core(1).quiescent());
}

}  // namespace
}  // namespace flotilla::raft
