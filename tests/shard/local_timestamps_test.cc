#include "shard/local_timestamps.h"

#include <gtest/gtest.h>

namespace flotilla {
namespace {

class SetClock final : public Clock {
 public:
  MonoTime Now() const override { return MonoTime(); }
  std::chrono::microseconds WallNow() const override { return wall; }
  std::chrono::microseconds wall{1'000'000'000};
};

TEST(LocalTimestamps, FollowsTheWallClockInItsUpperBits) {
  SetClock clock;
  LocalTimestamps source(&clock);
  EXPECT_EQ(source.Allocate(1).value() >> kTimestampCounterBits, 1'000'000u);
}

TEST(LocalTimestamps, IncreasesWithinAMillisecondAndAcrossRuns) {
  SetClock clock;
  LocalTimestamps source(&clock);
  const Timestamp first = source.Allocate(10);
  EXPECT_EQ(source.Allocate(1), first + 10);
}

TEST(LocalTimestamps, IncreasesWhenTheClockIsSetBack) {
  SetClock clock;
  LocalTimestamps source(&clock);
  const Timestamp before = source.Allocate(1);
  clock.wall = std::chrono::microseconds(5);
  EXPECT_GT(source.Allocate(1), before);
}

TEST(LocalTimestamps, StartsAboveWhatAnEarlierLeaderUsed) {
  SetClock clock;
  LocalTimestamps source(&clock);
  const Timestamp theirs(1ull << 62);
  source.Advance(theirs);
  EXPECT_GT(source.Allocate(1), theirs);
  source.Advance(Timestamp(1));
  EXPECT_GT(source.Allocate(1), theirs);
}

}  // namespace
}  // namespace flotilla
