#include <gtest/gtest.h>

#include <algorithm>

#include "tests/raft/core/script.h"

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

// Also right after a check of the quorum, before they have answered anew.
TEST(RaftCore, WhoAnswersIsActiveAtEveryMoment) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Round(40);
  const auto active = [&](std::uint64_t node) {
    const CoreStatus status = cluster.core(1).Status();
    return std::any_of(status.followers.begin(), status.followers.end(),
                       [&](const auto& one) { return one.node == N(node) && one.recently_active; });
  };
  for (int tick = 0; tick < 60; ++tick) {
    cluster.Tick(1);
    EXPECT_TRUE(active(2) && active(3)) << "after tick " << tick;
    cluster.Settle();
  }
  cluster.Isolate({3});
  cluster.Round(60);
  EXPECT_TRUE(active(2));
  EXPECT_FALSE(active(3));
}

TEST(RaftCore, ANodeThatWasCutOffComesBackWithoutDisturbing) {
  Cluster cluster;
  cluster.Elect(1);
  const Term term = cluster.core(1).term();
  cluster.Isolate({3});
  cluster.Round(500);
  EXPECT_EQ(cluster.core(3).term(), term) << "pre-votes that nobody hears";
  cluster.Heal();
  cluster.Round(40);
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(1).term(), term);
  EXPECT_EQ(cluster.core(3).leader(), N(1));
}

// It was removed and has forgotten the group; it is added again, and somebody who has not heard of
// either asks for its vote.
TEST(RaftCore, WhoLacksWhatItHadDoesNotVote) {
  Cluster cluster;
  cluster.Elect(1);
  for (int i = 0; i < 3; ++i) cluster.Propose(1, "x");
  cluster.Settle();
  cluster.AddNode(4);
  cluster.Crash(4);
  cluster.at(4).durable.hard_state.forgotten = {cluster.core(1).term(),
                                                cluster.core(1).last_index()};
  cluster.Restart(4);
  const auto granted = [&](Term term) {
    const VoteRequest request{cluster.core(1).last_index(), cluster.core(1).term(), false, true};
    cluster.Deliver({N(3), N(4), term, request});
    const std::vector<VoteReply> replies = Sent<VoteReply>(cluster, 3);
    cluster.network().clear();
    return replies.size() == 1 && replies[0].granted;
  };
  EXPECT_FALSE(granted(T(50)));
  EXPECT_EQ(cluster.core(4).term(), T(50));
  cluster.Crash(4);
  cluster.Restart(4);
  EXPECT_FALSE(granted(T(51))) << "it forgets that it forgot";

  cluster.Round(200);
  const std::uint64_t leader = cluster.leader();
  ASSERT_EQ(cluster.ChangeMembers(leader, {1, 2, 3}, {4}), MembershipRefusal::kNone);
  cluster.Round(40);
  EXPECT_EQ(cluster.core(4).commit(), cluster.core(leader).commit());
  EXPECT_TRUE(granted(T(500)));
}

TEST(RaftCore, AMemberWhoseTermRanAheadRejoins) {
  Cluster cluster;
  cluster.Elect(1);
  // However it got there.
  cluster.Deliver(From(2, 3, 70, ReadIndexReply{}));
  ASSERT_EQ(cluster.core(3).term(), T(70));
  cluster.network().clear();
  cluster.Round(100);
  const std::uint64_t leader = cluster.leader();
  ASSERT_NE(leader, 0u);
  EXPECT_GE(cluster.core(leader).term(), T(70));
  for (std::uint64_t id : cluster.ids()) EXPECT_EQ(cluster.core(id).leader(), N(leader));
}

TEST(RaftCore, ARemovedNodeWithAHighTermDeposesNobody) {
  Cluster cluster({.voters = {1, 2, 3, 4}});
  cluster.Elect(1);
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3}), MembershipRefusal::kNone);
  cluster.Round(5);
  const Term term = cluster.core(1).term();
  for (std::uint64_t id : {1, 2, 3}) {
    cluster.Deliver(From(4, id, 99, VoteRequest{I(99), T(98)}));
  }
  cluster.Deliver(From(4, 1, 99, AppendReply{}));
  cluster.Deliver(From(4, 1, 99, HeartbeatReply{1}));
  cluster.Deliver(From(4, 1, 99, VoteReply{}));
  cluster.Round(60);
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(1).term(), term);
}

TEST(RaftCore, ALearnerNeverCampaigns) {
  Cluster cluster({.voters = {1, 2}, .learners = {3}});
  cluster.Tick(3, 500);
  EXPECT_EQ(cluster.core(3).role(), Role::kFollower);
  cluster.Deliver(From(1, 3, 0, TimeoutNow{}));
  EXPECT_EQ(cluster.core(3).role(), Role::kFollower);
}

TEST(RaftCore, ALeaderThatStepsDownIsSucceededByAnother) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.core(1).StepDown();
  cluster.Drain(1);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  cluster.Round(45);
  EXPECT_NE(cluster.leader(), 0u);
  EXPECT_NE(cluster.leader(), 1u);
}

TEST(RaftCore, NothingCarriesATermThatIsNotDurable) {
  Cluster cluster({.instant_disks = false});
  cluster.Deliver(From(2, 1, 5, Beat(0, 1)));
  EXPECT_TRUE(cluster.network().empty());
  cluster.CompleteWrite(1);
  ASSERT_EQ(cluster.network().size(), 1u);
  EXPECT_EQ(cluster.network()[0].term, T(5));
}

TEST(RaftCore, ARestartedNodeWithLeasesVotesForNobodyAtFirst) {
  CoreOptions core;
  core.leases = true;
  Cluster cluster({.core = core});
  cluster.Deliver(From(2, 1, 5, VoteRequest{}));
  EXPECT_TRUE(cluster.network().empty()) << "it may have promised a lease before it stopped";
  cluster.Tick(1, 15);
  cluster.network().clear();
  cluster.Deliver(From(2, 1, 5, VoteRequest{}));
  EXPECT_TRUE(Sent<VoteReply>(cluster).at(0).granted);
}

}  // namespace
}  // namespace flotilla::raft
