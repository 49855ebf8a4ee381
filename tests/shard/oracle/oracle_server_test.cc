#include "shard/oracle/oracle_server.h"

#include <gtest/gtest.h>

#include "tests/shard/oracle/fake_directory.h"

namespace flotilla {
namespace {

struct OracleServerTest : ::testing::Test {
  Timestamp Take(std::uint64_t count = 1) {
    Taken now;
    server.Take(count, {}, now.Sink());
    EXPECT_EQ(now.answers.size(), 1u);
    return now.last();
  }

  FakeRow row;
  FakeDirectory directory{&row};
  OracleServer server{directory.World()};
  Taken taken;
};

TEST_F(OracleServerTest, GivesOutTimestampsBelowTheDurableRow) {
  const Timestamp first = Take(5);
  EXPECT_EQ(Take(), first + 5);
  EXPECT_GT(row.end, first + 5);
}

TEST_F(OracleServerTest, RefusesNoneAndTooMany) {
  server.Take(0, {}, taken.Sink());
  EXPECT_EQ(taken.reason(), Reason::kBadRequest);
  server.Take(kTimestampsTakenMax + 1, {}, taken.Sink());
  EXPECT_EQ(taken.reason(), Reason::kBadRequest);
}

TEST_F(OracleServerTest, AnswersOnlyOnceLeadershipIsConfirmed) {
  Take();
  directory.at_once = false;
  server.Take(1, {}, taken.Sink());
  EXPECT_TRUE(taken.answers.empty());
  directory.ConfirmAll();
  EXPECT_TRUE(taken.last());
}

TEST_F(OracleServerTest, ADeposedLeaderGivesOutNothing) {
  Take();
  directory.leads = false;
  server.Take(1, {}, taken.Sink());
  EXPECT_EQ(taken.reason(), Reason::kNotLeader);
}

TEST_F(OracleServerTest, AnswersOnlyOnceTheWindowIsDurable) {
  directory.at_once = false;
  server.Take(1, {}, taken.Sink());
  server.Take(1, {}, taken.Sink());
  directory.ConfirmAll();
  EXPECT_TRUE(taken.answers.empty());
  ASSERT_EQ(directory.moves.size(), 1u);
  directory.MoveAll();
  ASSERT_EQ(taken.answers.size(), 2u);
  EXPECT_EQ(*taken.answers[1], *taken.answers[0] + 1);
}

TEST_F(OracleServerTest, NobodyWaitsWhileTheWindowIsExtendedAhead) {
  Take();
  directory.at_once = false;
  directory.clock.wall += std::chrono::milliseconds(2'500);
  server.Take(1, {}, taken.Sink());
  directory.ConfirmAll();
  EXPECT_EQ(taken.answers.size(), 1u);
  EXPECT_EQ(directory.moves.size(), 1u);
}

TEST_F(OracleServerTest, AMoveThatFailsTurnsAwayWhoWaits) {
  directory.at_once = false;
  server.Take(1, {}, taken.Sink());
  directory.ConfirmAll();
  row.end = Timestamp(7);  // somebody else was first
  directory.MoveAll();
  EXPECT_EQ(taken.reason(), Reason::kConditionFailed);
  directory.at_once = true;
  EXPECT_GT(Take(), Timestamp(7));
}

TEST_F(OracleServerTest, WhoWaitsForTheWindowOfADeposedLeaderIsTurnedAway) {
  directory.at_once = false;
  server.Take(1, {}, taken.Sink());
  directory.ConfirmAll();
  server.OnDeposed();
  EXPECT_EQ(taken.reason(), Reason::kNotLeader);
  directory.MoveAll();  // it was done after all
  EXPECT_EQ(taken.answers.size(), 1u);
}

TEST_F(OracleServerTest, ALeaderThatComesBackStartsAboveItsSuccessor) {
  FakeDirectory second(&row);
  OracleServer successor(second.World());
  const Timestamp before = Take();
  successor.Take(1, {}, taken.Sink());
  const Timestamp meanwhile = taken.last();
  EXPECT_GT(meanwhile, before);
  directory.term = raft::Term(3);
  directory.clock.wall -= std::chrono::hours(1);
  EXPECT_GT(Take(), meanwhile);
}

TEST_F(OracleServerTest, AMoveOfAnEarlierTermIsOfNoUse) {
  directory.at_once = false;
  server.Take(1, {}, taken.Sink());
  directory.ConfirmAll();
  auto late = std::move(directory.moves);
  directory.moves.clear();
  const Status moved = row.Move(late.front().first);
  // In between another leader has given out what follows.
  const Timestamp theirs = row.end;
  row.end = theirs + TimestampOracle::kStep;
  directory.term = raft::Term(3);
  Taken now;
  server.Take(1, {}, now.Sink());
  directory.ConfirmAll();
  late.front().second(moved);
  EXPECT_TRUE(now.answers.empty());
  directory.MoveAll();
  EXPECT_GE(now.last(), theirs + TimestampOracle::kStep);
}

}  // namespace
}  // namespace flotilla
