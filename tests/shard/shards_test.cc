// Many groups as one store: keyspaces of several shards, asked on any node.

#include "tests/shard/shards.h"

#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <map>
#include <set>

#include "kv/key_codec.h"
#include "raft/log/log.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

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
  // A hash keyspace is scanned in the order of its keys, over all shards.
  for (const bool reverse : {false, true}) {
    std::string seen;
    kv::ScanRequest scan{
        .keyspace = hashed, .start = "c", .end = "x", .reverse = reverse, .limit = 4};
    for (bool more = true; more;) {
      const GatewayAnswer answer = Ask(seen.size() % 5, ScanCall{.request = scan});
      ASSERT_TRUE(answer.status.ok()) << answer.status;
      const auto& page = std::get<kv::ScanPage>(answer.result);
      EXPECT_LE(page.rows.size(), 4u);
      for (const kv::ScanRow& row : page.rows) seen += row.key;
      more = page.more;
      (reverse ? scan.end : scan.start) = page.resume_key;
    }
    std::string wanted = "cdefghijklmnopqrstuvw";
    if (reverse) std::reverse(wanted.begin(), wanted.end());
    EXPECT_EQ(seen, wanted);
  }
  // The keyspaces do not see each other.
  EXPECT_EQ(world_.Read(0, "k"), "(none)");
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

TEST_F(Shards, AShardIsSplitWhereAskedAndInTheMiddle) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  const kv::KeyspaceId hashed = Make({.name = "b", .partitioning = Partitioning::kHash});
  for (const kv::KeyspaceId one : {keyspace, hashed}) {
    for (int i = 0; i < 200; ++i) {
      const std::string key = fmt::format("k{:03}", i);
      ASSERT_TRUE(Ask(i % 5, Puts(one, {{key, "v" + key}})).status.ok());
    }
    const GroupId group = world_.node(0).DirectoryView()->Locate(kv::KeyspaceStart(one))->group;
    const DirectoryAnswer begun = Change(2, SplitCall{.group = group, .key = {}});
    ASSERT_TRUE(begun.status.ok()) << begun.status;
    const JobRecord* job = AwaitJob(1, begun.job);
    EXPECT_EQ(job->state, JobState::kDone) << job->error << job->step;
    EXPECT_EQ(ShardsOf(1, one), 2u);
    std::map<GroupId, int> served;
    for (int i = 0; i < 200; ++i) {
      const std::string key = fmt::format("k{:03}", i);
      const GatewayAnswer got = Ask(i % 5, GetCall{.keyspace = one, .key = key});
      EXPECT_EQ(NodeWorld::ValueOf(got), "v" + key);
      ++served[got.origin.group];
    }
    ASSERT_EQ(served.size(), 2u);
    for (const auto& [by, count] : served) EXPECT_GE(count, 60);
  }
  const GroupId group =
      world_.node(0).DirectoryView()->Locate(kv::EncodeKey(keyspace, "k000"))->group;
  const DirectoryAnswer by_hand =
      Change(0, SplitCall{.group = group, .key = kv::EncodeKey(keyspace, "k010")});
  ASSERT_TRUE(by_hand.status.ok()) << by_hand.status;
  EXPECT_EQ(AwaitJob(0, by_hand.job)->state, JobState::kDone);
  EXPECT_EQ(image_->Locate(kv::EncodeKey(keyspace, "k010"))->start,
            kv::EncodeKey(keyspace, "k010"));
  EXPECT_EQ(ReasonOf(Change(0, SplitCall{.group = GroupId(99), .key = {}}).status),
            Reason::kShardNotFound);
}

// Although nobody has written to it, and who leads it was told before.
TEST_F(Shards, ANewShardsSizeIsToldWithinSeconds) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(Ask(0, Puts(keyspace, {{fmt::format("k{:03}", i), "v"}})).status.ok());
  }
  for (const char* at : {"k150", "k100", "k050"}) {
    SCOPED_TRACE(at);
    const GroupId group =
        world_.node(0).DirectoryView()->Locate(kv::KeyspaceStart(keyspace))->group;
    const DirectoryAnswer split =
        Change(0, SplitCall{.group = group, .key = kv::EncodeKey(keyspace, at)});
    const JobRecord* job = AwaitJob(0, split.job);
    ASSERT_EQ(job->state, JobState::kDone) << job->error << job->step;
    world_.RunFor(seconds(3));
    const int asked = world_.AwaitLeader(-1, kDirectoryGroup);
    std::uint64_t keys = 0;
    for (const ShardSurvey& shard : Change(asked, SurveyCall{}).shards) {
      if (shard.group == job->other) keys = shard.keys;
    }
    EXPECT_GT(keys, 0u);
  }
}

class ShardsOfThree : public Shards {
 protected:
  ShardsOfThree() : Shards(3) {}
};

// Two nodes have yet to cut off the new shard when the third, which has, wants to lead it. That one
// dies: what they have of it is what they make of the parent themselves.
TEST_F(ShardsOfThree, AMessageMakesNoReplicaOfAShardThatIsYetToBeCutOff) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  for (const char* key : {"a", "z"}) ASSERT_TRUE(Ask(0, Puts(keyspace, {{key, "v"}})).status.ok());
  const GroupId parent = world_.node(0).DirectoryView()->Locate(kv::KeyspaceStart(keyspace))->group;
  const int early = world_.AwaitLeader(-1, parent);
  const std::vector<int> late{(early + 1) % 3, (early + 2) % 3};
  for (const int node : late) {
    const std::string begun = fmt::format("/data/groups/{}/child", parent.value());
    world_.cluster().disk(node).SetCallHook([begun](const sim::DiskCall& call) {
      const bool begins = call.operation == sim::DiskOperation::kCreate && call.path == begun;
      return begins ? rocksdb::IOStatus::NoSpace("not yet") : rocksdb::IOStatus::OK();
    });
  }
  const DirectoryAnswer split =
      Change(early, SplitCall{.group = parent, .key = kv::EncodeKey(keyspace, "m")});
  ASSERT_TRUE(split.status.ok()) << split.status;
  // They know that they are to have it, and are asked for their votes.
  ASSERT_TRUE(world_.Await(
      [&] { return ShardsOf(late[0], keyspace) == 2 && ShardsOf(late[1], keyspace) == 2; }));
  const GroupId child = world_.node(early).DirectoryView()->Find(split.job)->other;
  const std::string path = fmt::format("/data/groups/{}", child.value());
  ASSERT_TRUE(HasDirectory(early, path));
  EXPECT_FALSE(world_.Await(
      [&] { return HasDirectory(late[0], path) || HasDirectory(late[1], path); }, seconds(1)));
  world_.cluster().Crash(early);
  for (const int node : late) world_.cluster().disk(node).SetCallHook(nullptr);
  world_.AwaitLeader(early, child);
  for (const int node : late) {
    EXPECT_EQ(NodeWorld::ValueOf(Ask(node, GetCall{.keyspace = keyspace, .key = "z"})), "v");
  }
}

// It has nothing of the shard, has not heard of the split, and its clients write through it.
TEST_F(Shards, AWriteOnAStaleRouteReachesTheNewShard) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  const ShardDescriptor shard =
      *world_.node(0).DirectoryView()->Locate(kv::KeyspaceStart(keyspace));
  int stale = 0;
  while (shard.voters.contains(NodeId(stale + 1ull))) ++stale;
  const int other = (stale + 1) % 5;
  ASSERT_TRUE(world_.Await([&] { return ShardsOf(stale, keyspace) == 1; }));
  const GatewayAnswer before = Ask(stale, Puts(keyspace, {{"z", "before"}}));
  ASSERT_TRUE(before.status.ok()) << before.status;
  world_.CutOff(stale);
  world_.AwaitLeader(stale, kDirectoryGroup);
  const DirectoryAnswer split =
      Change(other, SplitCall{.group = shard.group, .key = kv::EncodeKey(keyspace, "m")});
  ASSERT_TRUE(split.status.ok()) << split.status;
  const JobRecord job = *AwaitJob(other, split.job);
  ASSERT_EQ(job.state, JobState::kDone) << job.error << job.step;
  ASSERT_TRUE(Ask(other, Puts(keyspace, {{"z", "while it was away"}})).status.ok());
  ASSERT_EQ(ShardsOf(stale, keyspace), 1u);
  world_.network().HealAll();
  const GatewayAnswer put = Ask(stale, Puts(keyspace, {{"z", "on a stale route"}}));
  ASSERT_TRUE(put.status.ok()) << put.status;
  EXPECT_EQ(put.origin.group, job.other);
  EXPECT_EQ(NodeWorld::ValueOf(Ask(other, GetCall{.keyspace = keyspace, .key = "z"})),
            "on a stale route");
}

// It remembers a leader that has nothing of the shard any more.
TEST_F(Shards, AWriteOnAStaleRouteFollowsAReplicaThatMoved) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  const ShardDescriptor shard =
      *world_.node(0).DirectoryView()->Locate(kv::KeyspaceStart(keyspace));
  std::vector<int> others;
  for (int node = 0; node < 5; ++node) {
    if (!shard.voters.contains(NodeId(node + 1ull))) others.push_back(node);
  }
  const int stale = others[0];
  const int left = world_.AwaitLeader(-1, shard.group);
  ASSERT_TRUE(world_.Await([&] { return ShardsOf(stale, keyspace) == 1; }));
  const GatewayAnswer before = Ask(stale, Puts(keyspace, {{"k", "before"}}));
  ASSERT_TRUE(before.status.ok()) << before.status;
  const DirectoryAnswer moved = Change(
      left,
      MoveCall{.group = shard.group, .from = NodeId(left + 1ull), .to = NodeId(others[1] + 1ull)});
  ASSERT_TRUE(moved.status.ok()) << moved.status;
  EXPECT_EQ(AwaitJob(left, moved.job)->state, JobState::kDone);
  const std::string path = fmt::format("/data/groups/{}", shard.group.value());
  ASSERT_TRUE(world_.Await([&] { return !HasDirectory(left, path); }));
  const GatewayAnswer put = Ask(stale, Puts(keyspace, {{"k", "on a stale route"}}));
  ASSERT_TRUE(put.status.ok()) << put.status;
  EXPECT_EQ(NodeWorld::ValueOf(Ask(left, GetCall{.keyspace = keyspace, .key = "k"})),
            "on a stale route");
}

// Should it become a member once more, it must not vote twice in a term.
TEST_F(Shards, ANodeRemembersItsVoteInAGroupThatWentFromIt) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  ASSERT_TRUE(Ask(0, Puts(keyspace, {{"k", "v"}})).status.ok());
  const ShardDescriptor shard =
      *world_.node(0).DirectoryView()->Locate(kv::KeyspaceStart(keyspace));
  NodeId to;
  for (int i = 1; i <= 5 && !to; ++i) {
    if (!shard.voters.contains(NodeId(i))) to = NodeId(i);
  }
  const int left = static_cast<int>(shard.voters.begin()->value()) - 1;
  raft::CoreStatus before;
  world_.node(left).Info([&](const NodeInfo& info) {
    for (const GroupInfo& group : info.groups) {
      if (group.group == shard.group) before = group.core;
    }
  });
  world_.RunFor(milliseconds(5));
  ASSERT_GT(before.term, raft::Term());
  const DirectoryAnswer moved =
      Change(0, MoveCall{.group = shard.group, .from = *shard.voters.begin(), .to = to});
  ASSERT_TRUE(moved.status.ok()) << moved.status;
  const std::string path = fmt::format("/data/groups/{}", shard.group.value());
  ASSERT_TRUE(world_.Await([&] { return !HasDirectory(left, path); }, seconds(20)));
  world_.cluster().Crash(left);

  raft::Log::World world;
  world.files = &world_.cluster().disk(left);
  world.clock = world_.cluster().process((left + 1) % 5);
  world.writer = world_.cluster().process((left + 1) % 5)->NewThreadStrand("log");
  world.on_fatal = [](const Status& status) { ADD_FAILURE() << status; };
  raft::LogRecovery recovery;
  const auto log = raft::Log::Open({.directory = "/data/wal"}, std::move(world), recovery);
  ASSERT_TRUE(log.ok()) << log.status();
  const raft::HardState remembered = (*log)->hard_state(shard.group);
  EXPECT_GE(remembered.term, before.term);
  if (remembered.term == before.term) {
    EXPECT_EQ(remembered.vote, before.vote);
  }
  EXPECT_GE(remembered.forgotten.index, before.commit);
}

TEST_F(Shards, AReplicaMovesToANodeThatHadNone) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  ASSERT_TRUE(Ask(0, Puts(keyspace, {{"k", "v"}})).status.ok());
  const ShardDescriptor shard =
      *world_.node(0).DirectoryView()->Locate(kv::KeyspaceStart(keyspace));
  ASSERT_EQ(shard.voters.size(), 3u);
  NodeId to;
  for (int i = 1; i <= 5 && !to; ++i) {
    if (!shard.voters.contains(NodeId(i))) to = NodeId(i);
  }
  const NodeId from = *shard.voters.begin();
  const DirectoryAnswer begun = Change(0, MoveCall{.group = shard.group, .from = from, .to = to});
  ASSERT_TRUE(begun.status.ok()) << begun.status;
  EXPECT_EQ(ReasonOf(Change(1, SplitCall{.group = shard.group, .key = {}}).status),
            Reason::kShardBusy);
  EXPECT_EQ(AwaitJob(0, begun.job)->state, JobState::kDone);
  const std::set<NodeId> now = image_->Find(shard.group)->voters;
  EXPECT_TRUE(now.contains(to));
  EXPECT_FALSE(now.contains(from));
  for (int node = 0; node < 5; ++node) {
    EXPECT_EQ(NodeWorld::ValueOf(Ask(node, GetCall{.keyspace = keyspace, .key = "k"})), "v");
  }
  // What was left behind goes, and does not come back with a restart.
  const int left = static_cast<int>(from.value()) - 1;
  const std::string path = "/data/groups/" + std::to_string(shard.group.value());
  EXPECT_TRUE(world_.Await([&] { return !HasDirectory(left, path); }));
  world_.cluster().Crash(left);
  ASSERT_TRUE(world_.cluster().Start(left)) << world_.cluster().failure();
  world_.RunFor(seconds(2));
  EXPECT_FALSE(HasDirectory(left, path));
  EXPECT_EQ(NodeWorld::ValueOf(Ask(left, GetCall{.keyspace = keyspace, .key = "k"})), "v");
}

// The log has no room to note that the replica has gone.
TEST_F(Shards, AReplicaGoesFromAFullDiskOnceThereIsRoomAgain) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  const ShardDescriptor shard =
      *world_.node(0).DirectoryView()->Locate(kv::KeyspaceStart(keyspace));
  const auto stays = [&](int node) { return !shard.voters.contains(NodeId(node + 1)); };
  int asked = 0;
  while (!stays(asked)) ++asked;
  ASSERT_TRUE(world_.Await([&] { return world_.Leader(-1, shard.group).has_value(); }));
  int left = 0;
  while (stays(left) || world_.node(left).Leads(shard.group) ||
         world_.node(left).Leads(kDirectoryGroup)) {
    ++left;
  }
  const NodeId from(left + 1ull);
  sim::SimFileSystem& disk = world_.cluster().disk(left);
  disk.SetCapacity(1);
  for (int i = 0; i < 20; ++i) {
    const std::string key = "k" + std::to_string(i);
    ASSERT_TRUE(Ask(asked, Puts(keyspace, {{key, std::string(8 << 10, 'v')}})).status.ok());
  }
  const DirectoryAnswer begun =
      Change(asked, MoveCall{.group = shard.group, .from = from, .to = NodeId(asked + 1ull)});
  ASSERT_TRUE(begun.status.ok()) << begun.status;
  EXPECT_EQ(AwaitJob(asked, begun.job)->state, JobState::kDone);
  disk.SetCapacity(1 << 30);
  const std::string path = "/data/groups/" + std::to_string(shard.group.value());
  EXPECT_TRUE(world_.Await([&] { return !HasDirectory(left, path); }, seconds(20)));
}

TEST_F(Shards, VersionsAreKeptForAsLongAsTheirKeyspaceSays) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  const auto put = [&](const std::string& value) {
    const GatewayAnswer answer = Ask(0, Puts(keyspace, {{"k", value}}));
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    return answer.origin.timestamp;
  };
  const auto as_of = [&](Timestamp then) {
    return NodeWorld::ValueOf(Ask(3, GetCall{.keyspace = keyspace, .key = "k", .as_of = then}));
  };
  const auto keep = [&](Duration retention) {
    ASSERT_TRUE(Change(0, AlterKeyspaceCall{.name = "a", .retention = retention}).status.ok());
    world_.RunFor(seconds(12));  // what is younger is kept for those who are yet to be heard of
  };
  const Timestamp first = put("1");
  const Timestamp second = put("2");
  EXPECT_EQ(as_of(first), "1");
  keep(seconds(1));
  put("3");
  EXPECT_EQ(as_of(first), "TIMESTAMP_TOO_OLD");
  keep(std::chrono::minutes(10));
  const Timestamp fourth = put("4");
  world_.RunFor(seconds(2));
  put("5");
  EXPECT_EQ(as_of(fourth), "4");
  // What has gone does not come back.
  EXPECT_EQ(as_of(second), "TIMESTAMP_TOO_OLD");
}

TEST_F(Shards, NobodyReadsTheFuture) {
  const kv::KeyspaceId keyspace = Make({.name = "a"});
  const GatewayAnswer put = Ask(0, Puts(keyspace, {{"k", "v"}}));
  const auto as_of = [&](Timestamp then) {
    return NodeWorld::ValueOf(Ask(3, GetCall{.keyspace = keyspace, .key = "k", .as_of = then}));
  };
  EXPECT_EQ(as_of(put.origin.timestamp), "v");
  EXPECT_EQ(as_of(Timestamp(put.origin.timestamp.value() + (60'000ull << kTimestampCounterBits))),
            "BAD_REQUEST");
  EXPECT_TRUE(Ask(0, Puts(keyspace, {{"k", "w"}})).status.ok());
}

// Otherwise those that are written to would flush all the time, for want of memory that the others
// hold.
TEST(ShardsInLittleMemory, IdleOnesLetMemoryGoForBusyOnes) {
  NodeOptions options;
  options.balance = false;
  options.write_buffer_bytes = 100 << 10;
  NodeWorld world(options, 1);
  ASSERT_TRUE(
      world.Change(0, CreateKeyspaceCall{.spec = {.name = "a", .split_keys = {"m"}}}).status.ok());
  const kv::KeyspaceId keyspace =
      world.node(0).gateway().FindKeyspace("a").value_or(kv::KeyspaceId());
  const auto put = [&](std::string_view key, std::size_t bytes) {
    const std::string value(bytes, 'v');
    const GatewayAnswer answer =
        world.Wait(world.Begin(0, Shards::Puts(keyspace, {{std::string(key), value}})));
    ASSERT_TRUE(answer.status.ok()) << answer.status;
    world.RunFor(milliseconds(100));
  };
  const auto memtable_bytes = [&](std::string_view key) {
    const GroupId wanted =
        world.node(0).DirectoryView()->Locate(kv::EncodeKey(keyspace, key))->group;
    std::uint64_t bytes = 0;
    world.node(0).Info([&](const NodeInfo& info) {
      for (const GroupInfo& group : info.groups) {
        if (group.group == wanted) bytes = group.sizes.memtable_bytes;
      }
    });
    world.RunFor(milliseconds(20));
    return bytes;
  };
  for (int i = 0; i < 4; ++i) put("a", 9 << 10);
  EXPECT_GT(memtable_bytes("a"), 36u << 10);
  for (int i = 0; i < 2; ++i) put("z", 9 << 10);
  EXPECT_LT(memtable_bytes("a"), 1u << 10);
  EXPECT_GT(memtable_bytes("z"), 18u << 10);
}

TEST_F(Shards, ADroppedKeyspaceIsGone) {
  const kv::KeyspaceId keyspace = Make({.name = "a", .split_keys = {"m"}});
  ASSERT_TRUE(Ask(0, Puts(keyspace, {{"k", "v"}})).status.ok());
  const DirectoryAnswer dropped = Change(0, DropKeyspaceCall{.name = "a"});
  ASSERT_TRUE(dropped.status.ok()) << dropped.status;
  EXPECT_FALSE(world_.node(0).gateway().FindKeyspace("a").has_value());
  EXPECT_EQ(AwaitJob(0, dropped.job)->state, JobState::kDone);
  EXPECT_EQ(ShardsOf(0, keyspace), 0u);
  EXPECT_EQ(ReasonOf(Ask(0, GetCall{.keyspace = keyspace, .key = "k"}).status),
            Reason::kKeyspaceNotFound);
}

}  // namespace
}  // namespace flotilla
