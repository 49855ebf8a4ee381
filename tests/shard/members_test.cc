// Nodes that come, go, are emptied and are lost, and what becomes of their replicas.

#include "tests/shard/members.h"

#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include "shard/formation_codec.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What gossip says of `node` at `asked`.
std::optional<gossip::MemberState> StateAt(NodeWorld& world, int asked, NodeId node) {
  const auto view = world.node(asked).GossipView();
  const gossip::Member* member = view->Find(node);
  if (member == nullptr) return std::nullopt;
  return member->standing.state;
}

TEST(Members, EverybodyHearsOfWhoIsThereHowBusyAndOfADeath) {
  Cluster cluster(4);
  ASSERT_TRUE(cluster.world.Put(0, "k", std::string(100'000, 'v')).status.ok());
  for (int at = 0; at < 4; ++at) {
    EXPECT_TRUE(cluster.world.Await(
        [&] {
          const auto view = cluster.world.node(at).GossipView();
          std::uint64_t replicas = 0;
          std::uint64_t leaders = 0;
          for (const gossip::Member& member : view->members) {
            if (member.standing.state != gossip::MemberState::kAlive || !member.load) return false;
            replicas += member.load->replicas;
            leaders += member.load->leaders;
          }
          return view->members.size() == 4 && replicas == 3 && leaders == 1;
        },
        seconds(60)))
        << at;
  }
  const NodeId dead = cluster.world.IdentityOf(3);
  cluster.world.cluster().Kill(3);
  for (int at = 0; at < 3; ++at) {
    EXPECT_TRUE(cluster.world.Await(
        [&] { return StateAt(cluster.world, at, dead) == gossip::MemberState::kDead; },
        seconds(30)))
        << at;
  }
  ASSERT_TRUE(cluster.world.cluster().Start(3));
  for (int at = 0; at < 3; ++at) {
    EXPECT_TRUE(cluster.world.Await(
        [&] { return StateAt(cluster.world, at, dead) == gossip::MemberState::kAlive; },
        seconds(30)))
        << at;
  }
}

// Who leads what, as `asked` has heard it, when it leads the directory.
std::map<GroupId, NodeId> Told(Cluster& cluster, int asked) {
  std::map<GroupId, NodeId> leaders;
  for (const ShardSurvey& shard : cluster.Change(asked, SurveyCall{}).shards) {
    leaders[shard.group] = shard.leader;
  }
  return leaders;
}

// Nodes that have nothing new to say keep silent about it; but not to a leader who is new.
TEST(Members, ANewLeaderOfTheDirectoryIsToldEverything) {
  Cluster cluster(3);
  NodeWorld& world = cluster.world;
  KeyspaceSpec spec{
      .name = "a", .replicas = 3, .retention = seconds(600), .split_keys = {"d", "m"}};
  ASSERT_TRUE(cluster.Change(0, CreateKeyspaceCall{.spec = spec}).status.ok());
  const auto true_leaders = [&] {
    std::map<GroupId, NodeId> leaders;
    for (const auto& [group, shard] : world.node(0).DirectoryView()->shards()) {
      const std::optional<int> leader = world.Leader(-1, group);
      leaders[group] = leader ? world.IdentityOf(*leader) : NodeId();
    }
    return leaders;
  };
  for (int turn = 0; turn < 3; ++turn) {
    world.RunFor(seconds(30));
    const int leader = world.AwaitLeader(-1, kDirectoryGroup);
    EXPECT_EQ(Told(cluster, leader), true_leaders());
    const NodeId next = world.IdentityOf((leader + 1) % 3);
    std::optional<bool> moved;
    world.node(leader).TransferLeadership(kDirectoryGroup, next, world.loop().now() + seconds(2),
                                          [&](const StatusOr<NodeId>& to) { moved = to.ok(); });
    ASSERT_TRUE(world.Await([&] { return moved.has_value(); }));
    ASSERT_TRUE(*moved);
    world.RunFor(seconds(3));
    EXPECT_EQ(Told(cluster, (leader + 1) % 3), true_leaders()) << "turn " << turn;
  }
}

// The others can: it lives, and keeps its replicas.
TEST(Members, WhoOnlyTheDirectorysLeaderCannotReachIsNotReplaced) {
  Cluster cluster(4);
  ASSERT_TRUE(cluster.world.Put(0, "k", "v").status.ok());
  const int leader = cluster.world.AwaitLeader(-1, kDirectoryGroup);
  ASSERT_TRUE(cluster.world.Await([&] { return cluster.Voters(leader).size() == 3; }, seconds(60)));
  const std::set<NodeId> before = cluster.Voters(leader);
  int cut = 0;
  while (cut == leader || !before.contains(cluster.world.IdentityOf(cut))) ++cut;
  cluster.world.Part(leader, cut);
  cluster.world.RunFor(seconds(60));
  EXPECT_TRUE(cluster.world.node(leader).Leads(kDirectoryGroup));
  EXPECT_EQ(cluster.Voters(leader), before);
  EXPECT_EQ(StateAt(cluster.world, leader, cluster.world.IdentityOf(cut)),
            gossip::MemberState::kAlive);
}

// Also when it is told so itself.
TEST(Members, ThoseWhoLeadEverythingCanLeave) {
  for (const bool itself : {false, true}) {
    Cluster cluster(3);
    ASSERT_TRUE(cluster.world.Put(0, "k", "v").status.ok());
    const int leader = cluster.world.AwaitLeader();
    const NodeId leaves = cluster.world.IdentityOf(leader);
    const int other = (leader + 1) % 3;
    const Status removed = cluster.Remove(itself ? leader : other, leaves);
    EXPECT_TRUE(removed.ok()) << removed;
    EXPECT_EQ(cluster.Voters(other).size(), 2u);
    EXPECT_FALSE(cluster.Voters(other).contains(leaves));
    EXPECT_FALSE(cluster.Registered(other).contains(leaves));
    EXPECT_EQ(cluster.world.Read(other, "k"), "v");
  }
}

// It is told no more of the directory, and must not answer by what it knew last: nor after a
// restart.
TEST(Members, WhoHasLeftRefersEverybodyToTheOthers) {
  Cluster cluster(4);
  const int leaves = cluster.world.AwaitLeader(-1, kDirectoryGroup);
  const int stays = (leaves + 1) % 4;
  const Status removed = cluster.Remove(stays, cluster.world.IdentityOf(leaves), seconds(30));
  ASSERT_TRUE(removed.ok()) << removed;
  const auto left = [&] { return cluster.world.node(leaves).state() == NodeState::kLeft; };
  for (const bool again : {false, true}) {
    if (again) {
      cluster.world.cluster().Kill(leaves);
      ASSERT_TRUE(cluster.world.cluster().Start(leaves));
    }
    ASSERT_TRUE(cluster.world.Await(left));
    EXPECT_FALSE(cluster.world.node(leaves).Ready());
    EXPECT_EQ(cluster.world.Read(leaves, "k"), "NODE_STOPPING");
    const GatewayAnswer put = cluster.world.Put(leaves, "k", "v");
    EXPECT_EQ(ReasonOf(put.status), Reason::kNodeStopping);
    const auto change = SetNodeRoleCall{.node = NodeId(3), .role = NodeRole::kActive};
    EXPECT_EQ(ReasonOf(cluster.Change(leaves, change).status), Reason::kNodeStopping);
  }
  EXPECT_TRUE(cluster.world.Put(stays, "k", "v").status.ok());
}

// A leader goes by new members before anybody else has them (section 6 of the paper), as does who
// leaves, and is told; but they may yet be lost with the leader.
TEST(Members, NobodyIsToldOfARemovalThatMayBeLost) {
  Cluster cluster(4);
  NodeWorld& world = cluster.world;
  // One that has nothing leaves at once.
  ASSERT_TRUE(world.Await([&] { return cluster.Voters(0).size() == 3; }, seconds(60)));
  int leaves = 0;
  while (cluster.Voters(0).contains(world.IdentityOf(leaves))) ++leaves;
  const NodeId gone = world.IdentityOf(leaves);
  if (world.AwaitLeader(-1, kDirectoryGroup) == leaves) {
    world.node(leaves).TransferLeadership(kDirectoryGroup, world.IdentityOf((leaves + 1) % 4),
                                          world.loop().now() + seconds(2),
                                          [](const StatusOr<NodeId>&) {});
    world.RunFor(seconds(3));
  }
  const int leader = world.AwaitLeader(-1, kDirectoryGroup);
  ASSERT_NE(leader, leaves);

  // Only who leaves gets the new configuration.
  bool cut = false;
  world.network().SetObserver([&](const raft::PeerMessage& message, std::uint64_t) {
    const auto* of_group = std::get_if<raft::GroupMessage>(&message.payload);
    if (of_group == nullptr || of_group->group != kDirectoryGroup) return;
    const auto* append = std::get_if<raft::AppendRequest>(&of_group->message.body);
    if (append == nullptr || cut) return;
    for (const raft::Entry& entry : append->entries) {
      cut = cut || entry.kind == raft::EntryKind::kConfiguration;
    }
    for (int other = 0; cut && other < 4; ++other) {
      if (other == leader || other == leaves) continue;
      world.Part(leader, other);
      world.Part(leaves, other);
    }
  });
  std::optional<Status> answer;
  world.node(leader).RemoveReplica(GroupId(), gone, world.loop().now() + seconds(60),
                                   [&](const Status& given) { answer = given; });
  ASSERT_TRUE(world.Await([&] { return cut; }));
  std::optional<Reason> joined;
  world.network()
      .FindTransport(sim::SimCluster::AddressOf(leaves))
      ->CallAddress(sim::SimCluster::AddressOf(leader),
                    static_cast<std::uint32_t>(raft::PeerMethod::kJoin),
                    Bytes(EncodeJoinCall({.uuid = NodeUuid(1), .address = "h:1", .member = gone})),
                    seconds(5), [&](const StatusOr<Bytes>& given) {
                      const auto admission = given.ok() ? DecodeAdmission(given->view())
                                                        : StatusOr<Admission>(given.status());
                      joined = ReasonOf(admission.ok() ? admission->status : admission.status());
                    });
  const MonoTime end = world.loop().now() + seconds(5);
  while (world.loop().now() < end) {
    world.RunFor(milliseconds(10));
    ASSERT_NE(world.node(leaves).state(), NodeState::kLeft);
    ASSERT_FALSE(answer.has_value()) << *answer;
  }
  EXPECT_NE(joined, Reason::kNodeNotFound);
  world.network().SetObserver(nullptr);
  world.network().HealAll();
  EXPECT_TRUE(world.Await([&] { return answer.has_value(); }));
  EXPECT_TRUE(answer.value_or(Status()).ok());
  EXPECT_TRUE(world.Await([&] { return world.node(leaves).state() == NodeState::kLeft; }));
}

TEST(Members, ALoneNodesShardGetsReplicasAsNodesCome) {
  Cluster cluster(1, /*spares=*/2);
  ASSERT_TRUE(cluster.world.Put(0, "k", "v").status.ok());
  ASSERT_TRUE(cluster.world.cluster().Start(1));
  ASSERT_TRUE(cluster.world.cluster().Start(2));
  EXPECT_TRUE(
      cluster.world.Await([&] { return cluster.Voters(0) == Nodes({1, 2, 3}); }, seconds(20)));
  EXPECT_EQ(cluster.world.Read(2, "k"), "v");
}

TEST(Members, ADeadNodesReplicasGoToAnother) {
  Cluster cluster(3, /*spares=*/1);
  ASSERT_TRUE(cluster.world.Put(0, "k", "v").status.ok());
  ASSERT_TRUE(cluster.world.cluster().Start(3));
  ASSERT_TRUE(cluster.world.Await([&] { return cluster.world.AllReady(); }));
  const int lost = cluster.world.AwaitLeader();
  const NodeId dead = cluster.world.IdentityOf(lost);
  const int asked = (lost + 1) % 3;
  cluster.world.cluster().Kill(lost);
  cluster.world.RunFor(seconds(12));
  EXPECT_TRUE(cluster.Voters(asked).contains(dead)) << "it was not waited for";
  EXPECT_TRUE(cluster.world.Await(
      [&] { return !cluster.Voters(asked).contains(dead) && cluster.Voters(asked).size() == 3; },
      seconds(30)));
  EXPECT_EQ(cluster.world.Read(asked, "k"), "v");
  // Of the cluster it still is: it may come back, with nothing.
  EXPECT_TRUE(cluster.Registered(asked).contains(dead));
}

TEST(Members, ADeadNodeThatIsRemovedIsNotWaitedFor) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster.world.Put(0, "k", "v").status.ok());
  cluster.world.cluster().Kill(2);
  const NodeId dead(3);
  ASSERT_TRUE(cluster.world.Await([&] { return cluster.world.Leader(2).has_value(); }));
  const Status removed = cluster.Remove(0, dead);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_FALSE(cluster.Registered(0).contains(dead));
  EXPECT_FALSE(cluster.Voters(0).contains(dead));
  EXPECT_TRUE(cluster.world.Put(1, "k", "w").status.ok());
}

// Who has no replica of a group remembers who led it, whom its messages reach no more.
TEST(Members, NobodyTurnsToALeaderThatHasGone) {
  Cluster cluster(4, /*spares=*/1);
  NodeWorld& world = cluster.world;
  ASSERT_TRUE(world.cluster().Start(4));
  ASSERT_TRUE(world.Await([&] { return world.AllReady(); }));
  ASSERT_TRUE(world.Await([&] { return cluster.Voters(0).size() == 3; }, seconds(60)));
  const int leaves = world.AwaitLeader();
  const NodeId gone = world.IdentityOf(leaves);
  const int asked = (leaves + 1) % 5;
  for (int at = 0; at < 5; ++at) ASSERT_TRUE(world.Put(at, "k", "v").status.ok());
  ASSERT_TRUE(cluster.Remove(asked, gone).ok());
  world.RunFor(seconds(10));
  for (int at = 0; at < 5; ++at) {
    if (at == leaves) continue;
    EXPECT_TRUE(world.Put(at, "k", "w").status.ok()) << at;
  }
}

TEST(Members, ADrainedNodeGivesEverythingAwayAndTakesItBack) {
  Cluster cluster(3, /*spares=*/1);
  ASSERT_TRUE(cluster.world.cluster().Start(3));
  ASSERT_TRUE(cluster.world.Await([&] { return cluster.world.AllReady(); }));
  ASSERT_TRUE(cluster
                  .Change(0, CreateKeyspaceCall{.spec = {.name = "a",
                                                         .replicas = 1,
                                                         .retention = seconds(600),
                                                         .split_keys = {"d", "h", "m"}}})
                  .status.ok());
  const NodeId leaves(2);
  const DirectoryAnswer drain =
      cluster.Change(0, SetNodeRoleCall{.node = leaves, .role = NodeRole::kDraining});
  ASSERT_TRUE(drain.status.ok()) << drain.status;
  EXPECT_TRUE(cluster.Ended(0, drain.job, JobState::kDone));
  const auto image = cluster.world.node(0).DirectoryView();
  for (const auto& [group, shard] : image->shards()) {
    EXPECT_FALSE(shard.voters.contains(leaves)) << "shard " << group.value();
  }
  EXPECT_TRUE(cluster.Registered(0).contains(leaves));
  ASSERT_TRUE(
      cluster.Change(0, SetNodeRoleCall{.node = leaves, .role = NodeRole::kActive}).status.ok());
  EXPECT_TRUE(cluster.world.Await(
      [&] {
        const auto now = cluster.world.node(0).DirectoryView();
        return std::any_of(now->shards().begin(), now->shards().end(),
                           [&](const auto& one) { return one.second.voters.contains(leaves); });
      },
      seconds(60)));
}

TEST(Members, WhoCannotBeEmptiedStaysUntilItCanOrItsRemovalIsCancelled) {
  Cluster cluster(3);
  // It may come back: until there is another place for its replicas they stay.
  const DirectoryAnswer drain =
      cluster.Change(0, SetNodeRoleCall{.node = NodeId(2), .role = NodeRole::kDraining});
  ASSERT_TRUE(drain.status.ok()) << drain.status;
  cluster.world.RunFor(seconds(5));
  EXPECT_EQ(cluster.Voters(0), Nodes({1, 2, 3}));
  ASSERT_TRUE(cluster.Change(1, CancelJobCall{.job = drain.job}).status.ok());
  EXPECT_TRUE(cluster.Ended(0, drain.job, JobState::kCancelled));
  EXPECT_EQ(cluster.world.node(0).DirectoryView()->Find(NodeId(2))->role, NodeRole::kActive);
}

// A replica is on its way to a node that dies, and is given up.
TEST(Members, NobodyWaitsForAReplicaOnANodeThatIsRemoved) {
  Cluster cluster(3, /*spares=*/1);
  ASSERT_TRUE(cluster.world.cluster().Start(3));
  ASSERT_TRUE(cluster.world.Await([&] { return cluster.world.AllReady(); }));
  ASSERT_TRUE(cluster.world.Await(
      [&] { return cluster.world.node(0).DirectoryView()->Find(NodeId(4)) != nullptr; }));
  cluster.world.cluster().Kill(3);
  const DirectoryAnswer move =
      cluster.Change(0, MoveCall{.group = kFirstDataGroup, .from = NodeId(1), .to = NodeId(4)});
  ASSERT_TRUE(move.status.ok()) << move.status;
  cluster.world.RunFor(seconds(3));
  EXPECT_EQ(cluster.world.node(0).DirectoryView()->Find(move.job)->state, JobState::kRunning);
  const Status removed = cluster.Remove(0, NodeId(4));
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_TRUE(cluster.Ended(0, move.job, JobState::kFailed));
  EXPECT_EQ(cluster.Voters(0), Nodes({1, 2, 3}));
}

TEST(Members, TheLastActiveNodeStays) {
  Cluster cluster(1);
  EXPECT_EQ(ReasonOf(cluster.Remove(0, NodeId(1))), Reason::kMembershipRefused);
  EXPECT_EQ(ReasonOf(cluster.Remove(0, NodeId(7))), Reason::kNodeNotFound);
}

}  // namespace
}  // namespace flotilla
