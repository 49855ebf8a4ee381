// What the cache of ranges may answer, and what it must refuse to keep.

#include "kv/range_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "kv/version_codec.h"

namespace flotilla::kv {
namespace {

using Map = std::map<std::string, std::string>;

const std::string kPut = PutHeader(0);
const std::string kTombstone(1, static_cast<char>(kTombstoneVersion));

std::string ValueOf(const RangeCache::Row& row) {
  VersionView version;
  EXPECT_TRUE(DecodeVersion(row.stored, version));
  return std::string(version.value);
}

class RangeCacheTest : public ::testing::Test {
 protected:
  // What is found of [start, end): "a=1 b=2", with dots behind it when there may be more.
  std::string Found(const std::string& start, const std::string& end, std::size_t wanted = 1000,
                    bool reverse = false) {
    const auto found = cache_.Find(start, end, reverse, wanted);
    if (!found) return "nothing";
    std::string text;
    for (const RangeCache::Part& part : found->parts) {
      for (std::size_t i = 0; i < part.size(); ++i) {
        text += (text.empty() ? "" : " ") + part[i].key + "=" + ValueOf(part[i]);
      }
    }
    return found->whole ? text : text + "..";
  }

  void Read(RangeCache::Fill& fill, const std::string& start, const std::string& reached,
            const Map& rows) {
    for (auto row = rows.lower_bound(start); row != rows.end() && row->first < reached; ++row) {
      fill.Add(row->first, Timestamp(1), kPut + row->second);
    }
    fill.Keep(reached);
  }
  void Fill(const std::string& start, const std::string& end, const Map& rows) {
    RangeCache::Fill fill(cache_, start, end, false);
    Read(fill, start, end, rows);
  }
  // Empty: a tombstone.
  void Begin(const Map& rows) {
    keys_ = rows;
    writes_.clear();
    for (const auto& [key, value] : keys_) {
      writes_.push_back({key, Timestamp(2), value.empty() ? kTombstone : kPut, value});
    }
    cache_.BeginWrites(cache_.wants_writes() ? &writes_ : nullptr);
  }
  void Write(const Map& rows) {
    Begin(rows);
    cache_.EndWrites(true);
  }

  std::shared_ptr<rocksdb::Cache> memory_ = rocksdb::NewLRUCache(4 << 20);
  RangeCache cache_{memory_};
  Map keys_;
  std::vector<RangeCache::Write> writes_;
};

TEST_F(RangeCacheTest, KnowsWhatWasReadAndWhereItEnds) {
  EXPECT_EQ(Found("a", "d"), "nothing");
  Fill("b", "f", {{"b", "1"}, {"d", "2"}});
  EXPECT_EQ(Found("b", "f"), "b=1 d=2");
  EXPECT_EQ(Found("c", "e"), "d=2");
  EXPECT_EQ(Found("e", "f"), "");
  EXPECT_EQ(Found("a", "f"), "nothing");
  EXPECT_EQ(Found("b", "g"), "nothing");
  EXPECT_EQ(Found("b", "g", 2), "b=1 d=2..") << "as many as are wanted";
  EXPECT_EQ(Found("a", "f", 2, true), "d=2 b=1..");
  EXPECT_EQ(Found("b", "e", 9, true), "d=2 b=1");
  EXPECT_EQ(Found("f", "b"), "nothing");
}

TEST_F(RangeCacheTest, RangesJoin) {
  Fill("b", "d", {{"c", "1"}});
  Fill("f", "h", {{"g", "3"}});
  EXPECT_EQ(Found("b", "h"), "nothing");
  Fill("a", "z", {{"a", "0"}, {"c", "1"}, {"e", "2"}, {"g", "3"}, {"x", "4"}});
  EXPECT_EQ(Found("a", "z"), "a=0 c=1 e=2 g=3 x=4");
  EXPECT_EQ(Found("a", "z", 1000, true), "x=4 g=3 e=2 c=1 a=0");
}

TEST_F(RangeCacheTest, AWriteHidesItsRangeUntilItIsVisibleAndThenBringsItsRow) {
  Fill("b", "f", {{"b", "1"}, {"d", "2"}});
  Begin({{"c", "3"}, {"d", ""}, {"z", "9"}});
  EXPECT_EQ(Found("b", "f"), "nothing") << "neither rows are certain";
  cache_.EndWrites(true);
  EXPECT_EQ(Found("b", "f"), "b=1 c=3");
  Begin({{"b", "4"}});
  cache_.EndWrites(false);
  EXPECT_EQ(Found("b", "f"), "b=1 c=3") << "it did not happen";
}

TEST_F(RangeCacheTest, TheNewestOfSeveralVersionsCounts) {
  Fill("b", "f", {});
  writes_ = {{"c", Timestamp(3), kPut, "new"}, {"c", Timestamp(2), kPut, "old"}};
  cache_.BeginWrites(&writes_);
  cache_.EndWrites(true);
  EXPECT_EQ(Found("b", "f"), "c=new");
}

TEST_F(RangeCacheTest, AFillKeepsNothingFromTheFirstKeyOnThatWasWrittenMeanwhile) {
  {
    RangeCache::Fill fill(cache_, "a", "z", false);
    Write({{"f", "new"}, {"m", "new"}});
    Read(fill, "a", "z", {{"b", "1"}, {"f", "old"}, {"m", "old"}});
  }
  EXPECT_EQ(Found("a", "f"), "b=1");
  EXPECT_EQ(Found("a", "g"), "nothing");
  EXPECT_EQ(Found("n", "z"), "nothing");
}

TEST_F(RangeCacheTest, BackwardsNothingUpToTheLast) {
  {
    RangeCache::Fill fill(cache_, "a", "z", true);
    Write({{"f", "new"}, {"m", "new"}});
    fill.Add("o", Timestamp(1), kPut + "2");
    fill.Add("m", Timestamp(1), kPut + "old");
    fill.Keep("a");
  }
  EXPECT_EQ(Found("n", "z"), "o=2");
  EXPECT_EQ(Found("m", "z"), "nothing");
}

TEST_F(RangeCacheTest, AFillThatBeginsDuringAWriteDoesNotKeepWhatThatWrites) {
  Fill("x", "z", {});  // so that writes are gathered
  Begin({{"f", "new"}});
  RangeCache::Fill fill(cache_, "a", "k", false);
  cache_.EndWrites(true);
  Read(fill, "a", "k", {{"b", "1"}, {"f", "old"}});
  EXPECT_EQ(Found("a", "f"), "b=1");
  EXPECT_EQ(Found("a", "k"), "nothing");
}

TEST_F(RangeCacheTest, AFillDuringAWriteThatWasNotGatheredKeepsNothing) {
  cache_.BeginWrites(nullptr);
  RangeCache::Fill fill(cache_, "a", "k", false);
  cache_.EndWrites(true);
  Read(fill, "a", "k", {{"b", "1"}});
  EXPECT_EQ(Found("a", "k"), "nothing");
}

TEST_F(RangeCacheTest, AWriteThatWasNotGatheredLeavesNothing) {
  Fill("a", "k", {{"b", "1"}});
  RangeCache::Fill fill(cache_, "m", "z", false);
  cache_.BeginWrites(nullptr);
  Read(fill, "m", "z", {});
  cache_.EndWrites(true);
  EXPECT_EQ(Found("a", "k"), "nothing");
  EXPECT_EQ(Found("m", "z"), "nothing");
}

TEST_F(RangeCacheTest, HugeRowsStayInTheBlocks) {
  Fill("a", "f", {{"b", "1"}, {"c", std::string(1 << 17, 'x')}, {"d", "2"}});
  EXPECT_EQ(Found("a", "c"), "b=1");
  EXPECT_EQ(Found("a", "f"), "nothing");
  Fill("g", "k", {{"h", "1"}});
  Write({{"h", std::string(1 << 17, 'x')}});
  EXPECT_EQ(Found("g", "k"), "nothing");
}

TEST_F(RangeCacheTest, WhatIsWrittenOftenAndNeverReadGoes) {
  Fill("a", "k", {{"b", "1"}});
  for (int i = 0; i < 1000; ++i) Write({{"b", std::to_string(i)}});
  EXPECT_EQ(Found("a", "k"), "nothing");
  EXPECT_FALSE(cache_.wants_writes()) << "and costs the writer nothing more";
}

TEST_F(RangeCacheTest, LivesWithinTheMemoryOfTheBlocks) {
  const std::string value(1000, 'v');
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = "key" + std::to_string(100'000 + i);
    Fill(key, key + "~", {{key, value}});
  }
  EXPECT_LE(memory_->GetUsage(), std::size_t{4} << 20);
  int here = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = "key" + std::to_string(100'000 + i);
    if (cache_.Find(key, key + "~", false, 2)) ++here;
  }
  EXPECT_GT(here, 500);
  EXPECT_LT(here, 6'000);
}

TEST_F(RangeCacheTest, ForgetsAllWhenTheDatabaseIsReplaced) {
  Fill("a", "k", {{"b", "1"}});
  cache_.Forget();
  EXPECT_EQ(Found("a", "k"), "nothing");
}

TEST(RangeCacheWithoutMemory, KeepsNothing) {
  RangeCache none(nullptr);
  {
    RangeCache::Fill fill(none, "a", "k", false);
    fill.Add("b", Timestamp(1), kPut + "1");
    fill.Keep("k");
  }
  none.BeginWrites(nullptr);
  none.EndWrites(true);
  EXPECT_FALSE(none.Find("a", "k", false, 1));
}

// Against a map, over many ranges that split, join and are written.
TEST_F(RangeCacheTest, AgreesWithAMap) {
  Random random(7);
  Map truth;
  const auto name = [](std::uint64_t number) { return "k" + std::to_string(1000 + number); };
  const auto key = [&] { return name(random.Below(2000)); };
  int found_some = 0;
  for (int step = 0; step < 4'000; ++step) {
    const std::uint64_t first = random.Below(2000);
    const std::string start = name(first);
    const std::string end = name(first + random.Between(1, 300));
    const std::uint64_t dice = random.Below(10);
    if (dice < 3) {
      Map writes;
      for (std::uint64_t i = random.Between(1, 30); i > 0; --i) {
        writes[key()] = random.Chance(0.3) ? "" : std::to_string(step);
      }
      Write(writes);
      for (const auto& [k, value] : writes) {
        if (value.empty()) {
          truth.erase(k);
        } else {
          truth[k] = value;
        }
      }
    } else if (dice < 5) {
      Fill(start, end, truth);
    } else {
      const std::size_t wanted = random.Between(1, 40);
      const bool reverse = random.Chance(0.4);
      const auto found = cache_.Find(start, end, reverse, wanted);
      if (!found) continue;
      ++found_some;
      std::vector<std::string> got;
      for (const RangeCache::Part& part : found->parts) {
        for (std::size_t i = 0; i < part.size(); ++i) {
          got.push_back(part[i].key + ValueOf(part[i]));
        }
      }
      std::vector<std::string> want;
      for (auto row = truth.lower_bound(start); row != truth.end() && row->first < end; ++row) {
        want.push_back(row->first + row->second);
      }
      if (reverse) std::reverse(want.begin(), want.end());
      if (found->whole) {
        ASSERT_EQ(got, want);
      } else {
        ASSERT_GE(got.size(), wanted);
        ASSERT_LE(got.size(), want.size());
        want.resize(got.size());
        ASSERT_EQ(got, want);
      }
    }
  }
  EXPECT_GT(found_some, 300);
}

}  // namespace
}  // namespace flotilla::kv
