#include "shard/directory/edits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kv/key_codec.h"
#include "kv/slots.h"

namespace flotilla {
namespace {

constexpr kv::KeyspaceId kDefault = kv::kDefaultKeyspace;

std::vector<NodeId> OnThree(const KeyspaceDescriptor&, const ShardDescriptor&) {
  return {NodeId(1), NodeId(2), NodeId(3)};
}

class DirectoryEdits : public testing::Test {
 protected:
  DirectoryEdits() {
    std::vector<NodeRecord> nodes;
    for (std::uint64_t id = 1; id <= 3; ++id) {
      nodes.push_back({.node = NodeId(id),
                       .uuid = NodeUuid(id * 100),
                       .address = "n" + std::to_string(id) + ":7000",
                       .labels = {},
                       .weight = 100,
                       .disk_bytes = 0,
                       .role = NodeRole::kActive});
    }
    Make(FoundDirectory(nodes, NodeId(4), std::chrono::minutes(10)));
  }

  void Make(const StatusOr<DirectoryEdit>& edit) {
    ASSERT_TRUE(edit.ok()) << edit.status();
    StatusOr<DirectoryImage> after = WithEdit(image_, *edit);
    ASSERT_TRUE(after.ok()) << after.status();
    image_ = *std::move(after);
    EXPECT_TRUE(image_.CheckTiling().ok()) << image_.CheckTiling();
  }
  Reason RefusalOf(const KeyspaceSpec& spec) {
    return ReasonOf(CreateKeyspace(image_, spec, OnThree).status());
  }
  ShardDescriptor TheShard(kv::KeyspaceId keyspace) {
    return *image_.Locate(kv::EncodeKey(keyspace, "a"));
  }

  DirectoryImage image_;
};

TEST_F(DirectoryEdits, AClusterBeginsWithOneShardOnAllItsNodes) {
  EXPECT_EQ(image_.FindKeyspace("default")->id, kDefault);
  EXPECT_EQ(TheShard(kDefault).group, kFirstDataGroup);
  EXPECT_EQ(TheShard(kDefault).voters.size(), 3u);
  EXPECT_EQ(image_.nodes().size(), 3u);
  EXPECT_EQ(image_.counters().next_node, NodeId(4));
}

TEST_F(DirectoryEdits, AKeyspaceComesWithItsShards) {
  Make(CreateKeyspace(image_, {.name = "orders", .split_keys = {"g", "p"}}, OnThree));
  Make(CreateKeyspace(image_, {.name = "users", .partitioning = Partitioning::kHash, .shards = 8},
                      OnThree));
  EXPECT_EQ(image_.shards().size(), 1u + 3 + 8);
  EXPECT_EQ(image_.FindKeyspace("users")->shards_min, 8u);
  const kv::KeyspaceId orders = image_.FindKeyspace("orders")->id;
  const kv::KeyspaceId users = image_.FindKeyspace("users")->id;
  EXPECT_EQ(orders, kv::KeyspaceId(2));
  EXPECT_EQ(users, kv::KeyspaceId(3 | kv::kHashedBit));
  EXPECT_EQ(image_.counters().next_keyspace, kv::KeyspaceId(4));
  EXPECT_EQ(image_.Locate(kv::EncodeKey(users, "a"))->start,
            kv::SlotStart(users, kv::Slot(kv::SlotOf("a").value() & 0xe000)));
  EXPECT_NE(image_.Locate(kv::EncodeKey(orders, "f"))->group,
            image_.Locate(kv::EncodeKey(orders, "g"))->group);
  EXPECT_EQ(image_.counters().next_group, GroupId(3 + 3 + 8));
}

TEST_F(DirectoryEdits, WhatCannotBeAKeyspaceIsRefused) {
  EXPECT_EQ(RefusalOf({.name = "default"}), Reason::kKeyspaceExists);
  EXPECT_EQ(RefusalOf({.name = ""}), Reason::kBadRequest);
  EXPECT_EQ(RefusalOf({.name = "Orders"}), Reason::kBadRequest);
  EXPECT_EQ(RefusalOf({.name = std::string(129, 'a')}), Reason::kBadRequest);
  EXPECT_EQ(RefusalOf({.name = "a", .replicas = 0}), Reason::kBadRequest);
  EXPECT_EQ(RefusalOf({.name = "a", .replicas = 16}), Reason::kBadRequest);
  EXPECT_EQ(RefusalOf({.name = "a", .shards = 4}), Reason::kBadRequest);
  EXPECT_EQ(RefusalOf({.name = "a", .split_keys = {"b", "a"}}), Reason::kBadRequest);
  EXPECT_EQ(RefusalOf({.name = "a", .partitioning = Partitioning::kHash, .split_keys = {"b"}}),
            Reason::kBadRequest);
  const auto nowhere = [](const KeyspaceDescriptor&, const ShardDescriptor&) {
    return std::vector<NodeId>();
  };
  EXPECT_EQ(ReasonOf(CreateKeyspace(image_, {.name = "a"}, nowhere).status()), Reason::kNoQuorum);
}

TEST_F(DirectoryEdits, AnIdIsNeverGivenAgain) {
  Make(CreateKeyspace(image_, {.name = "a"}, OnThree));
  const KeyspaceDescriptor first = *image_.FindKeyspace("a");
  const GroupId group = TheShard(first.id).group;
  Make(BeginDropKeyspace(image_, "a"));
  EXPECT_FALSE(FinishDropKeyspace(image_, kDefault).ok());
  Make(FinishDropKeyspace(image_, first.id));
  EXPECT_EQ(image_.FindKeyspace("a"), nullptr);
  EXPECT_EQ(image_.Find(group), nullptr);
  Make(CreateKeyspace(image_, {.name = "a"}, OnThree));
  EXPECT_GT(image_.FindKeyspace("a")->id, first.id);
  EXPECT_GT(TheShard(image_.FindKeyspace("a")->id).group, group);
}

TEST_F(DirectoryEdits, DroppingTwiceIsDroppingOnce) {
  EXPECT_EQ(ReasonOf(BeginDropKeyspace(image_, "none").status()), Reason::kKeyspaceNotFound);
  EXPECT_EQ(ReasonOf(BeginDropKeyspace(image_, "default").status()), Reason::kBadRequest);
  Make(CreateKeyspace(image_, {.name = "a"}, OnThree));
  Make(BeginDropKeyspace(image_, "a"));
  EXPECT_TRUE(BeginDropKeyspace(image_, "a")->empty());
  const kv::KeyspaceId id = image_.FindKeyspace("a")->id;
  Make(FinishDropKeyspace(image_, id));
  EXPECT_TRUE(FinishDropKeyspace(image_, id)->empty());
}

TEST_F(DirectoryEdits, ANodeSaysWhereItIsButNotWhatItIsFor) {
  NodeRecord node = *image_.Find(NodeId(2));
  EXPECT_TRUE(RecordNode(image_, node)->empty());
  NodeRecord draining = node;
  draining.role = NodeRole::kDraining;
  Make(DirectoryEdit{.put = {draining}, .erase = {}});
  node.address = "elsewhere:7000";
  Make(RecordNode(image_, node));
  EXPECT_EQ(image_.Find(NodeId(2))->address, "elsewhere:7000");
  EXPECT_EQ(image_.Find(NodeId(2))->role, NodeRole::kDraining);
  draining.role = NodeRole::kDecommissioned;
  Make(DirectoryEdit{.put = {draining}, .erase = {}});
  EXPECT_EQ(ReasonOf(RecordNode(image_, node).status()), Reason::kBadRequest);
}

TEST_F(DirectoryEdits, ASplitIsTakenWholeOrNotAtAll) {
  ShardDescriptor left = TheShard(kDefault);
  ShardDescriptor right = left;
  const std::string middle = kv::EncodeKey(kDefault, "m");
  left.end = middle;
  left.epoch = Epoch(3);
  right.group = GroupId(3);
  right.start = middle;
  right.epoch = Epoch(3);
  EXPECT_EQ(ReasonOf(TakeReports(image_, {left}).status()), Reason::kNotReady);
  EXPECT_EQ(ReasonOf(TakeReports(image_, {right}).status()), Reason::kNotReady);
  Make(TakeReports(image_, {right, left}));
  EXPECT_EQ(image_.Locate(kv::EncodeKey(kDefault, "z"))->group, GroupId(3));
  // What is old is no news, in whatever order it comes.
  EXPECT_TRUE(TakeReports(image_, {left, right})->empty());
  ShardDescriptor stale = left;
  stale.epoch = Epoch(2);
  stale.end = kv::KeyspaceEnd(kDefault);
  EXPECT_TRUE(TakeReports(image_, {stale})->empty());
}

TEST_F(DirectoryEdits, AMergeTakesTheOtherShardsPlace) {
  Make(CreateKeyspace(image_, {.name = "a", .split_keys = {"g", "p"}}, OnThree));
  const kv::KeyspaceId id = image_.FindKeyspace("a")->id;
  ShardDescriptor left = *image_.Locate(kv::EncodeKey(id, "a"));
  const ShardDescriptor right = *image_.Locate(kv::EncodeKey(id, "h"));
  left.end = right.end;
  left.epoch = Epoch(3);
  Make(TakeReports(image_, {left}));
  EXPECT_EQ(image_.Find(right.group), nullptr);
  EXPECT_EQ(image_.Locate(kv::EncodeKey(id, "h"))->group, left.group);
  // Its last leader still speaks, by itself or beside the other's.
  EXPECT_TRUE(TakeReports(image_, {right})->empty());
  ++left.epoch;
  const DirectoryEdit beside = *TakeReports(image_, {right, left});
  ASSERT_EQ(beside.put.size(), 1u);
  EXPECT_EQ(std::get<ShardDescriptor>(beside.put[0]), left);
  EXPECT_TRUE(beside.erase.empty());
}

// Its last leader does not take the place of what has been split off since.
TEST_F(DirectoryEdits, WhatAShardHasBecomeIsNotUndoneByAnOldReport) {
  Make(CreateKeyspace(image_, {.name = "a", .split_keys = {"g"}}, OnThree));
  const kv::KeyspaceId id = image_.FindKeyspace("a")->id;
  ShardDescriptor left = *image_.Locate(kv::EncodeKey(id, "a"));
  ShardDescriptor right = *image_.Locate(kv::EncodeKey(id, "h"));
  const std::string middle = right.start;
  right.epoch = Epoch(3);  // frozen
  ShardDescriptor whole = left;
  whole.end = right.end;
  whole.epoch = Epoch(4);
  Make(TakeReports(image_, {whole}));
  left.epoch = Epoch(5);
  ShardDescriptor child = right;
  child.group = GroupId(right.group.value() + 1);
  child.epoch = Epoch(5);
  Make(TakeReports(image_, {left, child}));
  EXPECT_TRUE(TakeReports(image_, {right})->empty());
  EXPECT_EQ(image_.Locate(middle)->group, child.group);
}

TEST_F(DirectoryEdits, WhatIsSaidOfADroppedKeyspacesShardIsNoNews) {
  Make(CreateKeyspace(image_, {.name = "a"}, OnThree));
  const kv::KeyspaceId id = image_.FindKeyspace("a")->id;
  ShardDescriptor late = TheShard(id);
  late.epoch = late.epoch.Next();
  Make(BeginDropKeyspace(image_, "a"));
  Make(FinishDropKeyspace(image_, id));
  EXPECT_TRUE(TakeReports(image_, {late})->empty());
}

TEST_F(DirectoryEdits, MembersChangeWithTheEpochAlone) {
  ShardDescriptor shard = TheShard(kDefault);
  shard.voters = {NodeId(1)};
  EXPECT_TRUE(TakeReports(image_, {shard})->empty());
  shard.epoch = Epoch(5);
  Make(TakeReports(image_, {shard}));
  EXPECT_EQ(TheShard(kDefault).voters, std::set<NodeId>{NodeId(1)});
}

}  // namespace
}  // namespace flotilla
