#include "cmd/kvd/directory_codec.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "cmd/kvd/explain.h"
#include "kv/key_codec.h"
#include "kv/slots.h"
#include "tests/cmd/kvd/fake_node.h"

namespace flotilla {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

template <class Request>
Request Parse(const std::string& text) {
  Request request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

// `words` in three ranges, and `users` in four runs of slots.
class DirectoryCodecTest : public ::testing::Test {
 protected:
  DirectoryCodecTest() {
    Create({.name = "words", .split_keys = {std::string("g\0g", 3), "p"}});
    Create({.name = "users", .partitioning = Partitioning::kHash, .apart = {"zone"}, .shards = 4});
  }

  void Create(const KeyspaceSpec& spec) {
    const Placement placement = [](const KeyspaceDescriptor&, const ShardDescriptor&) {
      return std::vector<NodeId>{NodeId(1), NodeId(2), NodeId(3)};
    };
    const auto edit = CreateKeyspace(image(), spec, placement);
    ASSERT_TRUE(edit.ok()) << edit.status();
    node_.Edit(*edit);
  }
  const DirectoryImage& image() {
    view_ = node_.DirectoryView();
    return *view_;
  }
  std::vector<const ShardDescriptor*> Shards(const std::string& keyspace) {
    const kv::KeyspaceId id = image().FindKeyspace(keyspace)->id;
    return image().Overlapping(kv::KeyspaceStart(id), kv::KeyspaceEnd(id));
  }
  std::uint64_t FirstShard(const std::string& keyspace) {
    return Shards(keyspace).front()->group.value();
  }

  FakeNode node_;
  std::shared_ptr<const DirectoryImage> view_;
};

TEST_F(DirectoryCodecTest, RangesAreShownAsUsersKeys) {
  std::vector<v1::Shard> shards(3);
  for (std::size_t i = 0; i < 3; ++i) Encode(*Shards("words").at(i), shards[i]);
  EXPECT_EQ(shards[0].start(), "");
  EXPECT_EQ(shards[0].end(), std::string("g\0g", 3));
  EXPECT_EQ(shards[1].start(), std::string("g\0g", 3));
  EXPECT_EQ(shards[1].end(), "p");
  EXPECT_EQ(shards[2].start(), "p");
  EXPECT_EQ(shards[2].end(), "");
  EXPECT_THAT(shards[0].voters(), ElementsAre(1, 2, 3));
  EXPECT_EQ(shards[0].epoch(), Shards("words").at(0)->epoch.value());
}

TEST_F(DirectoryCodecTest, HashedShardsAreRunsOfSlots) {
  std::uint32_t next = 0;
  for (const ShardDescriptor* shard : Shards("users")) {
    v1::Shard out;
    Encode(*shard, out);
    EXPECT_EQ(out.first_slot(), next);
    EXPECT_EQ(out.start() + out.end(), "");
    next = out.past_last_slot();
  }
  EXPECT_EQ(next, 65536u);
}

TEST_F(DirectoryCodecTest, AKeyspaceIsMadeAsAskedForOrAsDefaultHasIt) {
  const auto plain = Decode(Parse<v1::CreateKeyspaceRequest>("name: 'k'"), image());
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->spec.replicas, 3u);
  EXPECT_EQ(plain->spec.shards, 1u);
  EXPECT_EQ(plain->spec.partitioning, Partitioning::kRange);
  EXPECT_EQ(plain->spec.retention, std::chrono::hours(1));
  const auto rich = Decode(Parse<v1::CreateKeyspaceRequest>(R"(
      name: 'k' partitioning: PARTITIONING_HASH replicas: 5 apart: 'zone' shards: 8
      require { key: 'disk' value: 'ssd' } retention { seconds: 5 })"),
                           image());
  ASSERT_TRUE(rich.ok());
  EXPECT_EQ(rich->spec.replicas, 5u);
  EXPECT_EQ(rich->spec.shards, 8u);
  EXPECT_EQ(rich->spec.partitioning, Partitioning::kHash);
  EXPECT_EQ(rich->spec.retention, std::chrono::seconds(5));
  EXPECT_EQ(rich->spec.require, (Labels{{"disk", "ssd"}}));
  EXPECT_THAT(rich->spec.apart, ElementsAre("zone"));
  for (const char* bad :
       {"partitioning: 7", "retention { seconds: -1 }", "retention { nanos: 1000000000 }",
        "retention { seconds: 9223372036854775807 }"}) {
    EXPECT_EQ(ReasonOf(Decode(Parse<v1::CreateKeyspaceRequest>(bad), image()).status()),
              Reason::kBadRequest)
        << bad;
  }
}

TEST_F(DirectoryCodecTest, WhatIsNotGivenStays) {
  EXPECT_EQ(ReasonOf(Decode(Parse<v1::AlterKeyspaceRequest>("name: 'k'")).status()),
            Reason::kBadRequest);
  const auto call = Decode(Parse<v1::AlterKeyspaceRequest>("name: 'k' apart {} replicas: 1"));
  ASSERT_TRUE(call.ok());
  EXPECT_EQ(call->replicas, 1u);
  EXPECT_THAT(call->apart.value(), SizeIs(0));
  EXPECT_FALSE(call->require);
  EXPECT_FALSE(call->retention);
}

TEST_F(DirectoryCodecTest, PlacesToSplitAtAreEncoded) {
  const auto split = [&](const std::string& keyspace, const std::string& text) {
    auto request = Parse<v1::SplitShardRequest>(text);
    request.set_group_id(FirstShard(keyspace));
    return Decode(request, image());
  };
  const kv::KeyspaceId words = image().FindKeyspace("words")->id;
  const kv::KeyspaceId users = image().FindKeyspace("users")->id;
  EXPECT_EQ(split("words", "key: 'c'")->key, kv::EncodeKey(words, "c"));
  EXPECT_EQ(split("words", "")->key, "");
  EXPECT_EQ(split("users", "slot: 77")->key, kv::SlotBound(users, 77));
  for (const auto& [keyspace, text] :
       std::vector<std::pair<std::string, std::string>>{{"words", "slot: 1"},
                                                        {"words", "key: ''"},
                                                        {"words", "key: 'p'"},
                                                        {"users", "key: 'c'"},
                                                        {"users", "slot: 0"},
                                                        {"users", "slot: 16384"},
                                                        {"users", "slot: 65536"}}) {
    EXPECT_EQ(ReasonOf(split(keyspace, text).status()), Reason::kBadRequest) << keyspace << text;
  }
  EXPECT_EQ(ReasonOf(Decode(Parse<v1::SplitShardRequest>("group_id: 999"), image()).status()),
            Reason::kShardNotFound);
}

TEST_F(DirectoryCodecTest, AMoveNamesTwoNodesOrOne) {
  const auto move = [](const char* text) { return Decode(Parse<v1::MoveReplicaRequest>(text)); };
  EXPECT_EQ(move("group_id: 2 to_node_id: 3")->to, NodeId(3));
  EXPECT_EQ(move("group_id: 2 from_node_id: 3")->from, NodeId(3));
  EXPECT_EQ(ReasonOf(move("group_id: 2").status()), Reason::kBadRequest);
  EXPECT_EQ(ReasonOf(move("from_node_id: 3 to_node_id: 3").status()), Reason::kBadRequest);
}

TEST_F(DirectoryCodecTest, AChangeIsWhatIsNewDifferentOrGone) {
  const std::shared_ptr<const DirectoryImage> before = node_.DirectoryView();
  v1::WatchDirectoryResponse whole;
  EncodeChange(nullptr, *before, whole);
  EXPECT_TRUE(whole.whole());
  EXPECT_EQ(whole.shards_size(), static_cast<int>(before->shards().size()));
  EXPECT_EQ(whole.keyspaces_size(), 3);
  EXPECT_EQ(whole.nodes_size(), 3);

  v1::WatchDirectoryResponse none;
  EncodeChange(before.get(), *before, none);
  EXPECT_FALSE(HasRows(none));

  NodeRecord node = *before->Find(NodeId(2));
  node.role = NodeRole::kDraining;
  node_.Edit({.put = {node}, .erase = {RowKey(NodeId(1)), RowKey(GroupId(FirstShard("words")))}});
  v1::WatchDirectoryResponse some;
  EncodeChange(before.get(), image(), some);
  EXPECT_FALSE(some.whole());
  ASSERT_EQ(some.nodes_size(), 1);
  EXPECT_EQ(some.nodes(0).node_id(), 2u);
  EXPECT_EQ(some.nodes(0).role(), v1::NODE_ROLE_DRAINING);
  EXPECT_THAT(some.erased_nodes(), ElementsAre(1));
  EXPECT_THAT(some.erased_shards(), SizeIs(1));
  EXPECT_EQ(some.shards_size() + some.keyspaces_size() + some.erased_keyspaces_size(), 0);
}

TEST_F(DirectoryCodecTest, SaysWhyAKeyIsWhereItIs) {
  const KeyspaceDescriptor& users = *image().FindKeyspace("users");
  const ShardDescriptor& shard = *image().Locate(kv::EncodeKey(users.id, "ada"));
  const std::vector<std::string> reasons = WhyThere(image(), users, shard, "ada");
  ASSERT_THAT(reasons, SizeIs(4));
  EXPECT_THAT(reasons[0], HasSubstr(std::to_string(kv::SlotOf("ada").value())));
  EXPECT_THAT(reasons[1], HasSubstr("holds slots"));
  EXPECT_THAT(reasons[2], HasSubstr("ring of hashes"));
  EXPECT_THAT(reasons[3], HasSubstr("zone"));
  const KeyspaceDescriptor& words = *image().FindKeyspace("words");
  EXPECT_THAT(WhyThere(image(), words, *Shards("words").front(), "a")[2], HasSubstr("balancer"));
}

}  // namespace
}  // namespace flotilla
