// Nodes whose groups are all asleep: what they cost, and what wakes them.

#include <chrono>

#include "tests/shard/node_world.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

NodeOptions Sleepy() {
  NodeOptions options;
  options.quiesce_after = milliseconds(300);
  return options;
}

// Until nothing is said any more.
void FallAsleep(NodeWorld& world) {
  std::uint64_t said = 1;
  world.network().SetObserver([&said](const raft::PeerMessage& message, std::uint64_t) {
    said += std::holds_alternative<raft::GroupMessage>(message.payload) ? 1 : 0;
  });
  for (int second = 0; second < 10 && said != 0; ++second) {
    said = 0;
    world.RunFor(seconds(1));
  }
  EXPECT_EQ(said, 0u) << "groups without work do not fall asleep";
  world.network().SetObserver(nullptr);
}

TEST(Sleep, IdleNodesDoNextToNothing) {
  NodeWorld world(Sleepy());
  ASSERT_TRUE(world.Put(world.AwaitLeader(), "key", "value").status.ok());
  FallAsleep(world);
  const std::uint64_t before = world.loop().events();
  world.RunFor(seconds(30));
  // Of three nodes: housekeeping, three times a second, of a few events; and the keep-alives.
  EXPECT_LT((world.loop().events() - before) / 30, 100u);
  EXPECT_EQ(world.Read(0, "key"), "value");
}

TEST(Sleep, ALeaderThatDiesIsReplaced) {
  NodeWorld world(Sleepy());
  const int leader = world.AwaitLeader();
  FallAsleep(world);
  world.cluster().Kill(leader);
  EXPECT_TRUE(world.Await([&] { return world.Leader(leader).has_value(); }, seconds(3)));
}

TEST(Sleep, ALeaderThatIsCutOffIsReplaced) {
  NodeWorld world(Sleepy());
  const int leader = world.AwaitLeader();
  FallAsleep(world);
  world.CutOff(leader);
  EXPECT_TRUE(world.Await([&] { return world.Leader(leader).has_value(); }, seconds(3)));
}

TEST(Sleep, WhoComesBackLearnsWhoLeads) {
  NodeWorld world(Sleepy());
  const int leader = world.AwaitLeader();
  const int other = (leader + 1) % 3;
  FallAsleep(world);
  world.cluster().Kill(other);
  world.RunFor(seconds(5));
  ASSERT_TRUE(world.cluster().Start(other));
  EXPECT_TRUE(world.Await([&] { return world.node(other).Ready(); }, seconds(2)));
  EXPECT_EQ(world.AwaitLeader(), leader);
  FallAsleep(world);
}

// What has changed in it is told before it sleeps, or soon after.
TEST(Sleep, AChangeOfMembersIsToldOfAtOnce) {
  NodeOptions options;
  options.quiesce_after = milliseconds(20);
  options.balance = false;
  NodeWorld world(options);
  const int leader = world.AwaitLeader();
  FallAsleep(world);
  for (const bool comes : {false, true}) {
    const NodeId other = world.IdentityOf((leader + 1) % 3);
    MoveCall move{.group = kFirstDataGroup, .from = {}, .to = {}};
    (comes ? move.to : move.from) = other;
    const DirectoryAnswer begun = world.Change(leader, move);
    ASSERT_TRUE(begun.status.ok()) << begun.status;
    EXPECT_TRUE(world.Await(
        [&] {
          const auto image = world.node(leader).DirectoryView();
          const JobRecord* job = image->Find(begun.job);
          return job != nullptr && job->state == JobState::kDone;
        },
        seconds(3)))
        << (comes ? "it comes" : "it goes");
  }
}

TEST(Sleep, KeysExpireInTime) {
  NodeWorld world(Sleepy());
  const int leader = world.AwaitLeader();
  kv::CommandView command;
  command.ops.push_back({.key = "key", .value = "value", .ttl_ms = 8000});
  const WriteCall put{.command = Bytes(kv::EncodeCommand(command))};
  ASSERT_TRUE(world.Wait(world.Begin(leader, put)).status.ok());
  const MonoTime written = world.loop().now();
  FallAsleep(world);
  ASSERT_LT(world.loop().now(), written + seconds(6)) << "it slept too late to show anything";
  world.RunFor(written + milliseconds(8100) - world.loop().now());
  EXPECT_EQ(world.Read(leader, "key"), "(none)");
}

TEST(Sleep, ALearnerThatIsToBecomeAVoterIsWaitedFor) {
  NodeWorld world(Sleepy(), 3, 1);
  FallAsleep(world);
  ASSERT_TRUE(world.cluster().Start(3));
  const auto is_voter = [&] {
    const int leader = world.AwaitLeader(-1, kDirectoryGroup);
    bool voter = false;
    world.node(leader).Info([&](const NodeInfo& info) {
      for (const GroupInfo& group : info.groups) {
        for (const MemberInfo& member : group.members) {
          const bool newcomer = member.address == sim::SimCluster::AddressOf(3);
          voter |= group.group == kDirectoryGroup && newcomer && member.voter;
        }
      }
    });
    world.RunFor(milliseconds(20));
    return voter;
  };
  EXPECT_TRUE(world.Await(is_voter, seconds(10)));
}

}  // namespace
}  // namespace flotilla
