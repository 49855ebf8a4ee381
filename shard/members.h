// Members: who the nodes of a group are and where they listen; and the next free node id.
//
// Kept in the context of the group's Raft configuration, so that it changes exactly when the
// membership does, and travels with it (log entries, snapshots, founding).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace flotilla {

// Drawn by a node at its first start and kept in its data directory; recognises it before it has
// an id, and makes joining idempotent.
using NodeUuid = Strong<struct NodeUuidTag>;

struct MemberRecord {
  NodeId node;
  NodeUuid uuid;
  std::string address;
  // A learner that the leader makes a voter once it has caught up.
  bool promote = false;

  bool operator==(const MemberRecord&) const = default;
};

struct Members {
  // Node ids are never reused.
  NodeId next_node{1};
  std::vector<MemberRecord> records;  // by node id
  // Data directories of nodes that were removed, the latest last: a request of theirs that comes
  // late makes no other node of them.
  std::vector<NodeUuid> removed;

  const MemberRecord* Find(NodeId node) const;
  const MemberRecord* FindUuid(NodeUuid uuid) const;
  const MemberRecord* FindAddress(std::string_view address) const;

  bool operator==(const Members&) const = default;
};

std::string EncodeMembers(const Members& members);
// DATA_DAMAGED when the bytes are not members.
StatusOr<Members> DecodeMembers(std::string_view bytes);

}  // namespace flotilla
