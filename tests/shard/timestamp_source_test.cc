#include "shard/timestamp_source.h"

#include <gtest/gtest.h>

namespace flotilla {
namespace {

class SetClock final : public Clock {
 public:
  MonoTime Now() const override { return MonoTime(); }
  std::chrono::microseconds WallNow() const override { return wall; }
  std::chrono::microseconds wall{1'000'000'000};
};

TEST(LocalTimestampSource, FollowsTheWallClockInItsUpperBits) {
  SetClock clock;
  LocalTimestampSource source(&clock);
  EXPECT_EQ(source.Allocate(1).value() >> kTimestampCounterBits, 1'000'000u);
}

TEST(LocalTimestampSource, IncreasesWithinAMillisecondAndAcrossRuns) {
  SetClock clock;
  LocalTimestampSource source(&clock);
  const Timestamp first = source.Allocate(10);
  EXPECT_EQ(source.Allocate(1), first + 10);
}

TEST(LocalTimestampSource, IncreasesWhenTheClockIsSetBack) {
  SetClock clock;
  LocalTimestampSource source(&clock);
  const Timestamp before = source.Allocate(1);
  clock.wall = std::chrono::microseconds(5);
  EXPECT_GT(source.Allocate(1), before);
}

TEST(LocalTimestampSource, StartsAboveWhatAnEarlierLeaderUsed) {
  SetClock clock;
  LocalTimestampSource source(&clock);
  const Timestamp theirs(1ull << 62);
  source.Advance(theirs);
  EXPECT_GT(source.Allocate(1), theirs);
  source.Advance(Timestamp(1));
  EXPECT_GT(source.Allocate(1), theirs);
}

}  // namespace
}  // namespace flotilla
