// LogState: what any strand may ask of the log or tell it, under one mutex and without I/O.
//
// Place in the picture: between the callers of Log, who append and read on their strands, and the
// writer strand, which takes what has gathered as a Batch, writes it, and reports it back.
//
//   Append(), Release() ──▶ queue, dirty groups ──TakeBatch()──▶ writer ──▶ disk
//                           indexes, cache      ◀──Complete()───
//
// Sequence numbers order everything that changes a group: writes, releases, removals. "Durable up
// to n" means that every queued write with a number up to n would survive a power cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "base/function.h"
#include "base/status.h"
#include "raft/log/group_index.h"
#include "raft/log/log.h"
#include "raft/log/segment_table.h"

namespace flotilla::raft::log {

// Room that is left when entries, and when anything at all, is refused because the disk is full.
// Releases and copies must get through for the log to help itself.
inline std::size_t EntryReserve(const LogOptions& options) {
  return options.segment_bytes / 16 + 2 * kPageBytes;
}
inline std::size_t LazyReserve(const LogOptions& options) {
  return options.segment_bytes / 64 + kPageBytes;
}

struct QueuedWrite {
  LogWrite write;
  UniqueFunction<void(Status)> done;  // may be empty
  std::uint64_t sequence = 0;
  std::size_t bytes = 0;  // bound of the records' size; zero when there is nothing to write
  bool remove = false;    // the group, instead of `write`
};

// A hard state or a start that goes out with whatever batch comes next.
struct LazyRecord {
  GroupId group;
  std::uint64_t sequence = 0;
  std::optional<HardState> hard_state;
  std::optional<std::pair<Index, Term>> start;
};

struct Batch {
  std::vector<QueuedWrite> writes;
  std::vector<LazyRecord> lazy;
  std::size_t bytes = 0;                // bound of all records
  bool sync = false;                    // somebody waits for durability
  bool empty = true;                    // nothing but completions to run
  std::uint64_t up_to = 0;              // covers every sequence number up to this one
  std::uint64_t oldest_generation = 0;  // no earlier segment is needed once this is durable
  // Of the entries' records, in the order of the writes.
  std::vector<std::uint32_t> offsets;
};

// An entry on disk.
struct LocatedEntry {
  GroupId group;
  Index index;
  IndexItem item;
};

// What Read() is to fetch. The segments stay as long as they are pinned.
struct ReadPlan {
  std::vector<Entry> cached;
  std::vector<LocatedEntry> located;          // comes before `cached`
  std::map<std::uint32_t, Segment> segments;  // copies, with their file handles
};

// A slice of the oldest segment's live records, to be copied.
struct RewritePlan {
  Segment segment;
  std::vector<LocatedEntry> entries;
  std::vector<LazyRecord> anchors;
  std::size_t bytes = 0;
};

class LogState {
 public:
  explicit LogState(const LogOptions& options)
      : options_(options), rewrite_credit_(options.segment_bytes) {}

  // --- Callers of Log, any strand ----------------------------------------------------------------

  // OK, or why a write of so many bytes is refused; nothing has happened then. `small`: a vote must
  // get through where entries no longer do.
  Status Admit(std::size_t bytes, bool small) const;
  // True in `wake` when there is something for the writer to do.
  Status Append(LogWrite write, UniqueFunction<void(Status)> done, bool& wake);
  void Release(GroupId group, Index index, Term term, bool& wake);
  void Remove(GroupId group);
  HardState hard_state(GroupId group) const;
  LogEnd end(GroupId group) const;
  std::optional<std::vector<Entry>> ReadCached(GroupId group, IndexRange range,
                                               std::size_t bytes_max) const;
  // Give the plan back to EndRead().
  StatusOr<ReadPlan> PlanRead(GroupId group, IndexRange range, std::size_t bytes_max);
  void EndRead(const ReadPlan& plan);
  std::vector<GroupId> Pressure() const;
  LogStats Stats() const;

  // --- The writer strand -------------------------------------------------------------------------

  enum class Mode {
    kWrites,    // what has gathered
    kReleases,  // lazy changes alone, if that may free a segment: also when writes wait for space
    kMark,      // the same, even if there are none, to say that all before is synced
  };
  enum class Take { kNothing, kBatch, kNeedsRoom };
  // Takes writes in order, and lazy changes, up to `room` bytes of records and a bound of its own.
  // kNeedsRoom: not even the first fits; `batch.bytes` says how much it needs.
  Take TakeBatch(std::size_t room, Mode mode, Batch& batch);
  // The batch is in segment `generation`, and durable when `synced`.
  void Complete(const Batch& batch, std::uint32_t generation, std::uint64_t end, bool synced);
  // Refuses everything from now on with this error. Returns the writes that still waited.
  std::vector<QueuedWrite> Close(const Status& error);
  bool HasPending() const;

  void AddSegment(Segment segment);
  bool HasSegment(std::uint64_t generation) const;
  // The oldest segment, when nothing needs it any more and the log on disk says so: gone from the
  // table.
  std::optional<Segment> TakeFree();
  // The oldest segment is not needed, but the disk must know first: TakeBatch(kReleases).
  bool FreeingNeedsBatch() const;
  // Nothing when no rewriting is worth its cost, or the next slice.
  std::optional<RewritePlan> PlanRewrite(std::size_t bytes_max);
  void CompleteRewrite(const RewritePlan& plan, const std::vector<std::uint32_t>& offsets,
                       std::uint32_t generation, std::uint64_t end);
  std::uint64_t OldestNeeded() const;
  // A batch that named this oldest segment is durable.
  void OldestIsDurable(std::uint64_t generation);

  // What Admit() goes by. `full`: the last attempt to get another segment failed, with `error`.
  void SetRoom(std::size_t bytes, bool full, const Status& error);
  bool full() const;
  void CountSync(Duration took);
  void SetSpares(std::size_t count);

  // --- Recovery, before anything else
  // --------------------------------------------------------------

  SegmentTable& table() { return table_; }
  std::map<GroupId, GroupIndex>& groups() { return groups_; }

 private:
  using Groups = std::map<GroupId, GroupIndex>;

  Status AdmitLocked(std::size_t bytes, bool small) const;
  Take TakeChanges(std::size_t room, bool mark, Batch& batch);
  void TakeLazy(std::uint64_t up_to, bool overtake, Batch& batch);
  void CompleteWrite(const QueuedWrite& queued, std::uint32_t generation, std::uint64_t durable_at,
                     const std::uint32_t*& offset);
  bool RewriteIsWorthIt() const;
  void Cache(GroupId group, Index last, std::int64_t growth);
  void TrimCache();
  bool OldestIsFree() const;

  const LogOptions options_;
  mutable std::mutex mutex_;

  Groups groups_;
  SegmentTable table_;
  std::uint64_t durable_oldest_ = 0;

  std::deque<QueuedWrite> queue_;
  std::set<GroupId> dirty_;        // groups that may have lazy records
  std::size_t queued_bytes_ = 0;   // not yet taken
  std::size_t pending_bytes_ = 0;  // not yet completed
  std::uint64_t last_sequence_ = 0;
  std::uint64_t durable_sequence_ = 0;  // of queued writes; lazy changes do not count
  Status closed_;                       // not OK: the error for every later write

  // Whose payloads were cached, oldest first: everything up to that index.
  std::deque<std::pair<GroupId, Index>> cache_order_;
  std::int64_t cached_bytes_ = 0;

  std::size_t room_bytes_ = 0;
  bool full_ = false;
  Status full_error_;

  // What may still be copied. Writes earn it, so that copying never costs more than they do, and
  // never goes round in circles when large records leave segments half empty.
  std::uint64_t rewrite_credit_;
  // Where the rewriting of the oldest segment has got to.
  std::uint32_t rewrite_generation_ = 0;
  GroupId rewrite_group_;
  Index rewrite_index_;

  LogStats stats_;
};

}  // namespace flotilla::raft::log
