// Whole nodes at moments that go wrong in real systems: pauses, lost data, leaders that vanish.

#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "raft/peer_calls.h"
#include "shard/formation_codec.h"
#include "tests/shard/node_world.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

NodeOptions WithLeases() {
  NodeOptions options;
  options.leases = true;
  return options;
}

// A leader sleeps through the election of another, and is asked as soon as it wakes up.
TEST(Node, ALeaderThatWasPausedAcrossItsLeaseAnswersNothingStale) {
  NodeWorld world(WithLeases());
  const int old = world.AwaitLeader();
  ASSERT_TRUE(world.Put(old, "k", "old").status.ok());
  world.RunFor(milliseconds(200));
  EXPECT_EQ(world.Read(old, "k"), "old");
  world.loop().Pause(world.IdOf(old));
  const int now = world.AwaitLeader(old);
  ASSERT_TRUE(world.Put(now, "k", "new").status.ok());
  world.RunFor(seconds(1));
  // The request comes first, before anything that could tell the old leader.
  const NodeWorld::Answer read = world.Begin(old, NodeWorld::Get("k"));
  world.loop().Resume(world.IdOf(old), milliseconds(20));
  EXPECT_EQ(NodeWorld::ValueOf(world.Wait(read)), "new");
}

// Its directory is not empty: spare segments are left.
TEST(Node, ANodeThatLostItsLogRefusesItsOldIdentity) {
  NodeWorld world;
  ASSERT_TRUE(world.Put(world.AwaitLeader(), "k", "v").status.ok());
  world.RunFor(seconds(1));
  world.cluster().Crash(1);
  sim::SimFileSystem& disk = world.cluster().disk(1);
  std::vector<std::string> names;
  ASSERT_TRUE(disk.GetChildren("/data/wal", {}, &names, nullptr).ok());
  for (const std::string& name : names) {
    if (!name.ends_with(".log")) continue;
    const std::string path = "/data/wal/" + name;
    ASSERT_TRUE(disk.RenameFile(path, path.substr(0, path.size() - 3) + "spare", {}, nullptr).ok());
  }
  EXPECT_FALSE(world.cluster().Start(1));
  EXPECT_NE(world.cluster().failure().find("must not vote again"), std::string::npos)
      << world.cluster().failure();
}

TEST(Node, ARetryAfterAFailoverGetsTheFirstAnswer) {
  NodeWorld world;
  const int old = world.AwaitLeader();
  const kv::Session session{.client = ClientId(5), .sequence = 1, .acknowledged_below = 1};
  const GatewayAnswer first = world.Put(old, "k", "1", session);
  ASSERT_TRUE(first.status.ok());
  ASSERT_TRUE(world.Put(old, "k", "2").status.ok());
  world.cluster().Crash(old);
  const int now = world.AwaitLeader(old);
  const GatewayAnswer again = world.Put(now, "k", "1", session);
  ASSERT_TRUE(again.status.ok()) << again.status;
  EXPECT_EQ(again.origin.timestamp, first.origin.timestamp);
  EXPECT_EQ(world.Read(now, "k"), "2");
}

// A follower has forwarded a write when its leader vanishes: only with a number it tries again.
TEST(Node, AWriteWithoutANumberIsNotRepeated) {
  NodeWorld world;
  const int leader = world.AwaitLeader();
  const int follower = (leader + 1) % 3;
  world.RunFor(seconds(1));
  const NodeWorld::Answer plain = world.Begin(follower, NodeWorld::PutCall("plain", "v"));
  const NodeWorld::Answer numbered = world.Begin(
      follower,
      NodeWorld::PutCall("numbered", "v",
                         {.client = ClientId(5), .sequence = 1, .acknowledged_below = 1}));
  world.CutOff(leader);
  EXPECT_TRUE(world.Wait(numbered).status.ok()) << (*numbered)->status;
  EXPECT_FALSE(plain->has_value()) << "the old leader may still answer it";
  EXPECT_EQ(NodeWorld::ValueOf(world.Wait(plain)), "OUTCOME_UNKNOWN");
  EXPECT_EQ(world.Read(follower, "numbered"), "v");
}

// It was: the id of the entry that an earlier request had made, which was lost with its leader, and
// then given to another node.
TEST(Node, AnIdIsGivenOnlyOnceItIsSureToBeKept) {
  NodeWorld world({}, 3, 1);
  const int newcomer = 3;
  const int leader = world.AwaitLeader(-1, kDirectoryGroup);
  ASSERT_TRUE(world.Put(world.AwaitLeader(), "key", "value").status.ok());
  for (int other = 0; other < 3; ++other) {
    if (other == leader) continue;
    world.Part(leader, other);
    world.Part(newcomer, other);
  }
  ASSERT_TRUE(world.cluster().Start(newcomer));  // and asks to be let in
  world.RunFor(std::chrono::milliseconds(30));
  ASSERT_TRUE(world.node(leader).Leads(kDirectoryGroup));
  std::optional<StatusOr<NodeId>> answer;
  world.node(leader).AddReplica(GroupId(), sim::SimCluster::AddressOf(newcomer), true,
                                world.loop().now() + std::chrono::seconds(3),
                                [&](StatusOr<NodeId> node) { answer = std::move(node); });
  ASSERT_TRUE(world.Await([&] { return answer.has_value(); }));
  EXPECT_EQ(ReasonOf(answer->status()), Reason::kOutcomeUnknown);
}

// Two waited for another's change, and both were given the id that had been free meanwhile.
TEST(Node, ThoseThatJoinAtTheSameTimeGetIdsOfTheirOwn) {
  NodeWorld world({}, 3, 3);
  const int leader = world.AwaitLeader(-1, kDirectoryGroup);
  ASSERT_TRUE(world.Put(world.AwaitLeader(), "key", "value").status.ok());
  for (int founder = 0; founder < 3; ++founder) {
    world.cluster().SetSyncTime(founder, std::chrono::milliseconds(50));
  }
  std::set<NodeId> given;
  int answers = 0;
  for (const int newcomer : {3, 4, 5}) {
    ASSERT_TRUE(world.cluster().Start(newcomer));
    world.node(leader).AddReplica(GroupId(), sim::SimCluster::AddressOf(newcomer), true,
                                  world.loop().now() + std::chrono::seconds(3),
                                  [&](StatusOr<NodeId> node) {
                                    ASSERT_TRUE(node.ok()) << MessageOf(node.status());
                                    given.insert(*node);
                                    ++answers;
                                  });
  }
  ASSERT_TRUE(world.Await([&] { return answers == 3; }));
  EXPECT_EQ(given.size(), 3u);
}

// It has been let in, and then has no room for one file or the other.
TEST(Node, ANewMemberOnAFullDiskWaitsForRoom) {
  // Behind the log's first segment there is little that a database needs.
  const auto step = [](std::uint64_t room) {
    return room >= 65'000 && room < 70'000 ? 100u : 5'000u;
  };
  for (std::uint64_t room = 0; room <= 140'000; room += step(room)) {
    SCOPED_TRACE(room);
    NodeWorld world({}, 3, 1);
    world.cluster().SetRoom(3, room);
    if (world.cluster().Start(3)) {
      world.RunFor(seconds(2));
      ASSERT_EQ(world.cluster().failure(), "") << "it does not give up";
      // Nothing more is wanted of it than room.
      world.cluster().SetRoom(3, std::nullopt);
    } else {
      world.cluster().SetRoom(3, std::nullopt);
      ASSERT_TRUE(world.cluster().Start(3)) << world.cluster().failure();
    }
    ASSERT_TRUE(world.Await([&] { return world.AllReady(); }));
  }
}

// A machine that asks to be let in, or tells where it is.
class Asker {
 public:
  explicit Asker(NodeWorld& world)
      : world_(world),
        process_(&world.loop(), 50),
        transport_(&world.network(), &process_, "elsewhere:1") {}

  StatusOr<Admission> Join(int asked, NodeId member = {}) {
    std::optional<StatusOr<Bytes>> answer;
    const JoinCall call{
        .uuid = NodeUuid(77), .address = "elsewhere:1", .promote = false, .member = member};
    transport_.CallAddress(sim::SimCluster::AddressOf(asked),
                           static_cast<std::uint32_t>(raft::PeerMethod::kJoin),
                           Bytes(EncodeJoinCall(call)), seconds(5),
                           [&](StatusOr<Bytes> got) { answer = std::move(got); });
    EXPECT_TRUE(world_.Await([&] { return answer.has_value(); }));
    if (!answer || !answer->ok()) return Error(Reason::kUnreachable, "no answer");
    return DecodeAdmission((*answer)->view());
  }

 private:
  NodeWorld& world_;
  sim::SimProcess process_;
  sim::SimTransport transport_;
};

// It was away, and has another address when it comes back. To note that, the cluster would make a
// new member of it, whose id it never takes.
TEST(Node, AMemberThatWasRemovedIsNotLetInAgainWhenItTellsItsAddress) {
  NodeWorld world;
  const int leader = world.AwaitLeader(-1, kDirectoryGroup);
  const StatusOr<Admission> admission = Asker(world).Join(leader, NodeId(3));
  ASSERT_TRUE(admission.ok()) << admission.status();
  EXPECT_EQ(ReasonOf(admission->status), Reason::kNodeNotFound) << MessageOf(admission->status);
}

// It asks several nodes. When it hears that it was let in, and has been removed meanwhile, another
// request is still on its way, which would make a member of it that it never is.
TEST(Node, ARequestToJoinThatComesAfterTheRemovalMakesNoOtherMember) {
  NodeWorld world;
  const int leader = world.AwaitLeader(-1, kDirectoryGroup);
  Asker asker(world);
  for (int time = 0; time < 2; ++time) {
    const StatusOr<Admission> admission = asker.Join(leader);
    ASSERT_TRUE(admission.ok() && admission->status.ok()) << admission.status();
    EXPECT_EQ(admission->node, NodeId(4));
  }
  std::optional<Status> removed;
  world.node(leader).RemoveReplica(GroupId(), NodeId(4), world.loop().now() + seconds(10),
                                   [&](const Status& status) { removed = status; });
  ASSERT_TRUE(world.Await([&] { return removed.has_value(); }, seconds(11)));
  ASSERT_TRUE(removed->ok()) << *removed;
  const StatusOr<Admission> late = asker.Join(leader);
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_EQ(ReasonOf(late->status), Reason::kNodeNotFound) << MessageOf(late->status);
}

}  // namespace
}  // namespace flotilla
