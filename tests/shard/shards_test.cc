// Many groups as one store: keyspaces of several shards, asked on any node.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/shard/node_world.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Shards : public ::testing::Test {
 protected:
  explicit Shards(int nodes = 5) : world_({}, nodes) {}

  DirectoryAnswer Change(int node, DirectoryCall call) {
    std::optional<DirectoryAnswer> answer;
    world_.node(node).ChangeDirectory(std::move(call), world_.loop().now() + seconds(5),
                                      [&](DirectoryAnswer given) { answer = std::move(given); });
    EXPECT_TRUE(world_.Await([&] { return answer.has_value(); }));
    return answer.value_or(DirectoryAnswer());
  }

  kv::KeyspaceId Make(KeyspaceSpec spec) {
    spec.retention = std::chrono::minutes(10);
    const DirectoryAnswer made = Change(0, CreateKeyspaceCall{.spec = std::move(spec)});
    EXPECT_TRUE(made.status.ok()) << made.status;
    return made.keyspace;
  }

  static WriteCall Puts(kv::KeyspaceId keyspace,
                        const std::vector<std::pair<std::string, std::string>>& rows) {
    kv::CommandView command{.keyspace = keyspace, .session = {}, .ops = {}};
    for (const auto& [key, value] : rows) command.ops.push_back({.key = key, .value = value});
    return {.command = Bytes(kv::EncodeCommand(command))};
  }

  GatewayAnswer Ask(int node, GatewayCall call) {
    return world_.Wait(world_.Begin(node, std::move(call)));
  }

  std::size_t ShardsOf(int node, kv::KeyspaceId keyspace) {
    const auto image = world_.node(node).DirectoryView();
    std::size_t count = 0;
    for (const auto& [group, shard] : image->shards()) count += shard.keyspace == keyspace;
    return count;
  }

  NodeWorld world_;
};

TEST_F(Shards, AKeyspaceOfSeveralShardsIsOneStoreOnEveryNode) {
  const kv::KeyspaceId keyspace = Make({.name = "a", .split_keys = {"d", "h", "m", "q", "u"}});
  const kv::KeyspaceId hashed =
      Make({.name = "b", .partitioning = Partitioning::kHash, .shards = 8});
  for (const kv::KeyspaceId one : {keyspace, hashed}) {
    std::set<GroupId> groups;
    for (int i = 0; i < 26; ++i) {
      const std::string key(1, static_cast<char>('a' + i));
      const GatewayAnswer put = Ask(i % 5, Puts(one, {{key, "v" + key}}));
      ASSERT_TRUE(put.status.ok()) << put.status;
      groups.insert(put.origin.group);
    }
    EXPECT_GE(groups.size(), 5u);
    for (int node = 0; node < 5; ++node) {
      EXPECT_EQ(NodeWorld::ValueOf(Ask(node, GetCall{.keyspace = one, .key = "k"})), "vk");
      const GatewayAnswer all =
          Ask(node, BatchGetCall{.keyspace = one, .keys = {"z", "a", "?", "k"}});
      ASSERT_TRUE(all.status.ok()) << all.status;
      const auto& found = std::get<std::vector<kv::GetResult>>(all.result);
      ASSERT_EQ(found.size(), 4u);
      EXPECT_EQ(found[0].value, "vz");
      EXPECT_EQ(found[1].value, "va");
      EXPECT_FALSE(found[2].found);
      EXPECT_EQ(found[3].value, "vk");
    }
  }
  // The keyspaces do not see each other.
  EXPECT_EQ(world_.Read(0, "k"), "(none)");
}

TEST_F(Shards, AnAtomicWriteOverSeveralShardsIsRefused) {
  const kv::KeyspaceId keyspace = Make({.name = "a", .split_keys = {"m"}});
  const GatewayAnswer within = Ask(0, Puts(keyspace, {{"a", "1"}, {"b", "1"}}));
  EXPECT_TRUE(within.status.ok()) << within.status;
  const GatewayAnswer across = Ask(0, Puts(keyspace, {{"a", "2"}, {"z", "2"}}));
  EXPECT_EQ(ReasonOf(across.status), Reason::kCrossShard);
  EXPECT_EQ(NodeWorld::ValueOf(Ask(1, GetCall{.keyspace = keyspace, .key = "a"})), "1");
}

TEST_F(Shards, LeadersOfANewKeyspaceAreSpread) {
  const kv::KeyspaceId keyspace =
      Make({.name = "a", .partitioning = Partitioning::kHash, .shards = 16});
  std::map<int, int> leaders;
  ASSERT_TRUE(world_.Await([&] {
    leaders.clear();
    const auto image = world_.node(0).DirectoryView();
    std::size_t led = 0;
    for (const auto& [group, shard] : image->shards()) {
      if (shard.keyspace != keyspace) continue;
      const std::optional<int> leader = world_.Leader(-1, group);
      if (leader) ++leaders[*leader];
      led += leader.has_value();
    }
    return led == 16;
  }));
  EXPECT_GE(leaders.size(), 3u);
}

TEST_F(Shards, ANodeThatWasAwayAtTheFoundingTakesPart) {
  world_.cluster().Crash(3);
  const kv::KeyspaceId keyspace =
      Make({.name = "a", .partitioning = Partitioning::kHash, .shards = 8});
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(Ask(0, Puts(keyspace, {{std::to_string(i), "v"}})).status.ok());
  }
  ASSERT_TRUE(world_.cluster().Start(3)) << world_.cluster().failure();
  std::set<GroupId> there;
  EXPECT_TRUE(world_.Await([&] {
    const auto image = world_.node(3).DirectoryView();
    if (ShardsOf(3, keyspace) != 8) return false;
    std::set<GroupId> wanted;
    for (const auto& [group, shard] : image->shards()) {
      if (shard.voters.contains(NodeId(4))) wanted.insert(group);
    }
    world_.node(3).Info([&](const NodeInfo& info) {
      there.clear();
      for (const GroupInfo& group : info.groups) {
        if (group.leader_address != "" && group.applied >= raft::Index(2))
          there.insert(group.group);
      }
    });
    world_.RunFor(milliseconds(5));
    return std::includes(there.begin(), there.end(), wanted.begin(), wanted.end());
  }));
}

}  // namespace
}  // namespace flotilla
