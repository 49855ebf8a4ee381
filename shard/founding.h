// The founding of a cluster: its id and its first members, decided once, the same on each of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "raft/core/types.h"
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

// A group that is there from the beginning, with the log that every founder writes by itself, the
// same on all: the configuration, in which all founders are voters, at index 1 of term 1; and, for
// the directory, its first rows.
struct FoundedGroup {
  GroupId group;
  raft::Configuration configuration;
  std::vector<raft::Entry> entries;
};
std::vector<FoundedGroup> FoundedGroups(const Founding& founding);

}  // namespace flotilla
