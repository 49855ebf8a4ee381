// Health: what `status` makes of the answers of all nodes. Pure, so that it can be tested.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "flotilla/v1/cluster.pb.h"

namespace flotilla::kvctl {

struct NodeAnswer {
  std::string address;
  StatusOr<v1::StatusResponse> status;
};

// One line of the table: one node's part in one group, or a node that did not answer.
struct StatusLine {
  std::string address;
  std::uint64_t node_id = 0;  // 0: unknown
  bool reachable = false;
  std::string error;  // when not reachable
  v1::NodeStatus node;
  v1::GroupStatus group;             // group_id 0: the node has none
  std::optional<std::uint64_t> lag;  // entries behind the leader's commit; nothing: no leader known
};

struct ClusterView {
  std::uint64_t cluster_id = 0;
  std::uint64_t leader_id = 0;
  std::vector<StatusLine> lines;
  // What keeps the cluster from being healthy; empty: it is.
  std::vector<std::string> problems;
};

// Addresses of members that nobody has asked yet.
std::vector<std::string> UnaskedMembers(const std::vector<NodeAnswer>& answers);

// An endpoint that cannot be reached counts as a problem only when it is a member's address, or
// when nobody answered.
ClusterView ViewOf(const std::vector<NodeAnswer>& answers);

}  // namespace flotilla::kvctl
