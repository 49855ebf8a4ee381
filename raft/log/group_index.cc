#include "raft/log/group_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace flotilla::raft::log {
// --- Dropping -----------------------------------------------------------------------------------

void GroupIndex::UnrefItem(const IndexItem& item, std::uint64_t sequence, SegmentTable& table) {
  if (item.generation != 0) table.Unref(item.generation, FootprintOf(item), sequence);
}

void GroupIndex::UnrefAnchor(Anchor& anchor, std::uint64_t hold_until, SegmentTable& table) {
  if (anchor.generation == 0) return;
  if (anchor.pending) table.MarkObsolete(anchor.generation, -1);
  table.Unref(anchor.generation, kAnchorBytes, hold_until);
  anchor.generation = 0;
}

void GroupIndex::Detach(Anchor& anchor, Anchor next, SegmentTable& table) {
  if (anchor.generation != 0 && !anchor.pending) table.MarkObsolete(anchor.generation, 1);
  next.generation = anchor.generation;
  next.pending = true;
  anchor = next;
}

void GroupIndex::Place(Anchor& anchor, std::uint64_t sequence, std::uint32_t generation,
                       std::uint64_t hold_until, SegmentTable& table) {
  UnrefAnchor(anchor, hold_until, table);
  anchor.generation = generation;
  table.Ref(generation, kAnchorBytes);
  if (anchor.sequence == sequence) anchor.pending = false;
  // A newer value waits already.
  if (anchor.pending) table.MarkObsolete(generation, 1);
}

void GroupIndex::Keep(std::uint32_t generation, std::uint64_t bytes, SegmentTable& table) {
  if (kept_.empty() || kept_.back().generation != generation) kept_.push_back({generation, 0, 0});
  ++kept_.back().records;
  kept_.back().bytes += bytes;
  table.MarkObsolete(generation, 1);
}

void GroupIndex::UnrefKept(std::uint64_t hold_until, SegmentTable& table) {
  for (const Kept& kept : kept_) {
    table.MarkObsolete(kept.generation, -static_cast<std::int64_t>(kept.records));
    table.UnrefMany(kept.generation, kept.records, kept.bytes, hold_until);
  }
  kept_.clear();
}

std::int64_t GroupIndex::TruncateFrom(Index index, std::uint64_t sequence, SegmentTable& table) {
  if (index > last()) return 0;
  CHECK_GT(index, start_);
  const std::size_t kept = index - start_ - 1;
  for (std::size_t i = kept; i < items_.size(); ++i) UnrefItem(items_[i], sequence, table);
  const std::size_t dropped = items_.size() - kept;
  const std::size_t uncached = std::min(dropped, cached_.size());
  std::int64_t freed = 0;
  for (std::size_t i = cached_.size() - uncached; i < cached_.size(); ++i) {
    freed += static_cast<std::int64_t>(cached_[i].size());
  }
  cached_.PopBack(uncached);
  items_.PopBack(dropped);
  return -freed;
}

// --- Writes -------------------------------------------------------------------------------------

std::int64_t GroupIndex::Append(const std::vector<Entry>& entries, std::uint64_t sequence,
                                SegmentTable& table) {
  const Index first = entries.front().index;
  CHECK_GT(first, start_) << "an entry that the log has released is written again";
  CHECK_LE(first, last().Next()) << "entries leave a gap";
  std::int64_t growth = TruncateFrom(first, sequence, table);
  for (const Entry& entry : entries) {
    CHECK_EQ(entry.index, last().Next());
    IndexItem item;
    item.term = entry.term;
    item.offset = static_cast<std::uint32_t>(sequence);
    item.bytes = static_cast<std::uint32_t>(entry.payload.size());
    item.kind = entry.kind;
    items_.PushBack(item);
    cached_.PushBack(entry.payload);
    growth += static_cast<std::int64_t>(entry.payload.size());
  }
  return growth;
}

std::int64_t GroupIndex::Reset(Index index, Term term, std::uint64_t sequence,
                               SegmentTable& table) {
  const std::int64_t growth = TruncateFrom(start_.Next(), sequence, table);
  UnrefKept(sequence, table);
  start_ = index;
  start_term_ = term;
  Detach(start_anchor_, {.sequence = sequence}, table);
  return growth;
}

std::int64_t GroupIndex::Release(Index index, Term term, std::uint64_t sequence,
                                 SegmentTable& table) {
  CHECK_GT(index, start_);
  // It may overtake what waits in the queue, unless that is what it releases.
  bool ordered = start_anchor_.pending && (!start_anchor_.lazy || start_anchor_.ordered);
  const std::size_t dropped = std::min<std::size_t>(index - start_, items_.size());
  for (std::size_t i = 0; i < dropped; ++i) {
    const IndexItem& item = items_[i];
    ordered |= item.generation == 0;
    if (item.generation != 0) Keep(item.generation, FootprintOf(item), table);
  }
  std::int64_t freed = 0;
  const std::size_t left = items_.size() - dropped;
  if (cached_.size() > left) {
    const std::size_t uncached = cached_.size() - left;
    for (std::size_t i = 0; i < uncached; ++i) {
      freed += static_cast<std::int64_t>(cached_[i].size());
    }
    cached_.PopFront(uncached);
  }
  items_.PopFront(dropped);
  start_ = index;
  start_term_ = term;
  Detach(start_anchor_, {.lazy = true, .ordered = ordered, .sequence = sequence}, table);
  return -freed;
}

void GroupIndex::SetHardState(const HardState& hard_state, std::uint64_t sequence, bool lazy,
                              SegmentTable& table) {
  hard_state_ = hard_state;
  Detach(hard_state_anchor_, {.lazy = lazy, .ordered = true, .sequence = sequence}, table);
}

std::int64_t GroupIndex::Drop(std::uint64_t sequence, SegmentTable& table) {
  UnrefAnchor(hard_state_anchor_, sequence, table);
  UnrefAnchor(start_anchor_, sequence, table);
  UnrefKept(sequence, table);
  return TruncateFrom(start_.Next(), sequence, table);
}

// --- Completions
// ----------------------------------------------------------------------------------

bool GroupIndex::EntryWritten(const Entry& entry, std::uint64_t sequence, std::uint32_t generation,
                              std::uint32_t offset, SegmentTable& table) {
  if (entry.index <= start_) {
    if (!start_anchor_.pending || !start_anchor_.lazy) return false;
    // Released meanwhile, which the disk does not know yet.
    const std::uint64_t bytes = entry.payload.size() + kEntryOverheadBytes;
    table.Ref(generation, bytes);
    Keep(generation, bytes, table);
    return true;
  }
  if (entry.index > last()) return false;
  IndexItem& item = items_[entry.index - start_ - 1];
  if (item.generation != 0 || item.offset != static_cast<std::uint32_t>(sequence)) return false;
  item.generation = generation;
  item.offset = offset;
  table.Ref(generation, FootprintOf(item));
  return true;
}

void GroupIndex::HardStateWritten(std::uint64_t sequence, std::uint32_t generation,
                                  std::uint64_t durable_at, SegmentTable& table) {
  Place(hard_state_anchor_, sequence, generation, durable_at, table);
}

void GroupIndex::StartWritten(std::uint64_t sequence, std::uint32_t generation,
                              std::uint64_t durable_at, SegmentTable& table) {
  Place(start_anchor_, sequence, generation, durable_at, table);
  if (!start_anchor_.pending) UnrefKept(durable_at, table);
}

void GroupIndex::EntryMoved(Index index, std::uint32_t from_generation, std::uint32_t from_offset,
                            std::uint32_t generation, std::uint32_t offset, SegmentTable& table) {
  if (index <= start_ || index > last()) return;
  IndexItem& item = items_[index - start_ - 1];
  if (item.generation != from_generation || item.offset != from_offset) return;
  table.Unref(from_generation, FootprintOf(item), 0);
  table.Ref(generation, FootprintOf(item));
  item.generation = generation;
  item.offset = offset;
}

void GroupIndex::HardStateMoved(std::uint32_t from_generation, std::uint32_t generation,
                                SegmentTable& table) {
  Anchor& anchor = hard_state_anchor_;
  if (anchor.generation != from_generation || anchor.pending) return;
  Place(anchor, anchor.sequence, generation, 0, table);
}

void GroupIndex::StartMoved(std::uint32_t from_generation, std::uint32_t generation,
                            SegmentTable& table) {
  Anchor& anchor = start_anchor_;
  if (anchor.generation != from_generation || anchor.pending) return;
  Place(anchor, anchor.sequence, generation, 0, table);
}

std::size_t GroupIndex::Evict(Index index, std::size_t bytes) {
  std::size_t count = 0;
  std::size_t freed = 0;
  const Index end = std::min(index, last()).Next();
  for (Index i = first_cached(); i < end && freed < bytes && !IsPending(i); ++i) {
    freed += CachedAt(i).size();
    ++count;
  }
  cached_.PopFront(count);
  return freed;
}

// --- Recovery
// -------------------------------------------------------------------------------------

void GroupIndex::Restore(const HardState& hard_state, std::uint32_t hard_state_generation,
                         Index start, Term start_term, std::uint32_t start_generation,
                         FlatQueue<IndexItem> items, SegmentTable& table) {
  CHECK(items_.empty());
  hard_state_ = hard_state;
  if (hard_state_generation != 0) Place(hard_state_anchor_, 0, hard_state_generation, 0, table);
  start_ = start;
  start_term_ = start_term;
  if (start_generation != 0) Place(start_anchor_, 0, start_generation, 0, table);
  items_ = std::move(items);
  for (std::size_t i = 0; i < items_.size(); ++i) {
    table.Ref(items_[i].generation, FootprintOf(items_[i]));
  }
}

}  // namespace flotilla::raft::log
