// Who votes on the directory when a voter is lost.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/shard/placement/balancer_world.h"

namespace flotilla {
namespace {

using ::testing::HasSubstr;

// So many nodes, no shards; the first few vote, the others are learners.
class Voting : public World {
 public:
  Voting(std::uint64_t voters, std::uint64_t learners) : World(voters + learners) {
    for (std::uint64_t i = 1; i <= voters + learners; ++i) {
      (i <= voters ? members().voters : members().learners).emplace(i);
    }
  }
  DirectoryMembers& members() { return view().directory; }
  void KillForGood(std::uint64_t number) {
    Kill(NodeId(number));
    Pass(std::chrono::minutes(5));
  }
  // What the plan does now; empty: nothing.
  std::string Now() {
    const Plan plan = Make();
    EXPECT_LE(plan.actions.size(), 1u);
    return plan.actions.empty() ? "" : ActionText(plan.actions[0]);
  }
};

TEST(DirectoryVoters, WhoIsLostIsReplacedAndNotBefore) {
  Voting world(3, 2);
  EXPECT_EQ(PlanText(world.Make()), "nothing to do\n");
  world.Kill(NodeId(2));
  world.Pass(std::chrono::minutes(4));
  Plan plan = world.Make();
  EXPECT_TRUE(plan.Settled());
  EXPECT_THAT(PlanText(plan),
              HasSubstr("node 2, which votes on the directory, is dead since 4m00s"));
  world.Pass(std::chrono::minutes(1));
  plan = world.Make();
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(plan.actions[0].kind, ActionKind::kReplaceVoter);
  EXPECT_EQ(plan.actions[0].group, kDirectoryGroup);
  EXPECT_EQ(PlanText(plan),
            "now (1):\n"
            "  repair  node 4 votes on the directory instead of node 2  node 2 has been dead for "
            "5m00s; the limit is 5m00s\n");
}

TEST(DirectoryVoters, ASuspectKeepsItsVote) {
  Voting world(3, 2);
  world.node(NodeId(2)).liveness = Liveness::kSuspect;
  world.Pass(std::chrono::hours(1));
  EXPECT_TRUE(world.Make().Settled());
}

TEST(DirectoryVoters, OnlyALearnerThatLivesStaysAndHasCaughtUpIsMadeAVoter) {
  Voting world(3, 4);
  world.Kill(NodeId(4));
  world.SetRole(NodeId(5), NodeRole::kDraining);
  world.members().behind = {NodeId(6)};
  world.KillForGood(2);
  EXPECT_EQ(world.Now(), "node 7 votes on the directory instead of node 2");
  world.members().learners.erase(NodeId(7));
  const Plan plan = world.Make();
  EXPECT_TRUE(plan.Settled());
  EXPECT_THAT(PlanText(plan), HasSubstr("is lost, and no other node can vote instead"));
}

TEST(DirectoryVoters, OnePerZoneWhereKeyspacesAskForIt) {
  Voting world(3, 2);
  const auto in_zone = [&](std::uint64_t number, const char* zone) {
    world.node(NodeId(number)).record.labels = {{"zone", zone}};
  };
  in_zone(1, "a");
  in_zone(2, "b");
  in_zone(3, "c");
  in_zone(4, "a");
  in_zone(5, "b");
  world.KillForGood(2);
  EXPECT_EQ(world.Now(), "node 4 votes on the directory instead of node 2");
  world.keyspace(world.keyspace_id()).apart = {"zone"};
  EXPECT_EQ(world.Now(), "node 5 votes on the directory instead of node 2");
}

TEST(DirectoryVoters, OneChangeAtATime) {
  Voting world(5, 2);
  world.KillForGood(2);
  world.KillForGood(3);
  const Plan plan = world.Make();
  ASSERT_EQ(plan.actions.size(), 1u);
  EXPECT_EQ(ActionText(plan.actions[0]), "node 6 votes on the directory instead of node 2");
  ASSERT_EQ(plan.later.size(), 1u);
  EXPECT_EQ(ActionText(plan.later[0]), "node 7 votes on the directory instead of node 3");
}

TEST(DirectoryVoters, NothingChangesWithoutAQuorum) {
  Voting world(3, 2);
  world.KillForGood(2);
  world.KillForGood(3);
  const Plan plan = world.Make();
  EXPECT_TRUE(plan.Settled());
  EXPECT_THAT(PlanText(plan), HasSubstr("most of the directory's voters are dead"));
}

// A node that came in the place of the lost one votes already.
TEST(DirectoryVoters, OfAnEvenNumberOneThatIsLostNeedsNoSuccessor) {
  Voting world(4, 0);
  world.KillForGood(2);
  EXPECT_EQ(world.Now(), "node 2 votes on the directory no more");
}

TEST(DirectoryVoters, AnotherVotesInThePlaceOfOneThatWasRemoved) {
  for (const std::uint64_t voters : {2, 4}) {
    Voting world(voters, 3);
    world.Kill(NodeId(voters + 1));
    world.members().behind = {NodeId(voters + 2)};
    EXPECT_EQ(
        PlanText(world.Make()),
        fmt::format("now (1):\n"
                    "  repair  node {} votes on the directory, too  {} voters stand no more losses "
                    "than {}\n",
                    voters + 3, voters, voters - 1));
    world.SetRole(NodeId(voters + 3), NodeRole::kDraining);
    EXPECT_EQ(PlanText(world.Make()), "nothing to do\n");
  }
}

TEST(DirectoryVoters, AnOddNumberIsEnough) {
  for (const std::uint64_t voters : {1, 3, 5}) EXPECT_EQ(Voting(voters, 2).Now(), "");
  EXPECT_EQ(Voting(6, 1).Now(), "") << "so many were asked for";
}

TEST(DirectoryVoters, WhoIsAboutToBeRemovedIsMadeUpForAfterwards) {
  Voting world(4, 1);
  world.SetRole(NodeId(4), NodeRole::kDecommissioned);
  EXPECT_EQ(world.Now(), "");
  Voting after(3, 1);
  EXPECT_EQ(after.Now(), "");
}

TEST(DirectoryVoters, NobodyIsAddedWithoutAQuorum) {
  Voting world(2, 1);
  world.Kill(NodeId(2));
  EXPECT_EQ(world.Now(), "");
}

}  // namespace
}  // namespace flotilla
