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

// The configuration of a new group: all founders are voters. It is the payload of the log's first
// entry, (index 1, term 1), which every founder writes by itself.
raft::Configuration FoundingConfiguration(const Founding& founding);

}  // namespace flotilla
