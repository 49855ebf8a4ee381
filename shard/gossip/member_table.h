// MemberTable: who is known, in which standing, and until when that holds.
//
// Bounded: a newcomer takes the place of a dead or departed member when the table is full, and is
// refused when there is none.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "shard/gossip/types.h"

namespace flotilla::gossip {

class MemberTable {
 public:
  explicit MemberTable(std::size_t members_max) : members_max_(members_max) {}

  struct Entry : Member {
    // When a suspect is dead, and a dead member forgotten; 0: this standing does not end by itself.
    GossipTick deadline;
  };

  // Valid until the next Insert() or Remove(). Null: not known.
  Entry* Find(NodeId node);
  const Entry* Find(NodeId node) const;

  struct Inserted {
    Entry* entry = nullptr;  // null: the table is full of members that are present
    NodeId evicted;          // whom it replaced; 0: nobody
  };
  // Not known yet. In the standing given.
  Inserted Insert(NodeId node, Standing standing);
  void Remove(NodeId node);

  void SetStanding(Entry& entry, Standing standing, GossipTick deadline);
  // One whose deadline has come, the longest ago first; it has none any more.
  std::optional<NodeId> TakeExpired(GossipTick now);

  // By node.
  const std::vector<Entry>& entries() const { return entries_; }
  // Alive or suspect.
  std::size_t present() const { return present_; }
  std::vector<NodeId> Dead() const;

 private:
  std::vector<Entry>::iterator Place(NodeId node);

  const std::size_t members_max_;
  std::vector<Entry> entries_;
  std::set<std::pair<GossipTick, NodeId>> deadlines_;
  std::size_t present_ = 0;
};

}  // namespace flotilla::gossip
