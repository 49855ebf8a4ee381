#include "shard/member_steps.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace flotilla {
namespace {

using Nodes = std::set<NodeId>;

Nodes Of(std::initializer_list<int> numbers) {
  Nodes nodes;
  for (const int number : numbers) nodes.insert(NodeId(number));
  return nodes;
}

ShardDescriptor Shard(Nodes voters, Nodes learners = {}) {
  ShardDescriptor shard;
  shard.group = GroupId(7);
  shard.voters = std::move(voters);
  shard.learners = std::move(learners);
  return shard;
}

void Take(ShardDescriptor& shard, const MemberStep& step) {
  switch (step.verb) {
    case AdminVerb::kAddMember:
      EXPECT_FALSE(shard.voters.contains(step.node));
      EXPECT_TRUE(shard.learners.insert(step.node).second);
      return;
    case AdminVerb::kPromote:
      EXPECT_EQ(shard.learners.erase(step.node), 1u);
      shard.voters.insert(step.node);
      return;
    default:
      EXPECT_EQ(shard.voters.erase(step.node) + shard.learners.erase(step.node), 1u);
  }
}

TEST(MemberSteps, LeadFromAnySetOfMembersToAnyOther) {
  const std::vector<ShardDescriptor> shards = {
      Shard(Of({1, 2, 3})),
      Shard(Of({3, 4, 5})),
      Shard(Of({1})),
      Shard(Of({4})),
      Shard(Of({1, 2, 3}), {NodeId(4)}),
      Shard(Of({1, 2, 4}), {NodeId(3)}),
      Shard(Of({1, 2, 3, 4, 5})),
      Shard(Of({2, 3}), Of({1, 6})),
  };
  for (const ShardDescriptor& from : shards) {
    for (const ShardDescriptor& to : shards) {
      ShardDescriptor now = from;
      const std::size_t most = std::max(from.voters.size(), to.voters.size()) + 1;
      int steps = 0;
      while (const auto step = StepTowards(now, to)) {
        Take(now, *step);
        EXPECT_GE(now.voters.size(), std::min(from.voters.size(), to.voters.size()));
        EXPECT_LE(now.voters.size(), most);
        ASSERT_LT(++steps, 20);
      }
      EXPECT_EQ(now, to);
    }
  }
}

// Whichever of the two it is that changes, and however often that is decided anew.
TEST(MemberSteps, OfBothShardsInTurnLeadToOneSetOfMembers) {
  ShardDescriptor left = Shard(Of({1, 2, 3}));
  ShardDescriptor right = Shard(Of({4, 5, 6}));
  for (int steps = 0; left != right; ++steps) {
    ASSERT_LT(steps, 40);
    ShardDescriptor& moves = steps % 3 == 0 ? left : right;
    const auto step = StepTowards(moves, steps % 3 == 0 ? right : left);
    ASSERT_TRUE(step.has_value());
    Take(moves, *step);
  }
}

TEST(MemberSteps, BackEndWhatHasBegun) {
  EXPECT_EQ(StepBack(Shard(Of({1, 2, 3})), Shard(Of({1, 2, 4}))), std::nullopt);
  EXPECT_EQ(StepBack(Shard(Of({1, 2, 3}), Of({4})), Shard(Of({1, 2, 4}))),
            (MemberStep{AdminVerb::kRemove, NodeId(4)}));
  EXPECT_EQ(StepBack(Shard(Of({1, 2, 3, 4})), Shard(Of({1, 2, 4}))),
            (MemberStep{AdminVerb::kRemove, NodeId(3)}));
  // A learner of another kind stays.
  EXPECT_EQ(LearnerBack(Shard(Of({1, 2, 3}), Of({5})), Shard(Of({1, 2, 4}))), std::nullopt);
}

TEST(MemberSteps, TheOneMovesThatMay) {
  DirectoryImage image;
  std::vector<kv::RowChange> rows;
  for (int i = 1; i <= 4; ++i) {
    NodeRecord node;
    node.node = NodeId(i);
    if (i == 4) node.role = NodeRole::kDraining;
    rows.push_back({RowKey(node.node), EncodeRow(DirectoryRow(node))});
  }
  ASSERT_TRUE(image.Apply(rows, Timestamp(1)).ok());
  ShardDescriptor left = Shard(Of({1, 2}));
  ShardDescriptor right = Shard(Of({1, 3}));
  EXPECT_FALSE(LeftMoves(image, left, right));
  right.pinned = true;
  EXPECT_TRUE(LeftMoves(image, left, right));
  left.pinned = true;
  EXPECT_FALSE(LeftMoves(image, left, right));
  // Nobody moves to a node that is being emptied.
  left.voters = Of({1, 4});
  EXPECT_TRUE(LeftMoves(image, left, right));
}

}  // namespace
}  // namespace flotilla
