#include "shard/gossip/member_table.h"

#include <algorithm>

#include "base/check.h"

namespace flotilla::gossip {

std::vector<MemberTable::Entry>::iterator MemberTable::Place(NodeId node) {
  return std::lower_bound(entries_.begin(), entries_.end(), node,
                          [](const Entry& entry, NodeId wanted) { return entry.node < wanted; });
}

MemberTable::Entry* MemberTable::Find(NodeId node) {
  const auto place = Place(node);
  return place != entries_.end() && place->node == node ? &*place : nullptr;
}

const MemberTable::Entry* MemberTable::Find(NodeId node) const {
  return const_cast<MemberTable*>(this)->Find(node);
}

MemberTable::Inserted MemberTable::Insert(NodeId node, Standing standing) {
  Inserted inserted;
  if (entries_.size() >= members_max_) {
    // The one that would be forgotten first.
    for (const auto& [deadline, known] : deadlines_) {
      if (Find(known)->standing.present()) continue;
      inserted.evicted = known;
      break;
    }
    if (!inserted.evicted) return inserted;
    Remove(inserted.evicted);
  }
  const auto place = Place(node);
  CHECK(place == entries_.end() || place->node != node);
  Entry entry;
  entry.node = node;
  entry.standing = standing;
  if (standing.present()) ++present_;
  inserted.entry = &*entries_.insert(place, std::move(entry));
  return inserted;
}

void MemberTable::Remove(NodeId node) {
  const auto place = Place(node);
  CHECK(place != entries_.end() && place->node == node);
  if (place->standing.present()) --present_;
  if (place->deadline) deadlines_.erase({place->deadline, node});
  entries_.erase(place);
}

void MemberTable::SetStanding(Entry& entry, Standing standing, GossipTick deadline) {
  if (entry.standing.present()) --present_;
  if (standing.present()) ++present_;
  entry.standing = standing;
  if (entry.deadline) deadlines_.erase({entry.deadline, entry.node});
  entry.deadline = deadline;
  if (entry.deadline) deadlines_.insert({entry.deadline, entry.node});
}

std::optional<NodeId> MemberTable::TakeExpired(GossipTick now) {
  if (deadlines_.empty() || deadlines_.begin()->first > now) return std::nullopt;
  const NodeId node = deadlines_.begin()->second;
  deadlines_.erase(deadlines_.begin());
  Find(node)->deadline = GossipTick();
  return node;
}

std::vector<NodeId> MemberTable::Dead() const {
  std::vector<NodeId> dead;
  for (const auto& [deadline, node] : deadlines_) {
    if (Find(node)->standing.state == MemberState::kDead) dead.push_back(node);
  }
  return dead;
}

}  // namespace flotilla::gossip
