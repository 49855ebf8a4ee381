// NodeStats: what a node tells the directory's leader of the shards that it leads, about once a
// second; and the codec of that. What it says of itself goes by gossip.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace flotilla {

struct ShardStats {
  GroupId group;
  std::uint64_t bytes = 0;
  std::uint64_t keys = 0;
  double reads_per_s = 0;
  double writes_per_s = 0;
  std::set<NodeId> behind;  // members that have not caught up
  std::string load_median;  // as of ShardView

  bool operator==(const ShardStats&) const = default;
};

struct NodeStats {
  // Nothing has changed since the last report, and nothing follows.
  bool same = false;
  std::vector<ShardStats> leads;
};

std::string EncodeNodeStats(const NodeStats& stats);
// BAD_REQUEST when malformed.
StatusOr<NodeStats> DecodeNodeStats(std::string_view body);

}  // namespace flotilla
