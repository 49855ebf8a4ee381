// Changes of a shard's members, one at a time: pure functions of descriptors.
#pragma once

#include <optional>
#include <string>

#include "base/types.h"
#include "shard/admin.h"
#include "shard/directory/image.h"

namespace flotilla {

struct MemberStep {
  AdminVerb verb = AdminVerb::kAddMember;  // kAddMember, kPromote, kRemove
  NodeId node;
  bool operator==(const MemberStep&) const = default;
};

// For people: "adding node 4".
std::string StepText(const MemberStep& step);

// What brings the shard's members nearer to those of `like`; nothing: they are the same. On the way
// it never has fewer voters than the one of both that has fewer, and at most one more than the
// other.
std::optional<MemberStep> StepTowards(const ShardDescriptor& shard, const ShardDescriptor& like);
// Of two shards that are to have the same members, whether the left one is to change. As long as
// each step is one of StepTowards(), it does no harm if that is answered otherwise later.
bool LeftMoves(const DirectoryImage& image, const ShardDescriptor& left,
               const ShardDescriptor& right);
// What ends an exchange that has begun, on the shorter way; nothing: none has.
std::optional<MemberStep> StepBack(const ShardDescriptor& shard, const ShardDescriptor& like);
// The part of it that is right for both shards, whichever has begun: a learner goes that was to
// become a voter.
std::optional<MemberStep> LearnerBack(const ShardDescriptor& shard, const ShardDescriptor& like);

}  // namespace flotilla
