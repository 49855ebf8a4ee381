#include "shard/placement/plan.h"

#include <gtest/gtest.h>

namespace flotilla {
namespace {

Action Move(std::uint64_t group, std::uint64_t from, std::uint64_t to) {
  Action action;
  action.group = GroupId(group);
  action.from = NodeId(from);
  action.to = NodeId(to);
  action.reason = "because";
  return action;
}

TEST(PlanText, SaysThatThereIsNothingToDo) { EXPECT_EQ(PlanText({}), "nothing to do\n"); }

TEST(PlanText, HasALineWithItsReasonForEachActionAndEachObstacle) {
  Plan plan;
  plan.actions.push_back(Move(12, 3, 5));
  Action lead = Move(7, 1, 2);
  lead.kind = ActionKind::kTransferLeader;
  lead.purpose = Purpose::kLeaders;
  plan.actions.push_back(lead);
  plan.later.push_back(Move(13, 3, 5));
  plan.later[0].waits_for = "at most 2 jobs at a time on node 5";
  plan.later.push_back(Move(14, 3, 5));
  plan.obstacles.push_back({.text = "is stuck", .shards = 1, .example = GroupId(4)});
  plan.obstacles.push_back({.text = "are stuck", .shards = 9, .example = GroupId(5)});
  plan.obstacles.push_back({.text = "node 2 is odd", .shards = 0, .example = {}});
  EXPECT_EQ(PlanText(plan, 1),
            "now (2):\n"
            "  repair   move shard 12 from node 3 to node 5       because\n"
            "  leaders  lead shard 7 on node 2 instead of node 1  because\n"
            "later (2):\n"
            "  repair  move shard 13 from node 3 to node 5  because; waits: at most 2 jobs at a "
            "time on node 5\n"
            "  and 1 more\n"
            "cannot (3):\n"
            "  shard 4: is stuck\n"
            "  9 shards (one is 5): are stuck\n"
            "  node 2 is odd\n");
}

TEST(ActionText, SaysEveryKindInWords) {
  Action action = Move(1, 2, 3);
  action.kind = ActionKind::kAddReplica;
  EXPECT_EQ(ActionText(action), "add shard 1 on node 3");
  action.kind = ActionKind::kRemoveReplica;
  action.learner = true;
  EXPECT_EQ(ActionText(action), "remove learner of shard 1 from node 2");
  action.kind = ActionKind::kSplit;
  action.key = std::string("\0\0\0\1user\\\0\1", 11);
  EXPECT_EQ(ActionText(action), "split shard 1 at user\\x5c\\x00\\x01");
  action.kind = ActionKind::kMerge;
  action.other = GroupId(9);
  EXPECT_EQ(ActionText(action), "merge shard 1 with shard 9");
  action.kind = ActionKind::kReplaceVoter;
  EXPECT_EQ(ActionText(action), "node 3 votes on the directory instead of node 2");
  action.to = NodeId();
  EXPECT_EQ(ActionText(action), "node 2 votes on the directory no more");
}

}  // namespace
}  // namespace flotilla
