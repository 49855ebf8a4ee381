#include "base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace flotilla {
namespace {

TEST(Random, EqualSeedsGiveEqualSequences) {
  Random a(42);
  Random b(42);
  Random c(43);
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t number = a.Next();
    EXPECT_EQ(number, b.Next());
    differs = differs || number != c.Next();
  }
  EXPECT_TRUE(differs);
}

// A failing seed of last year must still replay.
TEST(Random, SequencesStayWhatTheyAre) {
  Random random(0);
  EXPECT_EQ(random.Next(), 0x99ec5f36cb75f2b4u);
  EXPECT_EQ(random.Next(), 0xbf6e1f784956452au);
  EXPECT_EQ(random.Next(), 0x1a5f849d4933e6e0u);
}

TEST(Random, ForksAreIndependentAndRepeat) {
  Random a(7);
  Random b(7);
  Random fork_a = a.Fork();
  Random fork_b = b.Fork();
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t from_fork = fork_a.Next();
    EXPECT_EQ(from_fork, fork_b.Next());
    seen.insert(from_fork);
    seen.insert(a.Next());
  }
  EXPECT_EQ(seen.size(), 2000u);
}

TEST(Random, BelowStaysBelow) {
  Random random(1);
  for (const std::uint64_t bound : {1ull, 2ull, 3ull, 10ull, 1ull << 32, ~0ull, 1ull << 63}) {
    for (int i = 0; i < 1000; ++i) ASSERT_LT(random.Below(bound), bound);
  }
  EXPECT_EQ(random.Below(1), 0u);
}

// Counts of equally likely results, each within six standard deviations.
void ExpectEven(const std::vector<int>& counts) {
  int total = 0;
  for (const int count : counts) total += count;
  const double share = 1.0 / static_cast<double>(counts.size());
  const double expected = total * share;
  const double deviation = std::sqrt(expected * (1 - share));
  for (const int count : counts) EXPECT_NEAR(count, expected, 6 * deviation);
}

TEST(Random, SmallBoundsAreEven) {
  Random random(2);
  std::vector<int> counts(7);
  for (int i = 0; i < 70'000; ++i) ++counts[random.Below(7)];
  ExpectEven(counts);
}

TEST(Random, LargeBoundsAreEven) {
  // 3/4 of all numbers: without a second draw every third result would come up twice as often.
  Random random(3);
  std::vector<int> counts(3);
  for (int i = 0; i < 60'000; ++i) ++counts[random.Below(3ull << 62) % 3];
  ExpectEven(counts);
}

TEST(Random, BetweenIncludesBothEnds) {
  Random random(4);
  std::vector<int> counts(4);
  for (int i = 0; i < 40'000; ++i) {
    const std::uint64_t number = random.Between(10, 13);
    ASSERT_TRUE(number >= 10 && number <= 13);
    ++counts[number - 10];
  }
  ExpectEven(counts);
  EXPECT_EQ(random.Between(5, 5), 5u);
  EXPECT_EQ(random.Between(UINT64_MAX, UINT64_MAX), UINT64_MAX);
  // All 64 bits: the count of the results does not fit into one.
  bool high = false;
  for (int i = 0; i < 100; ++i) high = high || random.Between(0, UINT64_MAX) > UINT64_MAX / 2;
  EXPECT_TRUE(high);
}

TEST(Random, UnitIsAtLeastZeroAndBelowOne) {
  Random random(5);
  double sum = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double unit = random.Unit();
    ASSERT_TRUE(unit >= 0 && unit < 1);
    sum += unit;
  }
  EXPECT_NEAR(sum / 100'000, 0.5, 0.01);
}

TEST(Random, ChanceKeepsItsOdds) {
  Random random(6);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_FALSE(random.Chance(0));
    EXPECT_TRUE(random.Chance(1));
    hits += random.Chance(0.25);
  }
  EXPECT_NEAR(hits, 2500, 6 * std::sqrt(10'000 * 0.25 * 0.75));
}

TEST(Random, ShufflesTheSameWayForOneSeed) {
  std::vector<int> a(50);
  for (int i = 0; i < 50; ++i) a[static_cast<std::size_t>(i)] = i;
  std::vector<int> b = a;
  const std::vector<int> sorted = a;
  Random random_a(8);
  Random random_b(8);
  std::shuffle(a.begin(), a.end(), random_a);
  std::shuffle(b.begin(), b.end(), random_b);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, sorted);
  EXPECT_TRUE(std::is_permutation(a.begin(), a.end(), sorted.begin()));
}

TEST(RandomDeathTest, EmptyRangesAreMistakes) {
  Random random(9);
  EXPECT_DEATH(random.Below(0), "check failed");
  EXPECT_DEATH(random.Between(2, 1), "check failed");
}

TEST(SeedFromSystem, DiffersEachTime) { EXPECT_NE(SeedFromSystem(), SeedFromSystem()); }

}  // namespace
}  // namespace flotilla
