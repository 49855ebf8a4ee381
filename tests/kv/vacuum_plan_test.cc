// Which tables a vacuum takes, and what is counted in them.

#include "kv/vacuum_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace flotilla::kv {
namespace {

constexpr int kLast = 6;
const Timestamp kNow{1000};

// With so many of 100 versions superseded, at timestamps from 10 to `until`.
VersionTable Table(std::uint64_t number, int level, std::string first, std::string last,
                   std::uint64_t dead, std::uint64_t until = 20) {
  VersionTable table;
  table.number = number;
  table.level = level;
  table.first = std::move(first);
  table.last = std::move(last);
  table.bytes = 10;
  table.counts.versions = 100;
  if (dead > 0) table.counts.dead = {.count = dead, .first = 10, .last = until};
  return table;
}

VacuumRules Rules(bool thorough = false, int base_level = kLast) {
  return {.safe_point = kNow,
          .tombstone_point = kNow,
          .fraction_min = 0.05,
          .thorough = thorough,
          .base_level = base_level,
          .last_level = kLast};
}

// The tables of each slice of a pass over tables that stay as they are.
std::vector<std::vector<std::uint64_t>> Pass(const std::vector<VersionTable>& tables,
                                             const VacuumRules& rules) {
  std::vector<std::vector<std::uint64_t>> slices;
  VacuumCursor cursor;
  while (std::optional<VacuumSlice> slice = PlanSlice(tables, cursor, rules)) {
    std::ranges::sort(slice->tables);
    slices.push_back(slice->tables);
    cursor = slice->after;
    if (slices.size() > tables.size() + 1) break;
  }
  return slices;
}

using Slices = std::vector<std::vector<std::uint64_t>>;

TEST(VacuumPlan, TakesTablesOneByOneOfWhichMuchMayGo) {
  const std::vector<VersionTable> tables{Table(1, kLast, "a", "b", 50),
                                         Table(2, kLast, "c", "d", 2), Table(3, kLast, "e", "f", 0),
                                         Table(4, kLast, "g", "h", 100)};
  EXPECT_EQ(Pass(tables, Rules()), (Slices{{1}, {4}}));
  EXPECT_EQ(Pass(tables, Rules(/*thorough=*/true)), (Slices{{1}, {2}, {4}}));
}

TEST(VacuumPlan, TakesNothingThatIsStillKept) {
  VacuumRules rules = Rules(/*thorough=*/true);
  rules.safe_point = Timestamp(9);
  EXPECT_EQ(Pass({Table(1, kLast, "a", "b", 50)}, rules), Slices());
  // About half of them were superseded by then.
  rules.safe_point = Timestamp(15);
  EXPECT_EQ(DueVersions(Table(1, kLast, "a", "b", 50).counts, rules.safe_point, {}), 25u);
}

TEST(VacuumPlan, BeginsWithLevel0) {
  const std::vector<VersionTable> tables{Table(1, 0, "a", "z", 50), Table(2, 0, "b", "c", 0),
                                         Table(3, 5, "c", "d", 0), Table(4, kLast, "a", "m", 0),
                                         Table(5, kLast, "n", "z", 50)};
  const std::optional<VacuumSlice> first = PlanSlice(tables, {}, Rules(false, 5));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->output_level, 5);
  EXPECT_EQ(first->tables, (std::vector<std::uint64_t>{1, 2, 3}));
  // What the last level has of these keys is not among them.
  EXPECT_FALSE(first->complete);
  EXPECT_EQ(Pass(tables, Rules(false, 5)), (Slices{{1, 2, 3}, {5}}));
  EXPECT_EQ(Pass(tables, Rules(false, kLast)), (Slices{{1, 2, 3, 4, 5}, {5}}));
}

TEST(VacuumPlan, WhatOverlapsGoesTogether) {
  const std::vector<VersionTable> tables{Table(1, 4, "d", "p", 0), Table(2, 5, "a", "e", 60),
                                         Table(3, kLast, "b", "c", 0), Table(4, kLast, "o", "q", 0),
                                         Table(5, kLast, "r", "s", 60)};
  EXPECT_EQ(Pass(tables, Rules()), (Slices{{1, 2, 3, 4}, {5}}));
}

TEST(VacuumPlan, TablesThatShareAKeyGoTogether) {
  // The second begins with older versions of the key that the first ends with.
  const std::vector<VersionTable> tables{Table(1, kLast, "a", "key+suffix", 60),
                                         Table(2, kLast, "key", "m+suffix", 0),
                                         Table(3, kLast, "n", "o+suffix", 0)};
  EXPECT_EQ(Pass(tables, Rules()), (Slices{{1, 2}}));
}

TEST(VacuumPlan, LeavesWhatOthersCompact) {
  std::vector<VersionTable> tables{Table(1, 0, "a", "z", 50), Table(2, kLast, "a", "b", 50),
                                   Table(3, kLast, "c", "d", 50)};
  tables[1].busy = true;
  EXPECT_EQ(Pass(tables, Rules()), (Slices{{3}}));
}

TEST(VacuumPlan, AThoroughPassBringsLevelsTogether) {
  const std::vector<VersionTable> tables{Table(1, 5, "a", "b", 0), Table(2, kLast, "b", "c", 0),
                                         Table(3, kLast, "d", "e", 0)};
  EXPECT_EQ(Pass(tables, Rules()), Slices());
  EXPECT_EQ(Pass(tables, Rules(/*thorough=*/true)), (Slices{{1, 2}}));
}

TEST(VacuumPlan, TombstonesCountOnceTheyAreOld) {
  VersionTable table = Table(1, kLast, "a", "b", 0);
  table.counts.tombstones = {.count = 30, .first = 500, .last = 500};
  VacuumRules rules = Rules();
  EXPECT_EQ(Pass({table}, rules), (Slices{{1}}));
  rules.tombstone_point = Timestamp(499);
  EXPECT_EQ(Pass({table}, rules), Slices());
}

TEST(VersionCounts, AreWhatWasWritten) {
  VersionCounts counts;
  counts.versions = 9;
  counts.dead_bytes = 300;
  counts.dead.Add(Timestamp(7));
  counts.dead.Add(Timestamp(5));
  counts.tombstones.Add(Timestamp(9));
  VersionCounts read;
  ASSERT_TRUE(DecodeVersionCounts(EncodeVersionCounts(counts), read));
  EXPECT_EQ(read, counts);
  EXPECT_EQ(read.dead, (Spread{.count = 2, .first = 5, .last = 7}));
  const std::string bytes = EncodeVersionCounts(counts);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeVersionCounts(bytes.substr(0, length), read));
  }
}

}  // namespace
}  // namespace flotilla::kv
