// Who votes: on the directory, in the place of whom; and whose vote nobody may take.

#include <gtest/gtest.h>

#include "tests/shard/members.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One after the other, most of the founders are lost; when they come back they are learners.
TEST(Members, WhoIsLostVotesOnTheDirectoryNoMore) {
  ClusterWithLearners cluster(2);
  NodeWorld& world = cluster.world;
  const int first = world.AwaitLeader(-1, kDirectoryGroup);
  const NodeId first_lost = world.IdentityOf(first);
  const int asked = (first + 1) % 3;
  const int second = (first + 2) % 3;
  const NodeId second_lost = world.IdentityOf(second);
  EXPECT_EQ(cluster.DirectoryVoters(asked).size(), 3u);

  world.cluster().Kill(first);
  world.RunFor(seconds(12));
  EXPECT_TRUE(cluster.DirectoryVoters(asked).contains(first_lost)) << "it was not waited for";
  const auto replaced = [&](NodeId lost) {
    const std::set<NodeId> voters = cluster.DirectoryVoters(asked);
    return !voters.contains(lost) && voters.size() == 3;
  };
  ASSERT_TRUE(world.Await([&] { return replaced(first_lost); }, seconds(30)));
  EXPECT_TRUE(cluster.Registered(asked).contains(first_lost));

  // Of the founders most are gone.
  world.cluster().Kill(second);
  world.RunFor(seconds(2));
  EXPECT_TRUE(cluster.CanChangeTheDirectory(asked, "a"));
  ASSERT_TRUE(world.Await([&] { return replaced(second_lost); }, seconds(60)));

  const std::set<NodeId> voters = cluster.DirectoryVoters(asked);
  ASSERT_TRUE(world.cluster().Start(first));
  ASSERT_TRUE(world.cluster().Start(second));
  ASSERT_TRUE(world.Await([&] { return world.AllReady(); }));
  world.RunFor(seconds(30));
  EXPECT_EQ(cluster.DirectoryVoters(asked), voters);
  EXPECT_EQ(cluster.DirectoryVoters(first), voters);
  EXPECT_EQ(cluster.DirectoryVoters(second), voters);
  EXPECT_TRUE(cluster.CanChangeTheDirectory(first, "b"));
}

TEST(Members, WhoVotesOnTheDirectoryIsLeftAloneWithoutABalancer) {
  NodeOptions options = Impatient();
  options.balance = false;
  ClusterWithLearners cluster(1, options);
  const std::set<NodeId> before = cluster.DirectoryVoters(0);
  cluster.world.cluster().Kill(2);
  cluster.world.RunFor(seconds(60));
  EXPECT_EQ(cluster.DirectoryVoters(0), before);
}

// While the group sleeps its leader does not notice who dies.
TEST(Members, AVoterThatDiesWhileTheDirectorySleepsIsReplaced) {
  NodeOptions options = Impatient();
  options.quiesce_after = milliseconds(300);
  options.balance = false;
  ClusterWithLearners cluster(1, options);
  NodeWorld& world = cluster.world;
  const int leader = world.AwaitLeader(-1, kDirectoryGroup);
  world.RunFor(seconds(60));
  const int dead = (leader + 1) % 3;
  const NodeId lost = world.IdentityOf(dead);
  world.cluster().Kill(dead);
  world.RunFor(seconds(30));
  cluster.AskToReplace(world.IdentityOf(leader), lost, world.IdentityOf(3));
  EXPECT_FALSE(cluster.DirectoryVoters(leader).contains(lost));
}

// Nor does it know who is there when it wakes: with one dead, the next must stay.
TEST(Members, WhoIsNeededSinceAnotherDiedWhileTheyAllSleptIsNotRemoved) {
  NodeOptions options = Impatient();
  options.quiesce_after = milliseconds(300);
  options.balance = false;
  Cluster cluster(3, 0, options);
  NodeWorld& world = cluster.world;
  ASSERT_TRUE(world.Put(0, "k", "1").status.ok());
  const int leader = world.AwaitLeader();
  const int dead = (leader + 1) % 3;
  const int needed = (leader + 2) % 3;
  for (const bool awake : {false, true}) {
    world.RunFor(seconds(60));
    world.cluster().Kill(dead);
    world.RunFor(seconds(30));
    if (awake) EXPECT_TRUE(world.Put(leader, "k", "2").status.ok());
    std::optional<Status> removed;
    world.node(leader).RemoveReplica(kFirstDataGroup, world.IdentityOf(needed),
                                     world.loop().now() + seconds(5),
                                     [&](const Status& status) { removed = status; });
    ASSERT_TRUE(world.Await([&] { return removed.has_value(); }));
    EXPECT_EQ(ReasonOf(*removed), Reason::kMembershipRefused) << *removed;
    EXPECT_TRUE(world.Put(leader, "k", "3").status.ok());
    ASSERT_TRUE(world.cluster().Start(dead));
    ASSERT_TRUE(world.Await([&] { return world.AllReady(); }));
  }
}

// What was thought out before it came back, or is asked once more, does nothing.
TEST(Members, WhoIsThereKeepsItsVoteWhateverIsAsked) {
  ClusterWithLearners cluster(2);
  NodeWorld& world = cluster.world;
  const int leader = world.AwaitLeader(-1, kDirectoryGroup);
  const int voter = (leader + 1) % 3;
  const NodeId lost = world.IdentityOf(voter);
  const NodeId leader_id = world.IdentityOf(leader);
  const auto ask = [&](NodeId by) { cluster.AskToReplace(leader_id, lost, by); };
  const std::set<NodeId> before = cluster.DirectoryVoters(leader);
  const NodeId present = world.IdentityOf(3);
  const NodeId absent = world.IdentityOf(4);
  ask(present);
  EXPECT_EQ(cluster.DirectoryVoters(leader), before);
  world.cluster().Kill(voter);
  world.cluster().Kill(4);
  ask(absent);
  EXPECT_EQ(cluster.DirectoryVoters(leader), before) << "who is to vote instead is not there";
  ASSERT_TRUE(world.cluster().Start(4));
  ask(present);
  std::set<NodeId> after = before;
  after.erase(lost);
  after.insert(present);
  EXPECT_EQ(cluster.DirectoryVoters(leader), after);
  ask(present);
  ask(absent);
  EXPECT_EQ(cluster.DirectoryVoters(leader), after);
}

// A new node takes part in votes at once; without the lost one they need fewer.
TEST(Members, WhoIsLostIsNotCountedBesideANewVoter) {
  Cluster cluster(3, /*spares=*/1);
  NodeWorld& world = cluster.world;
  world.cluster().Kill(2);
  ASSERT_TRUE(world.cluster().Start(3));
  EXPECT_TRUE(
      world.Await([&] { return cluster.DirectoryVoters(0) == Nodes({1, 2, 4}); }, seconds(60)));
  world.cluster().Kill(1);
  world.RunFor(seconds(2));
  EXPECT_TRUE(cluster.CanChangeTheDirectory(0, "a"));
}

// One after the other is removed for good.
TEST(Members, AnotherVotesOnTheDirectoryInThePlaceOfOneThatWasRemoved) {
  ClusterWithLearners cluster(2);
  NodeWorld& world = cluster.world;
  ASSERT_EQ(cluster.DirectoryVoters(4), Nodes({1, 2, 3}));
  for (const std::uint64_t removed : {1, 2}) {
    ASSERT_TRUE(cluster.Remove(4, NodeId(removed)).ok());
    EXPECT_TRUE(world.Await(
        [&] {
          const std::set<NodeId> voters = cluster.DirectoryVoters(4);
          return voters.size() == 3 && !voters.contains(NodeId(removed));
        },
        seconds(60)))
        << removed;
  }
  EXPECT_EQ(cluster.DirectoryVoters(4), Nodes({3, 4, 5}));
  world.RunFor(seconds(30));
  EXPECT_EQ(cluster.DirectoryVoters(4), Nodes({3, 4, 5}));
}

}  // namespace
}  // namespace flotilla
