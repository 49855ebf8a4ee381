#include "client/shard_map.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <set>

#include "base/stable_hash.h"
#include "flotilla/v1/directory.pb.h"

namespace flotilla::client {
namespace {

v1::WatchDirectoryResponse Change(const std::string& text) {
  v1::WatchDirectoryResponse change;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
  return change;
}

const std::string kRanges = R"(
    whole: true
    keyspaces { id: 1 name: "default" partitioning: PARTITIONING_RANGE }
    keyspaces { id: 5 name: "words" partitioning: PARTITIONING_RANGE }
    shards { group_id: 2 keyspace_id: 1 }
    shards { group_id: 7 keyspace_id: 5 end: "m" }
    shards { group_id: 8 keyspace_id: 5 start: "m" })";

TEST(ShardMap, KnowsNothingAtFirst) {
  const ShardMap map("");
  EXPECT_EQ(map.Locate("k"), GroupId(0));
  EXPECT_FALSE(map.Holds(GroupId(2)));
}

TEST(ShardMap, FindsTheRangeOfAKeyInItsKeyspace) {
  ShardMap words("words");
  words.Apply(Change(kRanges));
  EXPECT_EQ(words.Locate("a"), GroupId(7));
  EXPECT_EQ(words.Locate("lzzz"), GroupId(7));
  EXPECT_EQ(words.Locate("m"), GroupId(8));
  EXPECT_EQ(words.Locate("z"), GroupId(8));
  EXPECT_EQ(words.Locate(""), GroupId(7));
  EXPECT_FALSE(words.Holds(GroupId(2)));
  ShardMap first("");
  first.Apply(Change(kRanges));
  EXPECT_EQ(first.Locate("m"), GroupId(2));
}

TEST(ShardMap, FindsTheSlotOfAKey) {
  ShardMap users("users");
  users.Apply(Change(R"(
      whole: true
      keyspaces { id: 2147483653 name: "users" partitioning: PARTITIONING_HASH }
      shards { group_id: 7 keyspace_id: 2147483653 first_slot: 0 past_last_slot: 32768 }
      shards { group_id: 8 keyspace_id: 2147483653 first_slot: 32768 past_last_slot: 65536 })"));
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string key = "user" + std::to_string(i);
    const GroupId expected(StableHash(key) >> 63 == 0 ? 7 : 8);
    EXPECT_EQ(users.Locate(key), expected);
    seen.insert(expected.value());
  }
  EXPECT_EQ(seen.size(), 2u);
}

TEST(ShardMap, FollowsASplitAndAMerge) {
  ShardMap words("words");
  words.Apply(Change(kRanges));
  words.Apply(Change(R"(
      shards { group_id: 7 keyspace_id: 5 end: "g" }
      shards { group_id: 9 keyspace_id: 5 start: "g" end: "m" })"));
  EXPECT_EQ(words.Locate("a"), GroupId(7));
  EXPECT_EQ(words.Locate("h"), GroupId(9));
  EXPECT_EQ(words.Locate("m"), GroupId(8));
  words.Apply(Change(R"(erased_shards: 8 shards { group_id: 9 keyspace_id: 5 start: "g" })"));
  EXPECT_EQ(words.Locate("m"), GroupId(9));
  EXPECT_FALSE(words.Holds(GroupId(8)));
}

TEST(ShardMap, APlaceTakenByAnotherShardStaysTakenWhenTheOldOneGoes) {
  ShardMap words("words");
  words.Apply(Change(kRanges));
  words.Apply(Change(R"(shards { group_id: 9 keyspace_id: 5 start: "m" })"));
  words.Apply(Change("erased_shards: 8"));
  EXPECT_EQ(words.Locate("z"), GroupId(9));
}

TEST(ShardMap, AHoleIsNotGuessedAt) {
  ShardMap words("words");
  words.Apply(Change(kRanges));
  words.Apply(Change("erased_shards: 7"));
  EXPECT_EQ(words.Locate("a"), GroupId(0));
  words.Apply(Change(R"(shards { group_id: 7 keyspace_id: 5 end: "c" })"));
  EXPECT_EQ(words.Locate("d"), GroupId(0));
}

TEST(ShardMap, AKeyspaceComesAndGoes) {
  ShardMap users("users");
  users.Apply(Change(kRanges));
  EXPECT_EQ(users.Locate("k"), GroupId(0));
  users.Apply(Change(R"(keyspaces { id: 6 name: "users" partitioning: PARTITIONING_RANGE }
                        shards { group_id: 12 keyspace_id: 6 })"));
  EXPECT_EQ(users.Locate("k"), GroupId(12));
  users.Apply(Change(R"(keyspaces { id: 6 name: "users" dropping: true })"));
  EXPECT_EQ(users.Locate("k"), GroupId(0));
  users.Apply(Change(R"(erased_keyspaces: 6 erased_shards: 12
                        keyspaces { id: 9 name: "users" partitioning: PARTITIONING_RANGE }
                        shards { group_id: 15 keyspace_id: 9 })"));
  EXPECT_EQ(users.Locate("k"), GroupId(15));
}

}  // namespace
}  // namespace flotilla::client
