#include "raft/log/group_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace flotilla::raft::log {
// --- Dropping -----------------------------------------------------------------------------------

void GroupIndex::UnrefItem(const IndexItem& item, std::uint64_t sequence, SegmentTable& table) {
  if (item.generation != 0) table.Unref(item.generation, FootprintOf(item), sequence);
}

void GroupIndex::UnrefAnchor(Anchor& anchor, std::uint64_t sequence, SegmentTable& table) {
  if (anchor.generation != 0) table.Unref(anchor.generation, kAnchorBytes, sequence);
  anchor.generation = 0;
}

void GroupIndex::Place(Anchor& anchor, std::uint32_t generation, SegmentTable& table) {
  anchor.generation = generation;
  anchor.lazy = false;
  table.Ref(generation, kAnchorBytes);
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

std::int64_t GroupIndex::DropThrough(Index index, std::uint64_t sequence, SegmentTable& table) {
  const std::size_t dropped = std::min<std::size_t>(index - start_, items_.size());
  for (std::size_t i = 0; i < dropped; ++i) UnrefItem(items_[i], sequence, table);
  std::int64_t freed = 0;
  const std::size_t kept = items_.size() - dropped;
  if (cached_.size() > kept) {
    const std::size_t uncached = cached_.size() - kept;
    for (std::size_t i = 0; i < uncached; ++i)
      freed += static_cast<std::int64_t>(cached_[i].size());
    cached_.PopFront(uncached);
  }
  items_.PopFront(dropped);
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
  UnrefAnchor(start_anchor_, sequence, table);
  start_ = index;
  start_term_ = term;
  start_anchor_ = {0, sequence, false};
  return growth;
}

std::int64_t GroupIndex::Release(Index index, Term term, std::uint64_t sequence,
                                 SegmentTable& table) {
  CHECK_GT(index, start_);
  const std::int64_t growth = DropThrough(index, sequence, table);
  UnrefAnchor(start_anchor_, sequence, table);
  start_ = index;
  start_term_ = term;
  start_anchor_ = {0, sequence, true};
  return growth;
}

void GroupIndex::SetHardState(const HardState& hard_state, std::uint64_t sequence, bool lazy,
                              SegmentTable& table) {
  UnrefAnchor(hard_state_anchor_, sequence, table);
  hard_state_ = hard_state;
  hard_state_anchor_ = {0, sequence, lazy};
}

std::int64_t GroupIndex::Drop(std::uint64_t sequence, SegmentTable& table) {
  UnrefAnchor(hard_state_anchor_, sequence, table);
  UnrefAnchor(start_anchor_, sequence, table);
  return TruncateFrom(start_.Next(), sequence, table);
}

// --- Completions
// ----------------------------------------------------------------------------------

bool GroupIndex::EntryWritten(Index index, std::uint64_t sequence, std::uint32_t generation,
                              std::uint32_t offset, SegmentTable& table) {
  if (index <= start_ || index > last()) return false;
  IndexItem& item = items_[index - start_ - 1];
  if (item.generation != 0 || item.offset != static_cast<std::uint32_t>(sequence)) return false;
  item.generation = generation;
  item.offset = offset;
  table.Ref(generation, FootprintOf(item));
  return true;
}

bool GroupIndex::HardStateWritten(std::uint64_t sequence, std::uint32_t generation,
                                  SegmentTable& table) {
  Anchor& anchor = hard_state_anchor_;
  if (anchor.generation != 0 || anchor.sequence != sequence) return false;
  Place(anchor, generation, table);
  return true;
}

bool GroupIndex::StartWritten(std::uint64_t sequence, std::uint32_t generation,
                              SegmentTable& table) {
  Anchor& anchor = start_anchor_;
  if (anchor.generation != 0 || anchor.sequence != sequence) return false;
  Place(anchor, generation, table);
  return true;
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
  if (hard_state_anchor_.generation != from_generation) return;
  UnrefAnchor(hard_state_anchor_, 0, table);
  Place(hard_state_anchor_, generation, table);
}

void GroupIndex::StartMoved(std::uint32_t from_generation, std::uint32_t generation,
                            SegmentTable& table) {
  if (start_anchor_.generation != from_generation) return;
  UnrefAnchor(start_anchor_, 0, table);
  Place(start_anchor_, generation, table);
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
  if (hard_state_generation != 0) Place(hard_state_anchor_, hard_state_generation, table);
  start_ = start;
  start_term_ = start_term;
  if (start_generation != 0) Place(start_anchor_, start_generation, table);
  items_ = std::move(items);
  for (std::size_t i = 0; i < items_.size(); ++i) {
    table.Ref(items_[i].generation, FootprintOf(items_[i]));
  }
}

}  // namespace flotilla::raft::log
