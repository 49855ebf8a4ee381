#include "shard/member_steps.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>

namespace flotilla {
namespace {

// The first of `some` that is not among `others`.
std::optional<NodeId> FirstBeyond(const std::set<NodeId>& some, const std::set<NodeId>& others) {
  for (const NodeId node : some) {
    if (!others.contains(node)) return node;
  }
  return std::nullopt;
}

std::optional<NodeId> FirstOfBoth(const std::set<NodeId>& some, const std::set<NodeId>& others) {
  for (const NodeId node : some) {
    if (others.contains(node)) return node;
  }
  return std::nullopt;
}

}  // namespace

std::string StepText(const MemberStep& step) {
  switch (step.verb) {
    case AdminVerb::kAddMember:
      return fmt::format("adding node {}", step.node.value());
    case AdminVerb::kPromote:
      return fmt::format("node {} catches up", step.node.value());
    default:
      return fmt::format("removing node {}", step.node.value());
  }
}

std::optional<MemberStep> StepTowards(const ShardDescriptor& shard, const ShardDescriptor& like) {
  if (const auto node = FirstOfBoth(shard.learners, like.voters)) {
    return MemberStep{AdminVerb::kPromote, *node};
  }
  const std::optional<NodeId> surplus = FirstBeyond(shard.voters, like.voters);
  if (surplus && shard.voters.size() > like.voters.size()) {
    return MemberStep{AdminVerb::kRemove, *surplus};
  }
  if (const auto node = FirstBeyond(like.voters, shard.voters)) {
    return MemberStep{AdminVerb::kAddMember, *node};
  }
  if (const auto node = FirstBeyond(shard.learners, like.learners)) {
    return MemberStep{AdminVerb::kRemove, *node};
  }
  for (const NodeId node : like.learners) {
    if (!shard.Has(node)) return MemberStep{AdminVerb::kAddMember, node};
  }
  return std::nullopt;
}

bool LeftMoves(const DirectoryImage& image, const ShardDescriptor& left,
               const ShardDescriptor& right) {
  const auto may_go_to = [&](const ShardDescriptor& shard, const ShardDescriptor& like) {
    return std::ranges::all_of(like.Members(), [&](NodeId node) {
      const NodeRecord* record = image.Find(node);
      return shard.Has(node) || (record != nullptr && record->role == NodeRole::kActive);
    });
  };
  const bool right_may = may_go_to(right, left);
  const bool left_may = may_go_to(left, right);
  if (right_may != left_may) return left_may;
  return right.pinned && !left.pinned;
}

std::optional<MemberStep> LearnerBack(const ShardDescriptor& shard, const ShardDescriptor& like) {
  const auto node = FirstOfBoth(shard.learners, like.voters);
  if (!node) return std::nullopt;
  return MemberStep{AdminVerb::kRemove, *node};
}

std::optional<MemberStep> StepBack(const ShardDescriptor& shard, const ShardDescriptor& like) {
  if (const auto learner = LearnerBack(shard, like)) return learner;
  const std::optional<NodeId> surplus = FirstBeyond(shard.voters, like.voters);
  if (surplus && shard.voters.size() > like.voters.size()) {
    return MemberStep{AdminVerb::kRemove, *surplus};
  }
  return std::nullopt;
}

}  // namespace flotilla
