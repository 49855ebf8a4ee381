#include "shard/placement/slots.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "kv/key_codec.h"

namespace flotilla {
namespace {

constexpr kv::KeyspaceId kKeyspace{3};
constexpr kv::KeyspaceId kHashed{3 | kv::kHashedBit};

// No gap, no overlap, no empty range, from the first key to the last.
void ExpectWhole(kv::KeyspaceId keyspace, const std::vector<KeyRange>& ranges) {
  ASSERT_FALSE(ranges.empty());
  EXPECT_EQ(ranges.front().start, kv::KeyspaceStart(keyspace));
  EXPECT_EQ(ranges.back().end, kv::KeyspaceEnd(keyspace));
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    EXPECT_LT(ranges[i].start, ranges[i].end) << i;
    if (i > 0) EXPECT_EQ(ranges[i].start, ranges[i - 1].end) << i;
  }
}

TEST(SplitIntoSlotRuns, CoversAllSlotsInRunsOfEqualLength) {
  for (const std::uint32_t shards : {1u, 2u, 3u, 7u, 16u, 1000u, kv::kSlots}) {
    const auto ranges = SplitIntoSlotRuns(kHashed, shards);
    ASSERT_TRUE(ranges.ok());
    ASSERT_EQ(ranges->size(), shards);
    ExpectWhole(kHashed, *ranges);
    std::uint32_t previous = 0;
    for (std::uint32_t i = 1; i <= shards; ++i) {
      const std::uint32_t start =
          i == shards ? kv::kSlots : kv::SlotOfEncoded((*ranges)[i].start)->value();
      EXPECT_GE(start - previous, kv::kSlots / shards);
      EXPECT_LE(start - previous, kv::kSlots / shards + 1);
      previous = start;
    }
  }
}

TEST(SplitIntoSlotRuns, EveryKeyLiesInTheRunOfItsSlot) {
  const auto ranges = SplitIntoSlotRuns(kHashed, 16);
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const std::string user_key = std::to_string(random.Next());
    const std::string key = kv::EncodeKey(kHashed, user_key);
    const KeyRange& range = (*ranges)[kv::SlotOf(user_key).value() >> 12];
    EXPECT_GE(key, range.start);
    EXPECT_LT(key, range.end);
  }
}

TEST(SplitIntoSlotRuns, RefusesNoShardAndMoreShardsThanSlots) {
  EXPECT_EQ(ReasonOf(SplitIntoSlotRuns(kHashed, 0).status()), Reason::kBadRequest);
  EXPECT_EQ(ReasonOf(SplitIntoSlotRuns(kHashed, kv::kSlots + 1).status()), Reason::kBadRequest);
}

TEST(SplitAtKeys, PutsTheFirstKeyOfARangeAtItsStart) {
  const auto ranges = SplitAtKeys(kKeyspace, {"b", std::string("b\0", 2), "m"});
  ASSERT_TRUE(ranges.ok());
  ASSERT_EQ(ranges->size(), 4u);
  ExpectWhole(kKeyspace, *ranges);
  const auto where = [&](std::string_view user_key) {
    const std::string key = kv::EncodeKey(kKeyspace, user_key);
    std::size_t i = 0;
    while (key >= (*ranges)[i].end) ++i;
    return i;
  };
  EXPECT_EQ(where("a"), 0u);
  EXPECT_EQ(where("azzz"), 0u);
  EXPECT_EQ(where("b"), 1u);
  EXPECT_EQ(where(std::string_view("b\0", 2)), 2u);
  EXPECT_EQ(where("lzzz"), 2u);
  EXPECT_EQ(where("m"), 3u);
  EXPECT_EQ(where("\xff\xff"), 3u);
}

TEST(SplitAtKeys, MakesOneRangeOfNoKeys) {
  const auto ranges = SplitAtKeys(kKeyspace, {});
  ASSERT_TRUE(ranges.ok());
  EXPECT_EQ(ranges->size(), 1u);
  ExpectWhole(kKeyspace, *ranges);
}

TEST(SplitAtKeys, RefusesKeysThatDoNotAscendAndEmptyOnes) {
  EXPECT_EQ(ReasonOf(SplitAtKeys(kKeyspace, {"b", "a"}).status()), Reason::kBadRequest);
  EXPECT_EQ(ReasonOf(SplitAtKeys(kKeyspace, {"b", "b"}).status()), Reason::kBadRequest);
  EXPECT_EQ(ReasonOf(SplitAtKeys(kKeyspace, {""}).status()), Reason::kBadRequest);
}

TEST(SlotBoundaryNear, SplitsBetweenSlotsOnly) {
  const KeyRange range{kv::SlotStart(kHashed, kv::Slot(10)), kv::SlotStart(kHashed, kv::Slot(20))};
  const auto at = [&](std::uint16_t slot) {
    return SlotBoundaryNear(kv::SlotStart(kHashed, kv::Slot(slot)) + "key", range);
  };
  EXPECT_EQ(at(15), kv::SlotStart(kHashed, kv::Slot(15)));
  EXPECT_EQ(at(10), kv::SlotStart(kHashed, kv::Slot(11)));
  EXPECT_EQ(at(19), kv::SlotStart(kHashed, kv::Slot(19)));
  EXPECT_EQ(at(20), std::nullopt);
  EXPECT_EQ(at(9), std::nullopt);
}

TEST(SlotBoundaryNear, LeavesASingleSlotWhole) {
  const KeyRange single{kv::SlotStart(kHashed, kv::Slot(10)), kv::SlotStart(kHashed, kv::Slot(11))};
  EXPECT_EQ(SlotBoundaryNear(single.start + "key", single), std::nullopt);
  const KeyRange first{kv::KeyspaceStart(kHashed), kv::SlotStart(kHashed, kv::Slot(1))};
  EXPECT_EQ(SlotBoundaryNear(kv::SlotStart(kHashed, kv::Slot(0)) + "key", first), std::nullopt)
      << "an empty half";
  const KeyRange last{kv::SlotStart(kHashed, kv::Slot(65535)), kv::KeyspaceEnd(kHashed)};
  EXPECT_EQ(SlotBoundaryNear(last.start + "key", last), std::nullopt);
}

}  // namespace
}  // namespace flotilla
