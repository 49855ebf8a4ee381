// The founding of a cluster: its id and its first members, decided once, the same on each of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "raft/core/types.h"
#include "raft/log/log.h"
#include "shard/directory/descriptors.h"
#include "shard/members.h"

namespace flotilla {

struct Founding {
  ClusterId cluster;
  Members members;

  bool operator==(const Founding&) const = default;
};

std::string EncodeFounding(const Founding& founding);
// BAD_REQUEST when the bytes are not a founding.
StatusOr<Founding> DecodeFounding(std::string_view bytes);

// A new group, with the log that each of its first voters writes by itself, the same on all: the
// configuration at index 1 of term 1, the range, and, for the directory, its first rows.
struct FoundedGroup {
  GroupId group;
  raft::Configuration configuration;
  std::vector<raft::Entry> entries;
};
FoundedGroup FoundGroup(const ShardDescriptor& shard);
// The groups that are there from the beginning; all founders vote in them.
std::vector<FoundedGroup> FoundedGroups(const Founding& founding);

// As the log would give it back.
raft::RecoveredGroup AsRecovered(const FoundedGroup& group);

}  // namespace flotilla
