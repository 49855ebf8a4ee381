// GroupIndex: what the log holds for one group, and where.
//
// Place in the picture: the in-memory half of the log, one per group, filled by Append() before the
// disk knows, and by recovery. Not thread-safe: guarded by LogState's mutex.
//
// An entry is *pending* from Append() until its batch is written; then it has a location. Its
// payload is kept as long as the cache allows, and always while it is pending. Cached payloads are
// the group's newest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "raft/core/types.h"
#include "raft/log/flat_queue.h"
#include "raft/log/format.h"
#include "raft/log/segment_table.h"

namespace flotilla::raft::log {

struct IndexItem {
  Term term;
  std::uint32_t generation = 0;  // zero: pending
  std::uint32_t offset = 0;      // of the record; of a pending one, its write's sequence number
  std::uint32_t bytes = 0;       // of the payload
  EntryKind kind = EntryKind::kNoop;
};
static_assert(sizeof(IndexItem) == 24);

// Where a group's hard state or start lies. The record that the disk has stays live until a newer
// one is written, whatever the index says already.
struct Anchor {
  std::uint32_t generation = 0;  // of the newest record on disk; zero: none
  bool pending = false;          // a newer value has yet to be written
  bool lazy = false;             // and goes out with the next batch, whatever that is
  bool ordered = false;          // but only after the writes that are queued before it
  std::uint64_t sequence = 0;    // of the newer value
};

// What an anchor counts for in its segment.
inline constexpr std::uint64_t kAnchorBytes = 32;
inline constexpr std::uint64_t kEntryOverheadBytes = 24;

class GroupIndex {
 public:
  // `born`: the sequence number of the group's first write, or zero from recovery. Completions of
  // earlier ones are those of a group that was removed and had the same id.
  explicit GroupIndex(std::uint64_t born) : born_(born) {}

  std::uint64_t born() const { return born_; }
  Index start() const { return start_; }
  Term start_term() const { return start_term_; }
  Index last() const { return start_ + items_.size(); }
  LogEnd end() const {
    return {.term = items_.empty() ? start_term_ : At(last()).term, .index = last()};
  }
  const HardState& hard_state() const { return hard_state_; }
  const Anchor& hard_state_anchor() const { return hard_state_anchor_; }
  const Anchor& start_anchor() const { return start_anchor_; }
  // start() < index <= last().
  const IndexItem& At(Index index) const { return items_[index - start_ - 1]; }
  // The first index whose payload is in memory; last() + 1 when none is.
  Index first_cached() const { return Index(last().value() + 1 - cached_.size()); }
  const Bytes& CachedAt(Index index) const { return cached_[index - first_cached()]; }

  // --- Writes, at the time of Append(); each returns by how much cached payloads grew ----------

  // The entries are consecutive and follow last() or overwrite; CHECKs that.
  std::int64_t Append(const std::vector<Entry>& entries, std::uint64_t sequence,
                      SegmentTable& table);
  std::int64_t Reset(Index index, Term term, std::uint64_t sequence, SegmentTable& table);
  // `index` is after start().
  std::int64_t Release(Index index, Term term, std::uint64_t sequence, SegmentTable& table);
  void SetHardState(const HardState& hard_state, std::uint64_t sequence, bool lazy,
                    SegmentTable& table);
  // Before the group is forgotten.
  std::int64_t Drop(std::uint64_t sequence, SegmentTable& table);

  // --- Completions: the write of this sequence number is in the segment, and durable when all ----
  // --- writes up to `durable_at` are
  // ---------------------------------------------------------------

  // False when a later write has taken the entry's place.
  bool EntryWritten(const Entry& entry, std::uint64_t sequence, std::uint32_t generation,
                    std::uint32_t offset, SegmentTable& table);
  void HardStateWritten(std::uint64_t sequence, std::uint32_t generation, std::uint64_t durable_at,
                        SegmentTable& table);
  void StartWritten(std::uint64_t sequence, std::uint32_t generation, std::uint64_t durable_at,
                    SegmentTable& table);

  // --- Copies of records that lay in an old segment ---------------------------------------------

  void EntryMoved(Index index, std::uint32_t from_generation, std::uint32_t from_offset,
                  std::uint32_t generation, std::uint32_t offset, SegmentTable& table);
  void HardStateMoved(std::uint32_t from_generation, std::uint32_t generation, SegmentTable& table);
  void StartMoved(std::uint32_t from_generation, std::uint32_t generation, SegmentTable& table);

  // Drops cached payloads, oldest first, up to `index` or until `bytes` are free, but no pending
  // ones. Returns the bytes freed.
  std::size_t Evict(Index index, std::size_t bytes);
  bool IsPending(Index index) const { return At(index).generation == 0; }

  // --- Recovery ---------------------------------------------------------------------------------

  // What replay found, all of it written; into an empty index. A generation of zero: no such
  // record.
  void Restore(const HardState& hard_state, std::uint32_t hard_state_generation, Index start,
               Term start_term, std::uint32_t start_generation, FlatQueue<IndexItem> items,
               SegmentTable& table);

 private:
  // Forgets entries from `index` on, in the table and in the cache.
  std::int64_t TruncateFrom(Index index, std::uint64_t sequence, SegmentTable& table);
  void Keep(std::uint32_t generation, std::uint64_t bytes, SegmentTable& table);
  void UnrefKept(std::uint64_t hold_until, SegmentTable& table);
  void UnrefItem(const IndexItem& item, std::uint64_t sequence, SegmentTable& table);
  // The anchor has a newer value, of `next.sequence`, that has yet to be written.
  void Detach(Anchor& anchor, Anchor next, SegmentTable& table);
  void UnrefAnchor(Anchor& anchor, std::uint64_t hold_until, SegmentTable& table);
  // The value of `sequence` is in this segment.
  void Place(Anchor& anchor, std::uint64_t sequence, std::uint32_t generation,
             std::uint64_t hold_until, SegmentTable& table);

  const std::uint64_t born_;
  HardState hard_state_;
  Anchor hard_state_anchor_;
  Index start_;
  Term start_term_;
  Anchor start_anchor_;
  // Released records, by segment. They stay live until the disk knows of the release.
  struct Kept {
    std::uint32_t generation = 0;
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
  };
  std::vector<Kept> kept_;
  FlatQueue<IndexItem> items_;  // from start_ + 1
  FlatQueue<Bytes> cached_;     // of the last cached_.size() items
};

// What an entry counts for in its segment.
inline std::uint64_t FootprintOf(const IndexItem& item) { return item.bytes + kEntryOverheadBytes; }

}  // namespace flotilla::raft::log
