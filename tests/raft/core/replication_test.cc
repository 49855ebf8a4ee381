#include <gtest/gtest.h>

#include "tests/raft/core/script.h"

namespace flotilla::raft {
namespace {

TEST(RaftCore, AProposalIsAppliedByAll) {
  Cluster cluster;
  cluster.Elect(1);
  const ProposeResult result = cluster.Propose(1, "a");
  ASSERT_TRUE(result.first.has_value());
  EXPECT_EQ(*result.first, I(2));
  cluster.Settle();
  cluster.Round();
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

TEST(RaftCore, ReplicatesControlEntriesAsCommands) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.core(1).Propose({Bytes(std::string("split"))}, EntryKind::kControl);
  cluster.Drain(1);
  cluster.DeliverAll();
  cluster.Round();
  for (const std::uint64_t id : {1, 2, 3}) {
    const std::vector<Entry>& applied = cluster.at(id).applied;
    ASSERT_FALSE(applied.empty());
    EXPECT_EQ(applied.back(),
              (Entry{T(1), I(2), EntryKind::kControl, Bytes(std::string("split"))}));
  }
}

TEST(RaftCore, ProposalsBeforeAReadyMakeOneMessageAFollower) {
  Cluster cluster;
  cluster.Elect(1);
  for (int i = 0; i < 10; ++i) cluster.core(1).Propose({Bytes(std::string("x"))});
  cluster.Drain(1);
  const auto requests = Sent<AppendRequest>(cluster);
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].entries.size(), 10u);
}

TEST(RaftCore, RequestsBeforeAReadyMakeOneReply) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 1))));
  cluster.network().clear();
  cluster.core(1).Step(From(2, 1, 1, Append(1, 1, 0, Entries(1, 2, 1))));
  cluster.core(1).Step(From(2, 1, 1, Append(2, 1, 0, Entries(1, 3, 1))));
  cluster.Drain(1);
  const auto replies = Sent<AppendReply>(cluster);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].match, I(3));
}

TEST(RaftCore, ARepeatedRequestIsNotAcknowledgedBeforeItsFirstWriteIsDurable) {
  Cluster cluster({.instant_disks = false});
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0)));
  cluster.CompleteWrites(1);
  cluster.network().clear();
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 2))));
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 2))));
  EXPECT_TRUE(cluster.network().empty());
  cluster.CompleteWrites(1);
  for (const AppendReply& reply : Sent<AppendReply>(cluster)) EXPECT_EQ(reply.match, I(2));
  EXPECT_FALSE(cluster.network().empty());
}

TEST(RaftCore, ACompletionOlderThanAnOverwriteAcknowledgesNothing) {
  Cluster cluster({.instant_disks = false});
  cluster.Deliver(From(2, 1, 1, Append(0, 0, 0, Entries(1, 1, 3))));
  cluster.Deliver(From(3, 1, 2, Append(0, 0, 0, Entries(2, 1, 3))));
  ASSERT_EQ(cluster.at(1).writes.size(), 2u);
  cluster.CompleteWrite(1);
  EXPECT_EQ(cluster.core(1).Status().durable, I(0));
  for (const Message& message : cluster.network()) {
    EXPECT_FALSE(message.to == N(3) && message.term == T(2)) << "not the new leader's entries";
  }
  cluster.CompleteWrite(1);
  EXPECT_EQ(cluster.core(1).Status().durable, I(3));
}

TEST(RaftCore, InFlightRequestsAndBytesAreBounded) {
  CoreOptions core;
  core.inflight_requests_max = 4;
  core.append_bytes_max = 10;
  Cluster cluster({.core = core});
  cluster.Elect(1);
  for (int i = 0; i < 20; ++i) cluster.Propose(1, "0123456789");
  EXPECT_EQ(Sent<AppendRequest>(cluster, 2).size(), 4u);
  cluster.Settle();
  cluster.Round();
  EXPECT_EQ(cluster.core(2).commit(), I(21)) << "acknowledgements let the rest go";

  core.inflight_requests_max = 100;
  core.inflight_bytes_max = 50;
  Cluster bytes({.core = core});
  bytes.Elect(1);
  for (int i = 0; i < 20; ++i) bytes.Propose(1, "0123456789");
  EXPECT_EQ(Sent<AppendRequest>(bytes, 2).size(), 5u);
}

TEST(RaftCore, AnEntryAboveTheRequestSizeTravelsAlone) {
  CoreOptions core;
  core.append_bytes_max = 10;
  Cluster cluster({.core = core});
  cluster.Elect(1);
  cluster.core(1).Propose({Bytes(std::string("a")), Bytes(std::string(1000, 'b'))});
  cluster.Drain(1);
  EXPECT_EQ(Sent<AppendRequest>(cluster, 2).size(), 2u);
  cluster.Settle();
  cluster.Round();
  EXPECT_EQ(cluster.core(3).commit(), I(3));
}

TEST(RaftCore, ALostTailIsFoundByTheNextHeartbeats) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Propose(1, "x");
  cluster.network().clear();
  cluster.Round(15);
  EXPECT_EQ(cluster.core(2).commit(), I(2));
  EXPECT_EQ(cluster.core(3).commit(), I(2));
}

TEST(RaftCore, ACommitTravelsWithTheNextEntries) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Propose(1, "x");
  cluster.Settle();
  EXPECT_EQ(cluster.core(1).commit(), I(2));
  EXPECT_EQ(cluster.core(2).commit(), I(1));
  cluster.Propose(1, "y");
  cluster.Settle();
  for (std::uint64_t id : {2, 3}) EXPECT_EQ(cluster.core(id).commit(), I(2));
}

TEST(RaftCore, ACommitAloneTravelsWithTheNextTickAndAsksForNoAnswer) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Propose(1, "x");
  cluster.Settle();
  cluster.Tick(1);
  EXPECT_EQ(Sent<Heartbeat>(cluster, 2).size(), 1u);
  cluster.DeliverAll();
  for (std::uint64_t id : {1, 2, 3}) EXPECT_EQ(cluster.core(id).commit(), I(2));
  cluster.network().clear();
  const Term term = cluster.core(1).term();
  cluster.Deliver(From(1, 2, term.value(), Beat(2, 0)));
  EXPECT_TRUE(cluster.network().empty());
}

TEST(RaftCore, ACommitAloneIsNotWritten) {
  Cluster cluster({.instant_disks = false});
  cluster.Elect(1);
  cluster.Propose(1, "x");
  cluster.Settle();
  cluster.Tick(1);
  cluster.DeliverAll();
  EXPECT_TRUE(cluster.at(2).writes.empty());
  EXPECT_EQ(cluster.core(2).commit(), I(2));
  EXPECT_LT(cluster.at(2).durable.hard_state.commit, I(2));
  cluster.Propose(1, "y");
  cluster.Settle();
  EXPECT_EQ(cluster.at(2).durable.hard_state.commit, I(2)) << "it rode along";
}

TEST(RaftCore, ProposalsAreRefusedPastTheBoundUntilApplied) {
  CoreOptions core;
  core.uncommitted_bytes_max = 100;
  Cluster cluster({.core = core, .instant_apply = false});
  cluster.Elect(1);
  EXPECT_TRUE(cluster.Propose(1, std::string(1000, 'x')).first) << "alone it passes";
  EXPECT_EQ(cluster.Propose(1, "y").refusal, ProposeRefusal::kTooMuchInFlight);
  cluster.Settle();
  EXPECT_FALSE(cluster.Propose(1, "y").first) << "committed is not applied";
  cluster.core(1).Applied(cluster.at(1).applied_index);
  EXPECT_TRUE(cluster.Propose(1, "y").first);
}

TEST(RaftCore, OnlyALeaderTakesProposals) {
  Cluster cluster;
  cluster.Elect(1);
  const ProposeResult result = cluster.Propose(2, "x");
  EXPECT_FALSE(result.first);
  EXPECT_EQ(result.refusal, ProposeRefusal::kNotLeader);
}

TEST(RaftCore, AnUnreachableFollowerIsProbedNotFlooded) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Propose(1, "x");
  cluster.network().clear();
  cluster.core(1).ReportUnreachable(N(2));
  cluster.Drain(1);
  for (int i = 0; i < 5; ++i) cluster.Propose(1, "y");
  EXPECT_TRUE(Sent<AppendRequest>(cluster, 2).empty());
  cluster.Round(20);
  EXPECT_EQ(cluster.core(2).commit(), I(7));
}

TEST(RaftCore, AMalformedRequestIsIgnored) {
  Cluster cluster;
  cluster.Deliver(From(2, 1, 3, Append(0, 0, 0, {MakeEntry(1, 2)})));  // a gap
  cluster.Deliver(From(2, 1, 3, Append(0, 0, 0, {MakeEntry(4, 1)})));  // a future term
  cluster.Deliver(From(2, 1, 3, Append(0, 0, 0, {MakeEntry(2, 1), MakeEntry(1, 2)})));
  Entry broken = MakeEntry(3, 1, "not a configuration");
  broken.kind = EntryKind::kConfiguration;
  cluster.Deliver(From(2, 1, 3, Append(0, 0, 0, {broken})));
  EXPECT_EQ(cluster.core(1).last_index(), I(0));
  EXPECT_TRUE(Sent<AppendReply>(cluster).empty());
  cluster.Elect(1);
  const std::uint64_t term = cluster.core(1).term().value();
  cluster.Deliver(From(2, 1, term, Accepted(999)));
  EXPECT_EQ(cluster.core(1).commit(), I(1));
}

TEST(RaftCore, TheSuffixOfADeposedLeaderIsReportedAsOverwritten) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Isolate({1});
  cluster.Propose(1, "lost");
  cluster.Propose(1, "lost too");
  cluster.Round(80);
  cluster.Heal();
  cluster.Round(40);
  ASSERT_EQ(cluster.at(1).overwritten.size(), 1u);
  EXPECT_EQ(cluster.at(1).overwritten[0].first, I(2));
  EXPECT_EQ(cluster.core(1).commit(), cluster.core(2).commit());
}

}  // namespace
}  // namespace flotilla::raft
