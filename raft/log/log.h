// Log: the one write-ahead log of a node, shared by all its groups.
//
// Purpose: make entries and hard states of every group durable with one write and one sync for
// whatever has gathered meanwhile, and give them back. Segments are preallocated and recycled.
//
// Place in the picture: below raft/group.h, above the FileSystem. Callers: any strand. The writer
// runs on the blocking strand that it is given. No lock is held across I/O.
//
// Invariants: what a completion reported is on disk, directory entries included. Completions of
// one group run in the order of its writes. After a failed write or sync nothing more is written
// and nothing is retried: every pending and later write fails and `on_fatal` is called once.
//
// The format is described in raft/log/README.md, with worked bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/function.h"
#include "base/status.h"
#include "raft/core/types.h"

namespace rocksdb {
class FileSystem;
}

namespace flotilla::raft {

struct LogOptions {
  std::string directory;  // made when absent
  // A multiple of 4 KiB. A write that does not fit gets a segment of its own size.
  std::size_t segment_bytes = 64 << 20;
  // Newest payloads of all groups kept in memory, for followers and for apply.
  std::size_t cache_bytes = 64 << 20;
  // Past this much log on disk, groups that hold old segments are asked to release (see Pressure())
  // and old segments that are mostly obsolete are rewritten.
  std::size_t live_bytes_soft_max = 1ull << 30;
  // Bytes waiting for the writer; beyond it Append() refuses with OVERLOADED.
  std::size_t pending_bytes_max = 512 << 20;
  // Write past the page cache where the file system can. For real ones only.
  bool direct_io = false;
  // Recycled segments kept ready. One is made ahead of need even when nothing was recycled yet.
  int spare_segments_max = 4;
};

// What one group's part of the log says at start-up.
struct RecoveredGroup {
  HardState hard_state;
  // The log starts after this; (0, 0) for a whole one. Configuration not included.
  Index start_index;
  Term start_term;
  struct Item {
    Term term;
    std::uint32_t bytes = 0;
  };
  std::vector<Item> entries;  // from start_index + 1
  // Configuration entries among them, decoded.
  std::vector<std::pair<Index, Configuration>> configurations;

  // Nothing but a hard state: of a group that has been forgotten (see Forgetting()), or has only
  // voted.
  bool only_hard_state() const { return !start_index && entries.empty(); }
};

struct LogRecovery {
  std::map<GroupId, RecoveredGroup> groups;
  std::uint64_t segments_read = 0;
  std::uint64_t bytes = 0;       // of log in them, read or known by a summary
  std::uint64_t bytes_read = 0;  // from the disk
  // Bytes of a torn tail that were cut off; 0 after a clean stop.
  std::uint64_t torn_bytes = 0;
};

// One atomic step of one group.
struct LogWrite {
  GroupId group;
  std::optional<HardState> hard_state;
  // Consecutive. Replaces whatever the group had from entries.front().index on.
  std::vector<Entry> entries;
  // A snapshot took the place of the prefix up to here: the group's log becomes empty and starts
  // after it (the suffix, if any matched, is written again by the core).
  std::optional<std::pair<Index, Term>> reset_to;
  // False: durability may wait for the next write that wants it, and `done` only says that the
  // write will survive the process. A mere hard state (a commit index) is not even written by
  // itself: it goes out with the next batch, only the newest of a group, and its `done` may run
  // before that.
  bool sync = true;
};

// The write by which a group goes from this node, all but its term and vote, and where its log
// ended. Those stay for as long as the log does: should the node be a member once more, it must not
// vote twice in a term, nor for somebody who lacks what it had acknowledged itself. The last write
// of its group, then; what comes afterwards begins at index 1, or with another reset.
inline LogWrite Forgetting(GroupId group, const HardState& hard_state, LogEnd end) {
  LogWrite write;
  write.group = group;
  write.hard_state = HardState{.term = hard_state.term,
                               .vote = hard_state.vote,
                               .commit = {},
                               .forgotten = std::max(end, hard_state.forgotten)};
  write.reset_to = std::pair(Index(), Term());
  return write;
}

struct LogStats {
  std::uint64_t segments = 0;
  std::uint64_t spare_segments = 0;
  std::uint64_t live_bytes = 0;  // of records that are still needed
  std::uint64_t held_bytes = 0;  // on disk, spare segments not counted
  std::uint64_t cached_bytes = 0;
  std::uint64_t appended_bytes = 0;
  std::uint64_t syncs = 0;
  std::uint64_t writes = 0;  // LogWrites
  std::uint64_t entries = 0;
  std::uint64_t rewritten_bytes = 0;
  std::uint64_t pending_bytes = 0;
  // How long the writer has been at its present work (a write, a sync, a new segment), by the
  // injected clock, less what so many bytes take on a slow disk; or, while it is at none, how long
  // a write has waited for it; zero when it rests. A disk that hangs shows here.
  Duration io_under_way{0};
  Duration sync_time_total{0};
};

class Log {
 public:
  struct World {
    rocksdb::FileSystem* files = nullptr;
    const Clock* clock = nullptr;
    // Owned by the log: its blocking strand, and the only place where it does I/O after Open(),
    // but for Read() of entries that have left the cache.
    std::unique_ptr<Strand> writer;
    // Called once, on the writer strand, when the disk has failed.
    UniqueFunction<void(Status)> on_fatal;
  };

  // Opens or creates the log and recovers it: reads the newest segment, the summaries of the others
  // (and those without one), cuts a torn tail off. DATA_DAMAGED names file, offset and the way out;
  // nothing is changed on disk in that case. Entries that a summary knows are verified by Read().
  static StatusOr<std::unique_ptr<Log>> Open(const LogOptions& options, World world,
                                             LogRecovery& recovery);
  virtual ~Log() = default;

  // Queues the write. From this call on Read() sees the entries; `done` runs on the writer strand
  // once they are durable (or with the error that ended the log). `done` may be empty. Never
  // blocks.
  //
  // An error means that nothing happened and `done` will not run: OVERLOADED (too much waits for
  // the disk), DISK_FULL (no further segment could be made; hard states alone still get through
  // while there is any room), NODE_STOPPING, or the error that ended the log. After the first two
  // the same write may be tried again later; the log itself tries to get space whenever asked. A
  // write that was accepted just before the disk was found full waits for space instead of failing.
  virtual Status Append(LogWrite write, UniqueFunction<void(Status)> done) = 0;
  // What Append() would answer now to entries of so many bytes; for refusing proposals early.
  virtual Status CheckRoom(std::size_t bytes) = 0;

  // Entries of [first, end), at least one, up to about `bytes_max` of payload, from the cache only:
  // nothing when the first of them has left it. Cheap; any strand.
  virtual std::optional<std::vector<Entry>> ReadCached(GroupId group, IndexRange range,
                                                       std::size_t bytes_max) = 0;
  // The same, from the cache or the disk; may block on I/O. A range that was released or was
  // overwritten meanwhile is an error (kInternal never: NOT_READY, ask the core again).
  virtual StatusOr<std::vector<Entry>> Read(GroupId group, IndexRange range,
                                            std::size_t bytes_max) = 0;

  // The group needs nothing up to and including `index` any more; `term` is that entry's.
  // Durable with the next write; a crash before gives the entries back.
  virtual void Release(GroupId group, Index index, Term term) = 0;
  // The group is gone from this node, and so is its vote: for one that never comes back.
  virtual void Remove(GroupId group) = 0;
  // The newest that was written or is about to be; zero when the log has nothing of the group. Any
  // strand.
  virtual HardState hard_state(GroupId group) const = 0;
  // Likewise, of its entries.
  virtual LogEnd end(GroupId group) const = 0;

  // Groups that hold the oldest segments while held_bytes exceeds live_bytes_soft_max: they should
  // flush and release. Empty otherwise.
  virtual std::vector<GroupId> Pressure() = 0;

  virtual LogStats Stats() const = 0;

  // Writes what is pending and marks the end, so that damage before it cannot pass for a torn tail;
  // then refuses everything. `done` runs on the writer strand, last. The log may be destroyed
  // afterwards; without Stop() only when its strand runs nothing any more.
  virtual void Stop(Closure done) = 0;
};

}  // namespace flotilla::raft
