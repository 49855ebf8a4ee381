#include "shard/directory/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kv/key_codec.h"

namespace flotilla {
namespace {

constexpr kv::KeyspaceId kSpace{7};

kv::RowChange Now(const DirectoryRow& row) { return {RowKey(row), EncodeRow(row)}; }
kv::RowChange Gone(std::string key) { return {std::move(key), std::nullopt}; }
std::string Key(std::string_view user) { return kv::EncodeKey(kSpace, user); }

ShardDescriptor Shard(std::uint64_t group, std::string start, std::string end) {
  return {.group = GroupId(group),
          .keyspace = kSpace,
          .start = start.empty() ? kv::KeyspaceStart(kSpace) : Key(start),
          .end = end.empty() ? kv::KeyspaceEnd(kSpace) : Key(end),
          .epoch = Epoch(1),
          .voters = {NodeId(1), NodeId(2), NodeId(3)},
          .learners = {NodeId(4)},
          .pinned = true};
}

KeyspaceDescriptor Space() {
  return {.id = kSpace,
          .name = "orders",
          .partitioning = Partitioning::kHash,
          .replicas = 5,
          .apart = {"zone", "rack"},
          .require = {{"disk", "ssd"}},
          .shards_min = 3,
          .retention = std::chrono::hours(1),
          .dropping = false};
}

GroupId Holder(const DirectoryImage& image, std::string_view user) {
  const ShardDescriptor* shard = image.Locate(Key(user));
  return shard == nullptr ? GroupId() : shard->group;
}

TEST(DirectoryCodec, EveryRowComesBack) {
  const NodeRecord node{.node = NodeId(9),
                        .uuid = NodeUuid(77),
                        .address = "n9:7000",
                        .labels = {{"zone", "b"}},
                        .weight = 200,
                        .disk_bytes = 1ull << 40,
                        .role = NodeRole::kDraining};
  const JobRecord job{.id = JobId(3),
                      .kind = JobKind::kMove,
                      .state = JobState::kCancelling,
                      .step = "promote",
                      .group = GroupId(5),
                      .other = GroupId(6),
                      .key = "k",
                      .from = NodeId(1),
                      .to = NodeId(4),
                      .keyspace = kSpace,
                      .reason = "by hand",
                      .error = "none",
                      .created = Timestamp(10),
                      .updated = Timestamp(11)};
  const Counters counters{.next_keyspace = kv::KeyspaceId(8),
                          .next_group = GroupId(100),
                          .next_job = JobId(4),
                          .next_node = NodeId(10)};
  for (const DirectoryRow& row :
       {DirectoryRow(Space()), DirectoryRow(Shard(5, "a", "")), DirectoryRow(node),
        DirectoryRow(job), DirectoryRow(counters), DirectoryRow(TimestampWindow{Timestamp(5)})}) {
    const StatusOr<DirectoryRow> back = DecodeRow(RowKey(row), EncodeRow(row));
    ASSERT_TRUE(back.ok()) << RowKey(row);
    EXPECT_TRUE(*back == row) << RowKey(row);
  }
}

TEST(DirectoryCodec, RefusesWhatItDoesNotKnow) {
  const DirectoryRow row = Space();
  std::string value = EncodeRow(row);
  EXPECT_FALSE(DecodeRow("something", value).ok());
  EXPECT_FALSE(DecodeRow(RowKey(kv::KeyspaceId(8)), value).ok()) << "another's key";
  for (std::size_t size = 0; size < value.size(); ++size) {
    EXPECT_FALSE(DecodeRow(RowKey(row), value.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeRow(RowKey(row), value + "x").ok());
  value[0] = 2;
  EXPECT_FALSE(DecodeRow(RowKey(row), value).ok()) << "a newer format";
}

TEST(DirectoryImage, KnowsWhereAKeyIs) {
  DirectoryImage image;
  ASSERT_TRUE(image
                  .Apply({Now(Space()), Now(Shard(10, "", "g")), Now(Shard(11, "g", "p")),
                          Now(Shard(12, "p", ""))},
                         Timestamp(1))
                  .ok());
  EXPECT_TRUE(image.CheckTiling().ok());
  EXPECT_EQ(Holder(image, "a"), GroupId(10));
  EXPECT_EQ(Holder(image, "g"), GroupId(11));
  EXPECT_EQ(Holder(image, "zzz"), GroupId(12));
  EXPECT_EQ(image.Locate(kv::EncodeKey(kv::KeyspaceId(8), "a")), nullptr);
  EXPECT_EQ(image.Locate(kv::EncodeKey(kv::KeyspaceId(6), "a")), nullptr);
  EXPECT_EQ(image.FindKeyspace("orders")->id, kSpace);
  EXPECT_EQ(image.FindKeyspace("order"), nullptr);
  std::vector<GroupId> found;
  for (const ShardDescriptor* shard : image.Overlapping(Key("b"), Key("p"))) {
    found.push_back(shard->group);
  }
  EXPECT_THAT(found, testing::ElementsAre(GroupId(10), GroupId(11)));
}

TEST(DirectoryImage, FollowsASplitAndAMergeInAnyOrderOfRows) {
  for (const bool reversed : {false, true}) {
    DirectoryImage image;
    const auto apply = [&](std::vector<kv::RowChange> batch) {
      if (reversed) std::reverse(batch.begin(), batch.end());
      ASSERT_TRUE(image.Apply(batch, Timestamp(1)).ok());
      EXPECT_TRUE(image.CheckTiling().ok()) << image.CheckTiling();
    };
    apply({Now(Space()), Now(Shard(10, "", ""))});
    apply({Now(Shard(10, "", "m")), Now(Shard(11, "m", ""))});
    EXPECT_EQ(Holder(image, "n"), GroupId(11));
    // The right half takes the left one's place, and the other way round.
    apply({Now(Shard(11, "", "")), Gone(RowKey(GroupId(10)))});
    EXPECT_EQ(Holder(image, "a"), GroupId(11));
    apply({Now(Shard(11, "c", "")), Now(Shard(12, "", "c"))});
    apply({Now(Shard(12, "", "")), Gone(RowKey(GroupId(11)))});
    EXPECT_EQ(Holder(image, "z"), GroupId(12));
    EXPECT_EQ(image.shards().size(), 1u);
  }
}

TEST(DirectoryImage, SeesThatShardsDoNotTile) {
  DirectoryImage image;
  ASSERT_TRUE(image.Apply({Now(Space()), Now(Shard(10, "", "g"))}, Timestamp(1)).ok());
  EXPECT_FALSE(image.CheckTiling().ok()) << "the end is missing";
  ASSERT_TRUE(image.Apply({Now(Shard(11, "h", ""))}, Timestamp(2)).ok());
  EXPECT_FALSE(image.CheckTiling().ok()) << "a gap";
  ASSERT_TRUE(image.Apply({Now(Shard(11, "f", ""))}, Timestamp(3)).ok());
  EXPECT_FALSE(image.CheckTiling().ok()) << "an overlap";
  ASSERT_TRUE(image.Apply({Now(Shard(11, "g", ""))}, Timestamp(4)).ok());
  EXPECT_TRUE(image.CheckTiling().ok());
}

TEST(DirectoryImage, ADamagedBatchChangesNothing) {
  DirectoryImage image;
  ASSERT_TRUE(image.Apply({Now(Space()), Now(Shard(10, "", ""))}, Timestamp(1)).ok());
  const Status status =
      image.Apply({Gone(RowKey(GroupId(10))), {RowKey(GroupId(11)), "rubbish"}}, Timestamp(2));
  EXPECT_EQ(ReasonOf(status), Reason::kDataDamaged);
  EXPECT_EQ(image.version(), Timestamp(1));
  EXPECT_EQ(Holder(image, "a"), GroupId(10));
}

TEST(DirectoryImage, ARenamedKeyspaceHasItsNewNameOnly) {
  DirectoryImage image;
  KeyspaceDescriptor space = Space();
  ASSERT_TRUE(image.Apply({Now(space)}, Timestamp(1)).ok());
  space.name = "sales";
  ASSERT_TRUE(image.Apply({Now(space)}, Timestamp(2)).ok());
  EXPECT_EQ(image.FindKeyspace("orders"), nullptr);
  EXPECT_EQ(image.FindKeyspace("sales")->id, kSpace);
  ASSERT_TRUE(image.Apply({Gone(RowKey(kSpace))}, Timestamp(3)).ok());
  EXPECT_EQ(image.FindKeyspace("sales"), nullptr);
}

}  // namespace
}  // namespace flotilla
