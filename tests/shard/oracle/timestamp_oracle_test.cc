#include "shard/oracle/timestamp_oracle.h"

#include <gtest/gtest.h>

namespace flotilla {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr microseconds kNow = hours(500'000);

std::uint64_t MillisecondsOf(Timestamp timestamp) {
  return timestamp.value() >> kTimestampCounterBits;
}
Timestamp At(microseconds wall) {
  return Timestamp(static_cast<std::uint64_t>(wall.count() / 1000) << kTimestampCounterBits);
}

// The durable row, and leaders that move it.
struct Row {
  Timestamp end;

  // As the directory does it: only if the row says what the leader read.
  bool Extend(TimestampOracle& oracle, microseconds wall) {
    const TimestampOracle::Move move = oracle.NextMove(end, wall);
    EXPECT_EQ(move.from, end);
    EXPECT_GT(move.to, end);
    end = move.to;
    oracle.Moved(move);
    return true;
  }
  Timestamp Take(TimestampOracle& oracle, microseconds wall, std::uint64_t count = 1) {
    if (oracle.WantsMore(wall)) Extend(oracle, wall);
    const std::optional<Timestamp> first = oracle.Allocate(count, wall);
    EXPECT_TRUE(first.has_value());
    return first.value_or(Timestamp());
  }
};

TEST(TimestampOracle, OwnsNothingAtFirst) {
  TimestampOracle oracle;
  EXPECT_TRUE(oracle.WantsMore(kNow));
  EXPECT_FALSE(oracle.Allocate(1, kNow));
}

TEST(TimestampOracle, FollowsTheWallClockAndNeverRepeats) {
  TimestampOracle oracle;
  Row row;
  const Timestamp first = row.Take(oracle, kNow, 10);
  EXPECT_EQ(first, At(kNow));
  EXPECT_EQ(row.Take(oracle, kNow), first + 10);
  EXPECT_EQ(row.Take(oracle, kNow + seconds(1)), At(kNow + seconds(1)));
}

TEST(TimestampOracle, GivesNothingOutThatIsNotBelowTheRow) {
  TimestampOracle oracle;
  Row row;
  row.Take(oracle, kNow);
  EXPECT_FALSE(oracle.Allocate(1, kNow + hours(1)));
  EXPECT_FALSE(
      oracle.Allocate(2, microseconds(0) + TimestampOracle::kAhead + kNow - milliseconds(0)));
  const auto last_ms = kNow + TimestampOracle::kAhead - milliseconds(1);
  const auto whole = std::uint64_t{1} << kTimestampCounterBits;
  EXPECT_TRUE(oracle.Allocate(whole, last_ms));
  EXPECT_FALSE(oracle.Allocate(1, last_ms));
}

TEST(TimestampOracle, WantsMoreLongBeforeItIsNeeded) {
  TimestampOracle oracle;
  Row row;
  row.Take(oracle, kNow);
  const microseconds later = kNow + TimestampOracle::kAhead - TimestampOracle::kAheadMin;
  EXPECT_FALSE(oracle.WantsMore(later));
  EXPECT_TRUE(oracle.WantsMore(later + milliseconds(1)));
  EXPECT_TRUE(oracle.Allocate(1, later + milliseconds(1)));
}

TEST(TimestampOracle, GoesOnWhenTheClockIsSetBack) {
  TimestampOracle oracle;
  Row row;
  Timestamp last = row.Take(oracle, kNow);
  for (int i = 0; i < 100; ++i) {
    const Timestamp next = row.Take(oracle, kNow - hours(1), kTimestampsTakenMax);
    EXPECT_GT(next, last);
    last = next;
  }
  EXPECT_GT(row.Take(oracle, microseconds(-5)), last);
}

TEST(TimestampOracle, ASuccessorWithASlowerClockStartsAboveTheDurableEnd) {
  TimestampOracle first;
  TimestampOracle second;
  Row row;
  row.Take(first, kNow);
  const Timestamp durable = row.end;
  EXPECT_GE(row.Take(second, kNow - hours(3)), durable);
}

TEST(TimestampOracle, TwoThatBothBelieveToLeadNeverGiveOutTheSame) {
  TimestampOracle one;
  TimestampOracle other;
  Row row;
  Timestamp last_of_one = row.Take(one, kNow);
  Timestamp last_of_other;
  // Turn by turn they take the row from each other; what each owns is its own.
  for (int i = 0; i < 50; ++i) {
    const microseconds wall = kNow + seconds(2) * i;
    const Timestamp a = row.Take(one, wall - seconds(7));
    const Timestamp b = row.Take(other, wall);
    EXPECT_NE(a, b);
    EXPECT_GT(a, last_of_one);
    EXPECT_GT(b, last_of_other);
    last_of_one = a;
    last_of_other = b;
  }
}

TEST(TimestampOracle, WhatOthersOwnIsSkippedWhenTheRowIsMovedAgain) {
  TimestampOracle one;
  TimestampOracle other;
  Row row;
  row.Take(one, kNow);
  row.Extend(other, kNow);
  const Timestamp theirs = row.end;
  row.Extend(one, kNow);
  EXPECT_GE(*one.Allocate(1, kNow), theirs);
}

TEST(TimestampOracle, ANewTermDoesNotGoOnWithWhatIsLeftOfAnOldOne) {
  TimestampOracle oracle;
  TimestampOracle meanwhile;
  Row row;
  row.Take(oracle, kNow);
  const Timestamp theirs = row.Take(meanwhile, kNow);
  oracle.Forget();
  EXPECT_FALSE(oracle.Allocate(1, kNow));
  EXPECT_GT(row.Take(oracle, kNow), theirs);
}

TEST(TimestampOracle, ACrashBetweenTheMoveAndItsUseCostsOnlyTimestamps) {
  TimestampOracle crashed;
  Row row;
  const Timestamp used = row.Take(crashed, kNow);
  row.Extend(crashed, kNow + seconds(4));  // durable, and never used
  TimestampOracle next;
  const Timestamp first = row.Take(next, kNow + seconds(4));
  EXPECT_GT(first, used);
  // A whole window later time has caught up.
  const microseconds caught_up = kNow + seconds(4) + TimestampOracle::kAhead + seconds(1);
  EXPECT_EQ(MillisecondsOf(row.Take(next, caught_up)),
            static_cast<std::uint64_t>(caught_up.count() / 1000));
}

TEST(TimestampOracle, ManyLeadersInAShortTimeDoNotRunAwayFromTheClock) {
  Row row;
  for (int i = 0; i < 100; ++i) {
    TimestampOracle oracle;
    row.Take(oracle, kNow);
  }
  const Timestamp bound = At(kNow + TimestampOracle::kAhead) + 100 * TimestampOracle::kStep;
  EXPECT_LE(row.end, bound);
  EXPECT_LE(MillisecondsOf(row.end), MillisecondsOf(At(kNow)) + 7'000);
}

}  // namespace
}  // namespace flotilla
