// Membership: joint consensus, learners, removal (paper, section 6; thesis, chapter 4).

#include <gtest/gtest.h>

#include "tests/raft/core/script.h"

namespace flotilla::raft {
namespace {

TEST(RaftMembership, OneVoterMoreTakesOneStep) {
  Cluster cluster;
  cluster.AddNode(4);
  cluster.Elect(1);
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3, 4}), MembershipRefusal::kNone);
  EXPECT_FALSE(cluster.core(1).configuration().joint());
  cluster.Round(10);
  for (std::uint64_t id : {1, 2, 3, 4}) {
    EXPECT_EQ(cluster.core(id).configuration(), MakeConfiguration({1, 2, 3, 4}));
    EXPECT_EQ(cluster.core(id).commit(), cluster.core(1).commit());
  }
}

struct JointCase {
  const char* name;
  std::set<std::uint64_t> from, to, learners;
};

class RaftMembershipJoint : public testing::TestWithParam<JointCase> {};

TEST_P(RaftMembershipJoint, GoesThroughAJointConfigurationAndLeavesItByItself) {
  const JointCase& c = GetParam();
  Cluster cluster({.voters = {c.from.begin(), c.from.end()}});
  for (std::uint64_t id = 1; id <= 5; ++id) {
    if (!c.from.contains(id)) cluster.AddNode(id);
  }
  cluster.Elect(1);
  ASSERT_EQ(cluster.ChangeMembers(1, c.to, c.learners), MembershipRefusal::kNone);
  EXPECT_TRUE(cluster.core(1).configuration().joint());
  cluster.Round(60);
  const std::uint64_t leader = cluster.leader();
  ASSERT_TRUE(c.to.contains(leader));
  EXPECT_EQ(cluster.core(leader).configuration(), MakeConfiguration(c.to, c.learners));
  ASSERT_TRUE(cluster.Propose(leader, "after").first);
  cluster.Round(10);
  for (std::uint64_t id : c.to) {
    EXPECT_EQ(cluster.core(id).commit(), cluster.core(leader).last_index());
  }
}

INSTANTIATE_TEST_SUITE_P(All, RaftMembershipJoint,
                         testing::Values(JointCase{"TwoAdds", {1, 2, 3}, {1, 2, 3, 4, 5}, {}},
                                         JointCase{"TwoRemoves", {1, 2, 3, 4, 5}, {1, 2, 3}, {}},
                                         JointCase{"AddAndRemove", {1, 2, 3}, {1, 2, 4}, {}},
                                         JointCase{
                                             "RemoveTheLeaderAndAdd", {1, 2, 3}, {2, 3, 4}, {}},
                                         JointCase{"ReplaceAll", {1, 2}, {3, 4, 5}, {}},
                                         JointCase{"Demote", {1, 2, 3}, {1, 2}, {3}},
                                         JointCase{"DemoteTheLeader", {1, 2, 3}, {2, 3}, {1}}),
                         [](const auto& info) { return info.param.name; });

TEST(RaftMembership, AJointConfigurationNeedsBothMajorities) {
  for (const std::set<std::uint64_t>& away : {std::set<std::uint64_t>{2, 3}, {4, 5}}) {
    Cluster cluster;
    cluster.AddNode(4);
    cluster.AddNode(5);
    cluster.Elect(1);
    cluster.Isolate(away);
    cluster.ChangeMembers(1, {1, 4, 5});
    cluster.Round(12);
    EXPECT_EQ(cluster.core(1).commit(), I(1)) << "one half alone decides nothing";
    cluster.Heal();
    cluster.Round(60);
    EXPECT_FALSE(cluster.core(cluster.leader()).configuration().joint());
  }
}

TEST(RaftMembership, OneChangeAtATime) {
  Cluster cluster;
  cluster.AddNode(4);
  cluster.AddNode(5);
  cluster.Elect(1);
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3, 4}), MembershipRefusal::kNone);
  EXPECT_EQ(cluster.ChangeMembers(1, {1, 2, 3}), MembershipRefusal::kChangeUnderWay);
  cluster.Settle();
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 5}), MembershipRefusal::kNone);
  EXPECT_EQ(cluster.ChangeMembers(1, {1, 2, 3}), MembershipRefusal::kChangeUnderWay);
}

TEST(RaftMembership, NoneBeforeTheFirstCommitOfTheTerm) {
  Cluster cluster;
  cluster.drop = [](const Message& message) {
    return std::holds_alternative<AppendRequest>(message.body);
  };
  cluster.Elect(1);
  EXPECT_EQ(cluster.ChangeMembers(1, {1, 2}), MembershipRefusal::kChangeUnderWay);
  cluster.drop = nullptr;
  cluster.Round(12);
  EXPECT_EQ(cluster.ChangeMembers(1, {1, 2}), MembershipRefusal::kNone);
}

TEST(RaftMembership, RefusalsSayWhy) {
  Cluster cluster;
  cluster.Elect(1);
  EXPECT_EQ(cluster.ChangeMembers(2, {1, 2}), MembershipRefusal::kNotLeader);
  EXPECT_EQ(cluster.ChangeMembers(1, {}), MembershipRefusal::kNoVoters);
  EXPECT_EQ(cluster.ChangeMembers(1, {1, 2, 3}), MembershipRefusal::kNoChange);
}

TEST(RaftMembership, ALearnerIsPromotedOnlyWhenItHasCaughtUp) {
  CoreOptions core;
  core.inflight_bytes_max = 10;
  Cluster cluster({.voters = {1, 2}, .learners = {3}, .core = core});
  cluster.Elect(1);
  cluster.Isolate({3});
  for (int i = 0; i < 5; ++i) cluster.Propose(1, "0123456789");
  cluster.Round(1);
  EXPECT_EQ(cluster.ChangeMembers(1, {1, 2, 3}), MembershipRefusal::kNotCaughtUp);
  cluster.Heal();
  cluster.Round(20);
  EXPECT_EQ(cluster.ChangeMembers(1, {1, 2, 3}), MembershipRefusal::kNone);
}

TEST(RaftMembership, ALearnerHoldsUpNoWrite) {
  Cluster cluster({.voters = {1}, .learners = {2, 3}});
  cluster.Tick(1, 30);
  cluster.Propose(1, "x");
  EXPECT_EQ(cluster.core(1).commit(), I(2)) << "nobody else was asked";
  cluster.Round(10);
  EXPECT_EQ(cluster.core(3).commit(), I(2));
}

TEST(RaftMembership, ALeaderThatRemovesItselfLeadsUntilThatIsCommitted) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({3});
  ASSERT_EQ(cluster.ChangeMembers(1, {2, 3}), MembershipRefusal::kNone);
  cluster.Settle();
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(1).commit(), I(1)) << "it does not count itself";
  cluster.Heal();
  cluster.Round(12);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  const std::uint64_t leader = cluster.leader();
  ASSERT_NE(leader, 0u) << "it asked the best of the others to go on at once";
  EXPECT_EQ(cluster.core(leader).configuration(), MakeConfiguration({2, 3}));
  EXPECT_EQ(cluster.core(5 - leader).commit(), cluster.core(leader).commit());
}

TEST(RaftMembership, ARemovedNodeDisturbsNobody) {
  Cluster cluster({.voters = {1, 2, 3, 4}});
  cluster.Elect(1);
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3}), MembershipRefusal::kNone);
  cluster.Round(200);
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(1).term(), T(1));
}

TEST(RaftMembership, WhoLeavesIsToldOnceThatIsCommitted) {
  Cluster cluster({.voters = {1, 2, 3, 4}});
  cluster.Elect(1);
  cluster.drop = [](const Message& message) { return message.to == N(2) || message.to == N(3); };
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3}), MembershipRefusal::kNone);
  cluster.DeliverAll();
  EXPECT_EQ(cluster.core(4).configuration(), MakeConfiguration({1, 2, 3}));
  EXPECT_TRUE(cluster.core(4).MembersChanging());
  cluster.drop = nullptr;
  cluster.Round(20);
  EXPECT_FALSE(cluster.core(1).MembersChanging());
  EXPECT_FALSE(cluster.core(4).MembersChanging());
}

TEST(RaftMembership, ATruncatedConfigurationIsRevoked) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({1});
  cluster.ChangeMembers(1, {1, 4, 5});
  EXPECT_TRUE(cluster.core(1).configuration().joint());
  cluster.Round(80);
  cluster.Heal();
  cluster.Round(40);
  EXPECT_EQ(cluster.core(1).configuration(), MakeConfiguration({1, 2, 3}));
  EXPECT_EQ(cluster.core(1).leader(), N(cluster.leader()));
}

TEST(RaftMembership, ALearnerThatHasNotHeardOfItsPromotionVotes) {
  Cluster cluster({.voters = {1, 2}, .learners = {3}});
  cluster.Elect(1);
  cluster.Propose(1, "x");
  cluster.Settle();
  // The promotion reaches node 2 only, and then its leader is gone: 2 needs the vote of 3, whose
  // log has not got the entry that makes it a voter.
  cluster.drop = [](const Message& message) { return message.from == N(1) && message.to == N(3); };
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3}), MembershipRefusal::kNone);
  cluster.Settle();
  cluster.Crash(1);
  EXPECT_FALSE(cluster.core(3).configuration().IsVoter(N(3)));
  cluster.Round(80);
  EXPECT_EQ(cluster.leader(), 2u);
  EXPECT_TRUE(cluster.core(3).configuration().IsVoter(N(3)));
}

TEST(RaftMembership, AVoterBeingRemovedCampaignsUntilThatIsCommitted) {
  // 1 leads {1, 2, 3} to {3}. The joint entry is committed, the leaving one is on 1 alone, and 2
  // is dead: 3 needs a vote of the old half and cannot get it, for its log is behind; so 1, which
  // is no member in its newest configuration, must win.
  Cluster cluster;
  cluster.Elect(1);
  ASSERT_EQ(cluster.ChangeMembers(1, {3}), MembershipRefusal::kNone);
  cluster.drop = [](const Message& message) {
    const auto* request = std::get_if<AppendRequest>(&message.body);
    return request && message.to == N(3) && !request->entries.empty() &&
           request->entries.back().index >= I(3);
  };
  cluster.DeliverAll();
  ASSERT_EQ(cluster.core(1).configuration(), MakeConfiguration({3}));
  ASSERT_TRUE(cluster.core(3).configuration().joint());
  cluster.Crash(2);
  cluster.Crash(1);
  cluster.Restart(1);
  cluster.drop = nullptr;
  cluster.Round(150);
  EXPECT_EQ(cluster.leader(), 3u);
  EXPECT_EQ(cluster.core(3).configuration(), MakeConfiguration({3}));
}

// A crash of the leader, or of anyone, in every phase of joint consensus: after each number of
// delivered messages.
TEST(RaftMembership, ACrashInAnyPhaseEndsInOneOfTheTwoConfigurations) {
  for (std::uint64_t victim : {1, 2, 4}) {
    for (int delivered = 0; delivered < 40; ++delivered) {
      Cluster cluster({.instant_disks = false});
      cluster.AddNode(4);
      cluster.AddNode(5);
      cluster.Elect(1);
      ASSERT_EQ(cluster.ChangeMembers(1, {3, 4, 5}), MembershipRefusal::kNone);
      for (int i = 0; i < delivered; ++i) {
        for (std::uint64_t id : cluster.ids()) {
          if (i % 2 == 0) cluster.CompleteWrite(id);
        }
        if (cluster.network().empty()) continue;
        Message message = cluster.network().front();
        cluster.network().pop_front();
        cluster.Deliver(std::move(message));
      }
      cluster.Crash(victim, static_cast<std::size_t>(delivered % 2));
      cluster.network().clear();
      cluster.Round(100);
      if (victim != 2) {  // with the others alone, both halves may lack a majority
        cluster.Restart(victim);
        cluster.Round(150);
      }
      const std::uint64_t leader = cluster.leader();
      ASSERT_NE(leader, 0u) << "victim " << victim << " after " << delivered;
      const Configuration& now = cluster.core(leader).configuration();
      EXPECT_TRUE(now == MakeConfiguration({1, 2, 3}) || now == MakeConfiguration({3, 4, 5}))
          << "victim " << victim << " after " << delivered;
      cluster.Propose(leader, "after");
      cluster.Round(10);
      EXPECT_EQ(cluster.core(leader).commit(), cluster.core(leader).last_index());
    }
  }
}

}  // namespace
}  // namespace flotilla::raft
