// The oracle among whole nodes: timestamps and writes over changes of the directory's leader.

#include <gtest/gtest.h>

#include <optional>

#include "tests/shard/node_world.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::chrono::microseconds kHour = std::chrono::hours(1);

using Taken = std::shared_ptr<std::optional<StatusOr<Timestamp>>>;

Taken Begin(NodeWorld& world, int node, Duration within = seconds(5)) {
  auto taken = std::make_shared<std::optional<StatusOr<Timestamp>>>();
  world.node(node).TakeTimestamps(
      1, world.cluster().process(node)->Now() + within,
      [taken](StatusOr<Timestamp> first) { *taken = std::move(first); });
  return taken;
}

Timestamp Take(NodeWorld& world, int node) {
  const Taken taken = Begin(world, node);
  EXPECT_TRUE(world.Await([&] { return taken->has_value(); })) << "never answered";
  if (!taken->has_value() || !(*taken)->ok()) {
    ADD_FAILURE() << "no timestamp";
    return {};
  }
  return ***taken;
}

Timestamp Written(NodeWorld& world, int node, std::string_view key) {
  const GatewayAnswer answer = world.Put(node, key, "value");
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  return answer.origin.timestamp;
}

int Other(int node) { return node == 0 ? 1 : 0; }

TEST(OracleOfNodes, AnyNodeTakesTimestampsAboveAllBefore) {
  NodeWorld world;
  Timestamp last;
  for (int round = 0; round < 5; ++round) {
    for (int node = 0; node < 3; ++node) {
      const Timestamp taken = Take(world, node);
      EXPECT_GT(taken, last);
      last = Written(world, node, "key");
      EXPECT_GT(last, taken);
    }
  }
}

TEST(OracleOfNodes, TimeGoesOnWhenTheDirectorysLeaderDiesAndClocksAreSetBack) {
  NodeWorld world;
  const int leader = world.AwaitLeader(-1, kDirectoryGroup);
  Timestamp last = Take(world, leader);
  last = std::max(last, Written(world, Other(leader), "key"));
  for (int node = 0; node < 3; ++node) world.cluster().SetWallOffset(node, -kHour);
  world.cluster().Crash(leader);
  world.AwaitLeader(leader, kDirectoryGroup);
  for (int node = 0; node < 3; ++node) {
    if (node == leader) continue;
    const Timestamp taken = Take(world, node);
    EXPECT_GT(taken, last);
    last = Written(world, node, "key");
    EXPECT_GT(last, taken);
  }
}

TEST(OracleOfNodes, TimeGoesOnWhenAllNodesDieAndClocksAreSetBack) {
  NodeWorld world;
  const Timestamp before = std::max(Take(world, 0), Written(world, 1, "key"));
  for (int node = 0; node < 3; ++node) {
    world.cluster().Crash(node);
    world.cluster().SetWallOffset(node, -kHour);
  }
  for (int node = 0; node < 3; ++node) ASSERT_TRUE(world.cluster().Start(node));
  ASSERT_TRUE(world.Await([&] { return world.AllReady(); }));
  EXPECT_GT(Take(world, 2), before);
  EXPECT_GT(Written(world, 2, "key"), before);
}

// It has most of a window left, and does not know yet that it is deposed.
TEST(OracleOfNodes, ALeaderThatIsCutOffGivesNothingOut) {
  NodeWorld world;
  const int leader = world.AwaitLeader(-1, kDirectoryGroup);
  Take(world, leader);
  world.CutOff(leader);
  const Taken asked_in_vain = Begin(world, leader, seconds(20));
  const int successor = world.AwaitLeader(leader, kDirectoryGroup);
  const Taken asked_late = Begin(world, leader, seconds(20));
  const Timestamp theirs = Take(world, successor);
  EXPECT_FALSE(asked_in_vain->has_value());
  EXPECT_FALSE(asked_late->has_value());
  world.network().HealAll();
  ASSERT_TRUE(world.Await([&] { return asked_late->has_value(); }));
  ASSERT_TRUE((*asked_late)->ok()) << (*asked_late)->status();
  EXPECT_GT(***asked_late, theirs);
}

// The asker's own word is half of the proof where there are three voters, and not enough among
// five.
TEST(OracleOfNodes, ALeaderAndTheOneWhoAsksItAreAQuorumOfThreeAlone) {
  for (const int nodes : {3, 5}) {
    NodeWorld world({}, nodes);
    const int leader = world.AwaitLeader(-1, kDirectoryGroup);
    const int asker = Other(leader);
    Take(world, asker);
    for (int node = 0; node < nodes; ++node) {
      if (node == leader || node == asker) continue;
      world.Part(leader, node);
      world.Part(asker, node);
    }
    const Taken taken = Begin(world, asker, seconds(20));
    world.RunFor(milliseconds(50));
    EXPECT_EQ(taken->has_value(), nodes == 3);
    if (nodes == 3) continue;
    const int successor = world.AwaitLeader(leader, kDirectoryGroup);
    const Timestamp theirs = Take(world, successor);
    world.network().HealAll();
    ASSERT_TRUE(world.Await([&] { return taken->has_value(); }));
    EXPECT_GT(***taken, theirs);
  }
}

TEST(OracleOfNodes, WhoGetsNoTimestampIsToldSo) {
  NodeWorld world;
  const int node = Other(world.AwaitLeader(-1, kDirectoryGroup));
  world.CutOff(node);
  const Taken taken = Begin(world, node, milliseconds(800));
  ASSERT_TRUE(world.Await([&] { return taken->has_value(); }));
  EXPECT_EQ(ReasonOf((*taken)->status()), Reason::kNoQuorum);
}

// The directory's leader and that of the data are different nodes, and change places.
TEST(OracleOfNodes, WritesGoOnWhileTheDirectorysLeadershipMoves) {
  NodeWorld world;
  Timestamp last;
  for (int round = 0; round < 6; ++round) {
    const int leader = world.AwaitLeader(-1, kDirectoryGroup);
    world.node(leader).TransferLeadership(kDirectoryGroup, NodeId(),
                                          world.cluster().process(leader)->Now() + seconds(2),
                                          [](const StatusOr<NodeId>&) {});
    const Timestamp now = Written(world, round % 3, "key");
    EXPECT_GT(now, last);
    last = now;
    EXPECT_GT(Take(world, (round + 1) % 3), last);
  }
}

TEST(OracleOfNodes, KeysExpireInTheOraclesTime) {
  NodeWorld world;
  // The data's leader believes it to be an hour later than the oracle does, or earlier.
  const int oracle = world.AwaitLeader(-1, kDirectoryGroup);
  for (int node = 0; node < 3; ++node) {
    if (node != oracle) world.cluster().SetWallOffset(node, kHour);
  }
  kv::CommandView command;
  command.ops.push_back({.key = "short", .value = "lived", .ttl_ms = 500});
  const WriteCall call{.command = Bytes(kv::EncodeCommand(command))};
  EXPECT_TRUE(world.Wait(world.Begin(0, call)).status.ok());
  EXPECT_EQ(world.Read(1, "short"), "lived");
  EXPECT_TRUE(world.Await([&] { return world.Read(1, "short") == "(none)"; }, seconds(5)));
}

}  // namespace
}  // namespace flotilla
