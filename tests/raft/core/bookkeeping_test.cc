// The small pure parts: quorums, progress, configurations, persistence, reads, leases, the codec.

#include <gtest/gtest.h>

#include <algorithm>

#include "raft/core/configuration_tracker.h"
#include "raft/core/lease.h"
#include "raft/core/persist_queue.h"
#include "raft/core/progress.h"
#include "raft/core/quorum.h"
#include "raft/core/read_queue.h"
#include "tests/raft/core/cluster.h"

namespace flotilla::raft {
namespace {

// ---- quorum ----------------------------------------------------------------------------------

std::uint64_t Reached(std::vector<std::uint64_t> values) { return MajorityReached(values); }

TEST(RaftQuorum, IsWhatAMajorityHasReached) {
  EXPECT_EQ(Reached({7}), 7u);
  EXPECT_EQ(Reached({7, 3}), 3u);
  EXPECT_EQ(Reached({9, 3, 5}), 5u);
  EXPECT_EQ(Reached({1, 2, 3, 4}), 2u);
  EXPECT_EQ(Reached({5, 1, 4, 2, 3}), 3u);
  EXPECT_EQ(Reached({}), UINT64_MAX);
}

TEST(RaftQuorum, MatchesItsDefinition) {
  // Every combination of up to five values below four.
  for (int size = 1; size <= 5; ++size) {
    for (int code = 0; code < 1 << (2 * size); ++code) {
      std::vector<std::uint64_t> values;
      for (int i = 0; i < size; ++i) values.push_back(static_cast<unsigned>(code) >> (2 * i) & 3);
      std::uint64_t expected = 0;
      for (std::uint64_t value = 0; value < 4; ++value) {
        const auto above =
            std::count_if(values.begin(), values.end(), [&](auto v) { return v >= value; });
        if (above > size / 2) expected = value;
      }
      EXPECT_EQ(Reached(values), expected);
    }
  }
}

TEST(RaftQuorum, AJointElectionNeedsBothHalves) {
  Configuration joint = MakeConfiguration({1, 2, 3});
  joint.outgoing = MakeConfiguration({3, 4, 5}).voters;
  EXPECT_EQ(TallyVotes(joint, {{N(1), true}, {N(2), true}}), VoteOutcome::kPending);
  EXPECT_EQ(TallyVotes(joint, {{N(1), true}, {N(3), true}, {N(4), true}}), VoteOutcome::kWon);
  EXPECT_EQ(TallyVotes(joint, {{N(1), true}, {N(2), true}, {N(4), false}, {N(5), false}}),
            VoteOutcome::kLost);
  EXPECT_EQ(TallyVotes(joint, {{N(7), true}, {N(8), true}}), VoteOutcome::kPending)
      << "strangers do not count";
  EXPECT_EQ(TallyVotes(Configuration(), {{N(1), true}}), VoteOutcome::kLost)
      << "no voters elect nobody";
}

// ---- progress --------------------------------------------------------------------------------

TEST(RaftProgress, InflightsAreFreedInOrderAndGrow) {
  Inflights inflights;
  for (std::uint64_t i = 1; i <= 50; ++i) inflights.Add(I(i * 10), i);
  EXPECT_EQ(inflights.requests(), 50u);
  EXPECT_EQ(inflights.bytes(), 50u * 51 / 2);
  inflights.FreeTo(I(95));
  EXPECT_EQ(inflights.requests(), 41u);
  for (std::uint64_t i = 51; i <= 200; ++i) inflights.Add(I(i * 10), i);
  inflights.FreeTo(I(2000));
  EXPECT_TRUE(inflights.empty());
  EXPECT_EQ(inflights.bytes(), 0u);
}

Progress Replicating(std::uint64_t match, std::uint64_t next) {
  Progress progress;
  progress.node = N(2);
  progress.match = I(match);
  progress.BecomeReplicate();
  for (std::uint64_t i = match + 1; i < next; ++i) progress.inflights.Add(I(i), 1);
  progress.next = I(next);
  return progress;
}

TEST(RaftProgress, AnAcknowledgementOnlyMovesForward) {
  Progress progress = Replicating(5, 10);
  EXPECT_TRUE(progress.OnAccepted(I(7)));
  EXPECT_EQ(progress.match, I(7));
  EXPECT_EQ(progress.inflights.requests(), 2u);
  EXPECT_FALSE(progress.OnAccepted(I(6)));
  EXPECT_EQ(progress.match, I(7));
}

TEST(RaftProgress, AStaleRejectionChangesNothing) {
  Progress progress = Replicating(5, 10);
  EXPECT_FALSE(progress.OnRejected(I(5), I(3))) << "it matched since";
  EXPECT_FALSE(progress.OnRejected(I(10), I(3))) << "nothing like it was sent";
  EXPECT_EQ(progress.state, Progress::State::kReplicate);
  EXPECT_TRUE(progress.OnRejected(I(8), I(6)));
  EXPECT_EQ(progress.state, Progress::State::kProbe);
  EXPECT_EQ(progress.next, I(7));
  EXPECT_FALSE(progress.OnRejected(I(8), I(5))) << "another answer to the old question";
  EXPECT_EQ(progress.next, I(7));
}

TEST(RaftProgress, ARejectionNeverGoesBelowWhatMatches) {
  Progress progress = Replicating(5, 10);
  EXPECT_TRUE(progress.OnRejected(I(8), I(1)));
  EXPECT_EQ(progress.next, I(6));
}

// ---- configurations --------------------------------------------------------------------------

TEST(RaftConfigurationTracker, TruncationBringsTheOneBeforeBack) {
  ConfigurationTracker tracker(I(0), MakeConfiguration({1}), {});
  tracker.Append(I(4), MakeConfiguration({1, 2}));
  tracker.Append(I(9), MakeConfiguration({1, 2, 3}));
  EXPECT_EQ(tracker.index(), I(9));
  EXPECT_EQ(tracker.previous(), MakeConfiguration({1, 2}));
  EXPECT_EQ(tracker.At(I(8)), MakeConfiguration({1, 2}));
  EXPECT_EQ(tracker.At(I(3)), MakeConfiguration({1}));
  EXPECT_FALSE(tracker.TruncateFrom(I(10)));
  EXPECT_TRUE(tracker.TruncateFrom(I(9)));
  EXPECT_EQ(tracker.current(), MakeConfiguration({1, 2}));
  EXPECT_TRUE(tracker.TruncateFrom(I(1)));
  EXPECT_EQ(tracker.current(), MakeConfiguration({1}));
  EXPECT_EQ(tracker.index(), I(0));
}

TEST(RaftConfigurationTracker, CompactionKeepsTheOneInForce) {
  ConfigurationTracker tracker(I(0), MakeConfiguration({1}),
                               {{I(4), MakeConfiguration({2})}, {I(9), MakeConfiguration({3})}});
  tracker.CompactTo(I(6));
  EXPECT_EQ(tracker.At(I(6)), MakeConfiguration({2}));
  tracker.CompactTo(I(20));
  EXPECT_EQ(tracker.current(), MakeConfiguration({3}));
  EXPECT_EQ(tracker.index(), I(9));
}

TEST(RaftConfiguration, SurvivesItsCodec) {
  Configuration joint = MakeConfiguration({1, 2, 300}, {4, 5});
  joint.outgoing = MakeConfiguration({1, 7}).voters;
  joint.learners_next = MakeConfiguration({7}).voters;
  joint.context = std::string("a\0b", 3);
  const std::string bytes = EncodeConfiguration(joint);
  Configuration decoded;
  ASSERT_TRUE(DecodeConfiguration(bytes, decoded));
  EXPECT_EQ(decoded, joint);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeConfiguration(bytes.substr(0, size), decoded)) << size;
  }
  EXPECT_FALSE(DecodeConfiguration(bytes + "x", decoded));
}

// ---- persistence -----------------------------------------------------------------------------

TEST(RaftPersistQueue, AnOldCompletionDoesNotConfirmWhatOverwroteItsEntries) {
  LogTerms log(I(0), T(0));
  PersistQueue queue(I(0), HardState{});
  const auto append = [&](std::uint64_t term, std::uint64_t index) {
    log.Append(T(term), 1);
    queue.Append(MakeEntry(term, index));
  };
  append(1, 1);
  append(1, 2);
  const auto first = queue.Take({T(1), N(0), I(0)});
  ASSERT_TRUE(first.has_value());
  log.TruncateFrom(I(2));
  queue.TruncateFrom(I(2));
  append(2, 2);
  const auto second = queue.Take({T(2), N(0), I(0)});
  queue.Completed(first->token, log);
  EXPECT_EQ(queue.durable(), I(0));
  queue.Completed(second->token, log);
  EXPECT_EQ(queue.durable(), I(2));
}

TEST(RaftPersistQueue, TruncationTakesDurabilityBack) {
  LogTerms log(I(0), T(0));
  for (int i = 0; i < 5; ++i) log.Append(T(1), 1);
  PersistQueue queue(I(5), HardState{});
  queue.TruncateFrom(I(3));
  EXPECT_EQ(queue.durable(), I(2));
}

TEST(RaftPersistQueue, ALaterCompletionCoversTheEarlierOnes) {
  LogTerms log(I(0), T(0));
  PersistQueue queue(I(0), HardState{});
  log.Append(T(1), 1);
  queue.Append(MakeEntry(1, 1));
  queue.Take({});
  queue.HardStateChanged();
  const auto later = queue.Take({T(2), N(1), I(0)});
  EXPECT_FALSE(queue.hard_state_durable());
  queue.Completed(later->token, log);
  EXPECT_TRUE(queue.hard_state_durable());
  EXPECT_EQ(queue.durable(), I(1));
}

TEST(RaftPersistQueue, ACommitIndexRidesAlongButIsNoReasonToWrite) {
  PersistQueue queue(I(9), HardState{T(1), N(1), I(0)});
  EXPECT_EQ(queue.Take({T(1), N(1), I(5)}), std::nullopt);
  queue.Append(MakeEntry(1, 10));
  const auto batch = queue.Take({T(1), N(1), I(5)});
  ASSERT_TRUE(batch && batch->hard_state);
  EXPECT_EQ(batch->hard_state->commit, I(5));
  queue.Append(MakeEntry(1, 11));
  EXPECT_FALSE(queue.Take({T(1), N(1), I(5)})->hard_state.has_value()) << "nothing new";
}

// ---- reads -----------------------------------------------------------------------------------

TEST(RaftReadQueue, WhoWaitsWhenARoundStartsSharesIt) {
  ReadQueue queue;
  queue.Add({NodeId(), 1});
  queue.Add({NodeId(), 2});
  queue.Start(1, I(10), 0);
  queue.Add({NodeId(), 3});
  queue.Start(2, I(11), 0);
  queue.Add({NodeId(), 4});
  EXPECT_FALSE(queue.may_start()) << "enough rounds are under way";
  std::vector<std::pair<std::uint64_t, Index>> done;
  const auto note = [&](const ReadWaiter& w, Index i) { done.emplace_back(w.context, i); };
  EXPECT_TRUE(queue.ConfirmTo(1, note));
  EXPECT_EQ(done, (std::vector<std::pair<std::uint64_t, Index>>{{1, I(10)}, {2, I(10)}}));
  EXPECT_TRUE(queue.may_start());
  int gone = 0;
  queue.Drain([&](const ReadWaiter&) { ++gone; });
  EXPECT_EQ(gone, 2);
  EXPECT_TRUE(queue.empty());
}

TEST(RaftReadQueue, KnowsForHowLongOnlyFewWereAsked) {
  ReadQueue queue;
  queue.Add({NodeId(), 1});
  queue.Start(4, I(10), 100);
  EXPECT_FALSE(queue.AskedFewBefore(100));
  EXPECT_TRUE(queue.AskedFewBefore(101));
  queue.AskedEveryone();
  EXPECT_FALSE(queue.AskedFewBefore(200));
  queue.Add({NodeId(), 2});
  queue.Start(6, I(10), 103);
  EXPECT_FALSE(queue.AskedFewBefore(103)) << "the older one was asked of everyone";
  EXPECT_TRUE(queue.AskedFewBefore(104));
  queue.ConfirmTo(6, [](const ReadWaiter&, Index) {});
  EXPECT_FALSE(queue.AskedFewBefore(200));
}

TEST(RaftForwardedReads, AnswersOnceAndLapses) {
  ForwardedReads reads(1000);
  reads.Add(1);
  reads.Add(2);
  const std::uint64_t wire = reads.Start(2);
  reads.Add(3);
  const std::uint64_t other = reads.Start(3);
  EXPECT_TRUE(reads.Answered(999).empty());
  EXPECT_EQ(reads.Answered(wire), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_TRUE(reads.Answered(wire).empty());
  EXPECT_TRUE(reads.Tick().empty());
  EXPECT_TRUE(reads.Tick().empty());
  EXPECT_EQ(reads.Tick(), (std::vector<std::uint64_t>{3}));
  EXPECT_TRUE(reads.Answered(other).empty());
  EXPECT_TRUE(reads.empty());
}

TEST(RaftLease, CountsFromWhenTheRoundLeft) {
  Lease lease;
  EXPECT_FALSE(lease.ValidAt(0, 10));
  lease.Sent(1, 100);
  lease.Sent(2, 103);
  lease.ConfirmedTo(1);
  EXPECT_TRUE(lease.ValidAt(109, 10));
  EXPECT_FALSE(lease.ValidAt(110, 10));
  lease.ConfirmedTo(2);
  EXPECT_TRUE(lease.ValidAt(112, 10));
  lease.Forfeit();
  EXPECT_FALSE(lease.ValidAt(103, 10));
}

}  // namespace
}  // namespace flotilla::raft
