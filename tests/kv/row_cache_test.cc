// What the cache of rows may answer, and what it must refuse to keep.

#include "kv/row_cache.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace flotilla::kv {
namespace {

class RowCacheTest : public ::testing::Test {
 protected:
  // The value that is kept of `key`.
  std::optional<std::string> Cached(std::string_view key) {
    std::optional<std::string> found;
    cache_.Find(key, [&](Timestamp timestamp, std::string_view value) {
      found = std::to_string(timestamp.value()) + ":" + std::string(value);
    });
    return found;
  }
  void Keep(std::string_view key, std::uint64_t timestamp, std::string_view value) {
    cache_.Keep(key, cache_.Begin(key), Timestamp(timestamp), value);
  }
  void Write(std::string_view key, std::uint64_t timestamp, std::string_view value) {
    cache_.BeginWrite(key, Timestamp(timestamp), "", value);
    cache_.EndWrite(true);
  }

  RowCache cache_{rocksdb::NewLRUCache(1 << 20)};
};

TEST_F(RowCacheTest, KeepsWhatWasRead) {
  EXPECT_EQ(Cached("key"), std::nullopt);
  Keep("key", 7, "value");
  EXPECT_EQ(Cached("key"), "7:value");
}

TEST_F(RowCacheTest, AWriteBringsItsRowWhereTheKeyWasKept) {
  Keep("key", 7, "old");
  cache_.BeginWrite("key", Timestamp(9), "ne", "w");
  EXPECT_EQ(Cached("key"), std::nullopt) << "neither row is certain while the write is under way";
  cache_.EndWrite(true);
  EXPECT_EQ(Cached("key"), "9:new");
}

TEST_F(RowCacheTest, AWriteOfAKeyThatNobodyReadsKeepsNothing) {
  Write("key", 9, "new");
  EXPECT_EQ(Cached("key"), std::nullopt);
}

TEST_F(RowCacheTest, TheNewestOfSeveralVersionsGoesBack) {
  Keep("key", 7, "old");
  // As they are sorted: the newest first.
  cache_.BeginWrite("key", Timestamp(9), "", "newest");
  cache_.BeginWrite("key", Timestamp(8), "", "older");
  cache_.EndWrite(true);
  EXPECT_EQ(Cached("key"), "9:newest");
}

TEST_F(RowCacheTest, WhatWasReadBeforeAWriteIsNotKeptAfterIt) {
  const RowCache::Token token = cache_.Begin("key");
  Write("key", 9, "new");
  cache_.Keep("key", token, Timestamp(7), "old");
  EXPECT_EQ(Cached("key"), std::nullopt);
}

TEST_F(RowCacheTest, NothingIsKeptThatWasReadDuringAWrite) {
  cache_.BeginWrite("key", Timestamp(9), "", "new");
  const RowCache::Token during = cache_.Begin("key");
  cache_.Keep("key", during, Timestamp(7), "old");
  EXPECT_EQ(Cached("key"), std::nullopt);
  cache_.EndWrite(true);
  cache_.Keep("key", during, Timestamp(7), "old");
  EXPECT_EQ(Cached("key"), std::nullopt);
  Keep("key", 9, "new");
  EXPECT_EQ(Cached("key"), "9:new");
}

TEST_F(RowCacheTest, AWriteThatFailsLeavesTheKeyToTheNextReader) {
  Keep("key", 7, "old");
  cache_.BeginWrite("key", Timestamp(9), "", "new");
  cache_.EndWrite(false);
  EXPECT_EQ(Cached("key"), std::nullopt);
  Keep("key", 7, "old");
  EXPECT_EQ(Cached("key"), "7:old");
}

TEST_F(RowCacheTest, HugeRowsStayInTheBlocks) {
  Keep("key", 7, std::string(1 << 17, 'x'));
  EXPECT_EQ(Cached("key"), std::nullopt);
  Keep("key", 7, "small");
  Write("key", 9, std::string(1 << 17, 'x'));
  EXPECT_EQ(Cached("key"), std::nullopt);
}

TEST_F(RowCacheTest, ForgetsAllWhenTheDatabaseIsReplaced) {
  Keep("key", 7, "value");
  cache_.Forget();
  EXPECT_EQ(Cached("key"), std::nullopt);
}

TEST_F(RowCacheTest, GroupsThatShareTheMemoryDoNotShareRows) {
  const std::shared_ptr<rocksdb::Cache> memory = rocksdb::NewLRUCache(1 << 20);
  RowCache one(memory);
  RowCache other(memory);
  one.Keep("key", one.Begin("key"), Timestamp(7), "value");
  EXPECT_FALSE(other.Find("key", [](Timestamp, std::string_view) {}));
  EXPECT_TRUE(one.Find("key", [](Timestamp, std::string_view) {}));
}

TEST(RowCacheWithoutMemory, KeepsNothing) {
  RowCache none(nullptr);
  none.Keep("key", none.Begin("key"), Timestamp(7), "value");
  none.BeginWrite("key", Timestamp(9), "", "new");
  none.EndWrite(true);
  none.Forget();
  EXPECT_FALSE(none.Find("key", [](Timestamp, std::string_view) {}));
}

}  // namespace
}  // namespace flotilla::kv
