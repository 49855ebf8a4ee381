// Linearizable reads: read index and leases (thesis, 6.4).

#include <gtest/gtest.h>

#include <set>

#include "tests/raft/core/script.h"

namespace flotilla::raft {
namespace {

TEST(RaftRead, IsConfirmedByOneRoundOfHeartbeats) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Read(1, 7);
  EXPECT_EQ(Sent<Heartbeat>(cluster).size(), 1u) << "with the leader itself, a quorum";
  EXPECT_TRUE(cluster.at(1).reads_confirmed.empty());
  cluster.DeliverAll();
  ASSERT_EQ(cluster.at(1).reads_confirmed.size(), 1u);
  EXPECT_EQ(cluster.at(1).reads_confirmed[0].index, I(1));
}

TEST(RaftRead, ReadsThatWaitTogetherShareARound) {
  Cluster cluster;
  cluster.Elect(1);
  for (std::uint64_t context = 1; context <= 100; ++context) cluster.core(1).ReadIndex(context);
  for (std::uint64_t context = 1; context <= 100; ++context) {
    cluster.invariants().OnReadAsked(N(1), context);
  }
  cluster.Drain(1);
  EXPECT_EQ(Sent<Heartbeat>(cluster).size(), 1u);
  for (std::uint64_t context = 101; context <= 200; ++context) cluster.Read(1, context);
  EXPECT_EQ(Sent<Heartbeat>(cluster).size(), 2u) << "one more round under way, the others gather";
  cluster.DeliverAll();
  EXPECT_EQ(cluster.at(1).reads_confirmed.size(), 200u);
}

TEST(RaftRead, EveryoneIsAskedWhenTheFewAreSilentForATick) {
  Cluster cluster({.voters = {1, 2, 3, 4, 5}});
  cluster.Elect(1);
  cluster.Round(5);
  cluster.Read(1, 1);
  std::set<NodeId> asked;
  for (const Message& message : cluster.network()) asked.insert(message.to);
  ASSERT_EQ(asked.size(), 2u);
  std::set<std::uint64_t> silent;
  for (NodeId node : asked) silent.insert(node.value());
  cluster.Isolate(silent);
  cluster.DeliverAll();
  EXPECT_TRUE(cluster.at(1).reads_confirmed.empty());
  cluster.Tick(1, 2);
  cluster.DeliverAll();
  EXPECT_EQ(cluster.at(1).reads_confirmed.size(), 1u);
  // From now on those who answered are the few.
  cluster.Read(1, 2);
  for (const Message& message : cluster.network()) EXPECT_FALSE(asked.contains(message.to));
  cluster.DeliverAll();
  EXPECT_EQ(cluster.at(1).reads_confirmed.size(), 2u);
}

TEST(RaftRead, AJointConfigurationIsAskedWhole) {
  Cluster cluster({.voters = {1, 2, 3}});
  cluster.Elect(1);
  cluster.drop = [](const Message& message) {
    return std::holds_alternative<AppendReply>(message.body);
  };
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 4, 5}), MembershipRefusal::kNone);
  cluster.network().clear();
  cluster.Read(1, 1);
  std::set<NodeId> asked;
  for (const Message& message : cluster.network()) {
    if (std::holds_alternative<Heartbeat>(message.body)) asked.insert(message.to);
  }
  EXPECT_EQ(asked, (std::set<NodeId>{N(2), N(3), N(4), N(5)}));
}

TEST(RaftRead, AnOldEchoConfirmsNoLaterRead) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Tick(1, 5);  // a round of heartbeats leaves
  std::vector<Message> old(cluster.network().begin(), cluster.network().end());
  cluster.network().clear();
  cluster.Read(1, 1);
  cluster.network().clear();
  for (Message& message : old) cluster.Deliver(std::move(message));
  cluster.DeliverAll();
  EXPECT_TRUE(cluster.at(1).reads_confirmed.empty());
  cluster.Tick(1, 5);
  cluster.DeliverAll();
  EXPECT_EQ(cluster.at(1).reads_confirmed.size(), 1u) << "the next heartbeats do";
}

TEST(RaftRead, IsHeldBackUntilTheFirstCommitOfTheTerm) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Propose(1, "x");
  cluster.Settle();
  cluster.Crash(1);
  cluster.drop = [](const Message& message) {
    return std::holds_alternative<AppendRequest>(message.body);
  };
  cluster.Elect(2);
  cluster.Read(2, 1);
  cluster.Round(10);
  EXPECT_TRUE(cluster.at(2).reads_confirmed.empty());
  cluster.drop = nullptr;
  cluster.Round(12);
  ASSERT_EQ(cluster.at(2).reads_confirmed.size(), 1u);
  EXPECT_EQ(cluster.at(2).reads_confirmed[0].index, I(3));
}

TEST(RaftRead, ALoneVoterConfirmsAtOnce) {
  Cluster cluster({.voters = {1}, .learners = {2}});
  cluster.Tick(1, 30);
  cluster.Read(1, 1);
  EXPECT_EQ(cluster.at(1).reads_confirmed.size(), 1u);
}

TEST(RaftRead, RoundsUnderWayAreConfirmedWhenTheLeaderBecomesTheOnlyVoter) {
  Cluster cluster({.voters = {1, 2}});
  cluster.Elect(1);
  cluster.drop = [](const Message& message) {
    return std::holds_alternative<HeartbeatReply>(message.body);
  };
  cluster.Read(1, 1);
  cluster.Read(1, 2);
  cluster.Read(1, 3);
  EXPECT_TRUE(cluster.at(1).reads_confirmed.empty());
  ASSERT_EQ(cluster.ChangeMembers(1, {1}), MembershipRefusal::kNone);
  EXPECT_EQ(cluster.at(1).reads_confirmed.size(), 3u);
}

TEST(RaftRead, LearnersConfirmNothing) {
  Cluster cluster({.voters = {1, 2, 3}, .learners = {4, 5}});
  cluster.Elect(1);
  cluster.Isolate({2, 3});
  cluster.Read(1, 1);
  cluster.DeliverAll();
  EXPECT_TRUE(cluster.at(1).reads_confirmed.empty());
}

TEST(RaftRead, AFollowerAsksItsLeader) {
  for (const std::uint64_t asker : {2, 3}) {
    SCOPED_TRACE(asker);
    Cluster cluster;
    cluster.Elect(1);
    cluster.Propose(1, "x");
    cluster.Settle();
    cluster.Read(asker, 42);
    cluster.DeliverAll();
    ASSERT_EQ(cluster.at(asker).reads_confirmed.size(), 1u);
    EXPECT_EQ(cluster.at(asker).reads_confirmed[0].context, 42u);
    EXPECT_EQ(cluster.at(asker).reads_confirmed[0].index, I(2));
    EXPECT_EQ(cluster.at(asker).applied_index, I(2)) << "it need not wait for a tick";
  }
}

TEST(RaftRead, AFollowersReadsShareARequest) {
  Cluster cluster;
  cluster.Elect(1);
  for (std::uint64_t context = 1; context <= 50; ++context) cluster.Read(2, context);
  EXPECT_LE(Sent<ReadIndexRequest>(cluster).size(), 2u);
  cluster.DeliverAll();
  EXPECT_EQ(cluster.at(2).reads_confirmed.size(), 50u);
}

TEST(RaftRead, WithoutALeaderItIsRefusedAtOnce) {
  Cluster cluster;
  cluster.Read(1, 1);
  EXPECT_EQ(cluster.at(1).reads_refused.size(), 1u);
}

TEST(RaftRead, ALostRequestIsRefusedAfterAnElectionTimeout) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Read(2, 1);
  cluster.network().clear();
  cluster.Round(14);
  EXPECT_TRUE(cluster.at(2).reads_refused.empty());
  cluster.Round(1);
  EXPECT_EQ(cluster.at(2).reads_refused.size(), 1u);
}

TEST(RaftRead, AnAnswerToAnEarlierLifeConfirmsNothing) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Read(2, 1);
  cluster.Deliver(cluster.network().front());
  cluster.DeliverAll();
  Message answer;
  cluster.Read(2, 2);
  while (!cluster.network().empty()) {
    Message message = cluster.network().front();
    cluster.network().pop_front();
    if (std::holds_alternative<ReadIndexReply>(message.body)) {
      answer = message;
    } else {
      cluster.Deliver(message);
    }
  }
  ASSERT_EQ(answer.to, N(2));
  cluster.Crash(2);
  cluster.Restart(2);
  cluster.Round(6);
  cluster.Read(2, 2);  // the driver counts from the start again
  cluster.network().clear();
  cluster.Deliver(answer);
  EXPECT_EQ(cluster.at(2).reads_confirmed.size(), 1u) << "only the one of the first life";
}

TEST(RaftRead, ADeposedLeaderRefusesWhatWaits) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({1});
  cluster.Read(1, 1);
  cluster.Read(2, 2);
  cluster.Round(80);
  EXPECT_EQ(cluster.at(1).reads_refused.size(), 1u);
  EXPECT_EQ(cluster.at(2).reads_refused.size(), 1u);
  EXPECT_EQ(cluster.invariants().reads_unanswered(), 0u);
}

// ---- leases ----------------------------------------------------------------------------------

Cluster WithLeases() {
  CoreOptions core;
  core.leases = true;
  return Cluster({.core = core});
}

TEST(RaftLeases, AnswerWithoutAskingWhileTheyLast) {
  Cluster cluster = WithLeases();
  cluster.Round(60);
  const std::uint64_t leader = cluster.leader();
  cluster.Read(leader, 1);
  EXPECT_EQ(cluster.at(leader).reads_confirmed.size(), 1u);
  EXPECT_TRUE(cluster.network().empty());
}

TEST(RaftLeases, EndBeforeAnybodyElseMayLead) {
  Cluster cluster = WithLeases();
  cluster.Round(60);
  const std::uint64_t old = cluster.leader();
  cluster.Isolate({old});
  std::uint64_t context = 1;
  for (int tick = 0; tick < 100; ++tick) {
    cluster.Round(1);
    // The invariants hold whatever is confirmed against what the others have committed.
    const std::uint64_t now = cluster.leader();
    if (now != 0 && now != old) cluster.Propose(now, "x");
    cluster.Settle();
    cluster.Read(old, context++);
  }
  EXPECT_NE(cluster.leader(), old);
}

TEST(RaftLeases, EndWithATransfer) {
  Cluster cluster = WithLeases();
  cluster.Round(60);
  const std::uint64_t leader = cluster.leader();
  const std::uint64_t target = leader == 1 ? 2 : 1;
  ASSERT_TRUE(cluster.Transfer(leader, target));
  cluster.network().clear();  // the request to campaign is late
  cluster.Tick(leader, 16);   // given up
  cluster.DeliverAll();
  cluster.network().clear();
  cluster.Read(leader, 1);
  EXPECT_TRUE(cluster.at(leader).reads_confirmed.empty())
      << "the target may still campaign, and the voters will not hold it up";
}

TEST(RaftLeases, APausedLeaderThatGetsItsTicksFirstAnswersNothingStale) {
  Cluster cluster = WithLeases();
  cluster.Round(60);
  const std::uint64_t old = cluster.leader();
  cluster.Isolate({old});
  for (int tick = 0; tick < 80; ++tick) {
    for (std::uint64_t id : cluster.ids()) {
      if (id != old) cluster.Tick(id);
    }
    cluster.Settle();
  }
  const std::uint64_t now = cluster.leader();
  ASSERT_TRUE(now != 0 && now != old);
  cluster.Propose(now, "x");
  cluster.Settle();
  cluster.Tick(old, 80);  // what it missed, as CoreOptions::leases asks for
  cluster.Read(old, 1);
  EXPECT_TRUE(cluster.at(old).reads_confirmed.empty());
}

}  // namespace
}  // namespace flotilla::raft
