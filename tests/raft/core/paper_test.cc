// What the paper says ("In Search of an Understandable Consensus Algorithm", extended version),
// section by section, and what the thesis adds.

#include <gtest/gtest.h>

#include "tests/raft/core/script.h"

namespace flotilla::raft {
namespace {

TEST(RaftPaper, S5_1_ALeaderOfAnOlderTermStepsDown) {
  Cluster cluster;
  cluster.Elect(1);
  const std::uint64_t term = cluster.core(1).term().value();
  cluster.Deliver(From(2, 1, term + 3, AppendReply{}));
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  EXPECT_EQ(cluster.core(1).term(), T(term + 3));
}

TEST(RaftPaper, S5_1_ARequestOfAnOlderTermIsRejectedWithTheNewerOne) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 5, Heartbeat{}));
  cluster.network().clear();
  cluster.Deliver(From(3, 1, 4, Append(0, 0, 0, Entries(4, 1, 1))));
  ASSERT_EQ(cluster.network().size(), 1u);
  EXPECT_EQ(cluster.network()[0].term, T(5));
  EXPECT_FALSE(Sent<AppendReply>(cluster).at(0).accepted);
  EXPECT_EQ(cluster.core(1).last_index(), I(0));
}

TEST(RaftPaper, S5_2_AFollowerThatHearsNothingCampaigns) {
  Cluster cluster;
  cluster.Tick(1, 14);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower) << "never before the shortest timeout";
  cluster.Tick(1, 15);
  EXPECT_EQ(cluster.core(1).role(), Role::kPreCandidate);
}

TEST(RaftPaper, S5_2_HeartbeatsKeepFollowersFromCampaigning) {
  Cluster cluster;
  cluster.Elect(1);
  const Term term = cluster.core(1).term();
  cluster.Round(300);
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
  EXPECT_EQ(cluster.core(1).term(), term);
}

TEST(RaftPaper, S5_2_ACandidateYieldsToTheLeaderOfItsTerm) {
  Cluster cluster;
  cluster.Tick(1, 30);
  cluster.Deliver(From(2, 1, 1, VoteReply{.pre_vote = true, .granted = true}));
  ASSERT_EQ(cluster.core(1).role(), Role::kCandidate);
  cluster.Deliver(From(3, 1, 1, Heartbeat{}));
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  EXPECT_EQ(cluster.core(1).leader(), N(3));
}

TEST(RaftPaper, S5_2_AVoterGivesOneVoteATerm) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, VoteRequest{}));
  cluster.Deliver(From(3, 1, 1, VoteRequest{}));
  cluster.Deliver(From(2, 1, 1, VoteRequest{}));
  const auto replies = Sent<VoteReply>(cluster);
  ASSERT_EQ(replies.size(), 3u);
  EXPECT_TRUE(replies[0].granted);
  EXPECT_FALSE(replies[1].granted);
  EXPECT_TRUE(replies[2].granted) << "the same answer to the same candidate";
}

TEST(RaftPaper, S5_2_AVoteOutlivesACrash) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, VoteRequest{}));
  cluster.Crash(1);
  cluster.Restart(1);
  cluster.network().clear();
  cluster.Deliver(From(3, 1, 1, VoteRequest{}));
  EXPECT_FALSE(Sent<VoteReply>(cluster).at(0).granted);
}

TEST(RaftPaper, S5_2_AVoteLeavesOnlyWhenItIsDurable) {
  Cluster cluster({.instant_disks = false});
  cluster.Deliver(From(2, 1, 1, VoteRequest{}));
  EXPECT_TRUE(cluster.network().empty());
  // A second request meanwhile does not sneak its answer out.
  cluster.Deliver(From(2, 1, 1, VoteRequest{}));
  EXPECT_TRUE(cluster.network().empty());
  cluster.CompleteWrite(1);
  EXPECT_EQ(Sent<VoteReply>(cluster).size(), 2u);
}

TEST(RaftPaper, S5_2_TimeoutsAreSpread) {
  std::set<int> timeouts;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Cluster cluster({.seed = seed});
    int ticks = 0;
    for (; cluster.core(1).role() == Role::kFollower; ++ticks) cluster.Tick(1);
    EXPECT_GE(ticks, 15);
    EXPECT_LT(ticks, 30);
    timeouts.insert(ticks);
  }
  EXPECT_GT(timeouts.size(), 8u);
}

TEST(RaftPaper, S5_3_AFollowerRejectsWhatItsLogDoesNotReach) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 2, Append(5, 2, 0, Entries(2, 6, 1))));
  const AppendReply reply = Sent<AppendReply>(cluster).at(0);
  EXPECT_FALSE(reply.accepted);
  EXPECT_EQ(reply.rejected, I(5));
  EXPECT_EQ(reply.hint_index, I(0));
}

TEST(RaftPaper, S5_3_AConflictRemovesTheEntryAndAllThatFollow) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 4))));
  cluster.Deliver(From(3, 1, 2, Append(1, 1, 0, Entries(2, 2, 1))));
  EXPECT_EQ(Terms(cluster, 1), (std::vector<std::uint64_t>{1, 2}));
  ASSERT_EQ(cluster.at(1).overwritten.size(), 1u);
  EXPECT_EQ(cluster.at(1).overwritten[0].first, I(2));
}

TEST(RaftPaper, S5_3_ADelayedRequestTruncatesNothing) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 4))));
  cluster.network().clear();
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 2))));
  EXPECT_EQ(cluster.core(1).last_index(), I(4));
  // The answer says what that request proves, which is all that the leader may count.
  EXPECT_EQ(Sent<AppendReply>(cluster).at(0).match, I(2));
}

TEST(RaftPaper, S5_3_BacksUpOneTermARequest) {
  // Figure 7 (f): two terms of its own that nobody has. The leader's log is 1 1 1 4 4 5 5 6 6 6.
  Cluster cluster;
  std::vector<Entry> stray = Entries(1, 1, 3);
  for (std::uint64_t i = 4; i <= 6; ++i) stray.push_back(MakeEntry(2, i));
  for (std::uint64_t i = 7; i <= 11; ++i) stray.push_back(MakeEntry(3, i));
  cluster.Deliver(From(2, 1, 3, Append(0, 0, 0, stray)));
  cluster.network().clear();
  cluster.Deliver(From(3, 1, 8, Append(10, 6, 9)));
  const AppendReply reply = Sent<AppendReply>(cluster).at(0);
  EXPECT_FALSE(reply.accepted);
  EXPECT_EQ(reply.hint_index, I(10));
  EXPECT_EQ(reply.hint_term, T(3));
  // By that hint the leader knows that its own last entry not above term 3 is the third.
  cluster.network().clear();
  cluster.Deliver(From(3, 1, 8, Append(3, 1, 9, Entries(4, 4, 2))));
  EXPECT_TRUE(Sent<AppendReply>(cluster).at(0).accepted);
  EXPECT_EQ(cluster.core(1).last_index(), I(5));
}

TEST(RaftPaper, S5_3_AFollowerCommitsOnlyWhatIsKnownToMatch) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 5))));
  // The new leader's log is 1 1 2 2 2 ..., committed up to 5; it has shown that two entries agree.
  cluster.Deliver(From(3, 1, 2, Append(0, 0, 5, Entries(1, 1, 2))));
  EXPECT_EQ(cluster.core(1).commit(), I(2));
}

TEST(RaftPaper, S5_3_AHeartbeatNamesNoMoreThanTheFollowerMatches) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({3});
  for (int i = 0; i < 5; ++i) cluster.Propose(1, "x");
  cluster.Settle();
  ASSERT_EQ(cluster.core(1).commit(), I(6));
  cluster.Tick(1, 5);
  const auto heartbeats = Sent<Heartbeat>(cluster, 3);
  ASSERT_FALSE(heartbeats.empty());
  for (const Heartbeat& heartbeat : heartbeats) EXPECT_LE(heartbeat.commit, I(1));
}

TEST(RaftPaper, S5_4_1_AVoterDeniesACandidateWhoseLogIsBehind) {
  struct Case {
    std::uint64_t index, term;
    bool granted;
  };
  // The voter's log ends with index 3 of term 2.
  for (const Case& c : {Case{3, 2, true}, Case{2, 2, false}, Case{4, 2, true}, Case{9, 1, false},
                        Case{1, 3, true}}) {
    Cluster cluster;
    cluster.Deliver(From(2, 1, 2, Append(0, 0, 0, Entries(2, 1, 3))));
    cluster.Tick(1, 15);  // long enough to have given its leader up
    cluster.network().clear();
    cluster.Deliver(From(3, 1, 7, VoteRequest{I(c.index), T(c.term)}));
    EXPECT_EQ(Sent<VoteReply>(cluster).at(0).granted, c.granted) << c.index << "/" << c.term;
  }
}

// Figure 8: an entry of an older term that sits on a majority can still be overwritten, so
// counting does not commit it.
TEST(RaftPaper, S5_4_2_LeaderCommitsOnlyEntriesOfItsTerm) {
  Cluster cluster({.voters = {1, 2, 3, 4, 5}});
  // (a), (b): an entry of an old leader at index 2, on nodes 1 and 2 only.
  for (std::uint64_t id : {1, 2, 3, 4, 5}) {
    cluster.Deliver(From(id % 5 + 1, id, 1, Append(0, 0, 0, Entries(1, 1, 1))));
  }
  for (std::uint64_t id : {1, 2})
    cluster.Deliver(From(5, id, 2, Append(1, 1, 0, Entries(2, 2, 1))));
  cluster.network().clear();
  // (c): node 1 leads in a later term. Its own entries reach nobody.
  cluster.drop = [](const Message& message) {
    const auto* request = std::get_if<AppendRequest>(&message.body);
    if (!request) return false;
    for (const Entry& entry : request->entries) {
      if (entry.term > T(2)) return true;
    }
    return false;
  };
  cluster.Elect(1);
  const std::uint64_t term = cluster.core(1).term().value();
  // The old entry is on a majority: nodes 3 and 4 say so.
  cluster.Deliver(From(3, 1, term, Accepted(2)));
  cluster.Deliver(From(4, 1, term, Accepted(2)));
  EXPECT_EQ(cluster.core(1).commit(), I(0));
  // (e): once an entry of its own term is, everything before it is committed too. (Those who say
  // so have it: the invariants look at their disks.)
  cluster.drop = nullptr;
  cluster.Round(20);
  EXPECT_GE(cluster.core(1).commit(), I(3));
}

TEST(RaftPaper, S5_4_2_TheNoopCommitsWhatOlderLeadersLeft) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.drop = [](const Message& message) {
    return std::holds_alternative<AppendReply>(message.body) && message.to == N(1);
  };
  cluster.Propose(1, "left");
  cluster.Settle();
  ASSERT_EQ(cluster.core(1).commit(), I(1));
  cluster.Crash(1);
  cluster.drop = nullptr;
  cluster.Elect(2);
  EXPECT_EQ(cluster.core(2).commit(), I(3));
  EXPECT_EQ(cluster.at(2).applied[1].payload.view(), "left");
}

TEST(RaftPaper, S5_5_ACrashedFollowerIsSentToAgainWhenItIsBack) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Crash(3);
  for (int i = 0; i < 10; ++i) cluster.Propose(1, "x");
  cluster.Round(30);
  cluster.Restart(3);
  cluster.Round(30);
  EXPECT_EQ(cluster.core(3).commit(), I(11));
}

TEST(RaftPaper, S6_ANodeThatHearsItsLeaderIgnoresCandidates) {
  Cluster cluster;
  cluster.Elect(1);
  const Term term = cluster.core(1).term();
  cluster.Round(10);
  for (std::uint64_t id : cluster.ids()) {
    cluster.Deliver(From(9, id, term.value() + 50, VoteRequest{I(99), term}));
    cluster.Deliver(From(9, id, term.value() + 50, VoteRequest{I(99), term, true}));
    EXPECT_EQ(cluster.core(id).term(), term);
  }
  EXPECT_EQ(cluster.core(1).role(), Role::kLeader);
}

TEST(RaftPaper, S6_ANodeVotesThoughItIsNoVoterInItsOwnConfiguration) {
  // It may not have heard of its promotion, and the candidate's majority may need it.
  Cluster cluster({.voters = {1, 2, 3}, .learners = {4}});
  cluster.Deliver(From(1, 4, 1, VoteRequest{}));
  EXPECT_TRUE(Sent<VoteReply>(cluster).at(0).granted);
}

TEST(RaftPaper, S8_ALeaderStartsItsTermWithANoop) {
  Cluster cluster;
  cluster.Elect(1);
  ASSERT_FALSE(cluster.at(1).applied.empty());
  EXPECT_EQ(cluster.at(1).applied[0].kind, EntryKind::kNoop);
}

TEST(RaftThesis, S9_6_APreVoteChangesNoTerm) {
  Cluster cluster;
  cluster.Tick(1, 200);
  EXPECT_EQ(cluster.core(1).role(), Role::kPreCandidate);
  EXPECT_EQ(cluster.core(1).term(), T(0)) << "alone it asks for ever, and disturbs nobody";
  cluster.network().clear();
  cluster.Deliver(From(1, 2, 9, VoteRequest{I(0), T(0), true}));
  EXPECT_EQ(cluster.core(2).term(), T(0));
  EXPECT_TRUE(Sent<VoteReply>(cluster).at(0).granted);
  EXPECT_EQ(cluster.network()[0].term, T(9));
}

TEST(RaftThesis, S6_2_ALeaderThatReachesNoMajorityStepsDown) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({1});
  cluster.Tick(1, 31);
  EXPECT_EQ(cluster.core(1).role(), Role::kFollower);
  EXPECT_EQ(cluster.core(1).leader(), NodeId());
}

}  // namespace
}  // namespace flotilla::raft
