// StateMachine: what a group replicates, as raft/ sees it.
//
// Place in the picture: implemented by kv/ (and by the directory); called by raft/group.h on the
// group's apply strand, one call at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/status.h"
#include "raft/core/types.h"

namespace flotilla::raft {

// Somebody who waits for a proposal of this node. The state machine that made it casts it back and
// hands it the results; the driver only ever fails it. Destroyed after either.
class Proposal {
 public:
  virtual ~Proposal() = default;
  // NOT_LEADER, OVERLOADED, ...: it did not and will not happen. OUTCOME_UNKNOWN: perhaps.
  virtual void Fail(const Status& status) = 0;
};

struct AppliedEntry {
  Entry entry;  // kNoop and kConfiguration entries come too: they move the applied index
  std::unique_ptr<Proposal> proposal;  // null for what other nodes proposed
};

// One file of a snapshot, by its path relative to the snapshot's directory.
struct SnapshotFile {
  std::string name;
  std::uint64_t bytes = 0;
};

struct SnapshotInfo {
  SnapshotMark mark;
  std::string directory;  // absolute
  std::vector<SnapshotFile> files;
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Applies consecutive entries as one atomic step and answers their proposals. DISK_FULL: those
  // that remain in `entries`, perhaps not all, were not applied; call again with them in a while.
  // Any other error is final for the replica: the disk failed or the data is damaged (the driver
  // stops the group).
  virtual Status Apply(std::vector<AppliedEntry>& entries) = 0;

  // True: Apply() of these would wait for nothing now, neither a disk nor a memtable, and be over
  // within microseconds: it may be called on a thread that must not block. Called as Apply() is.
  virtual bool AppliesAtOnce(const std::vector<Entry>& entries) const {
    (void)entries;
    return false;
  }

  // What the memory has; and what survives a crash (the flushed state). durable <= applied.
  virtual Index applied() const = 0;
  virtual Index durable() const = 0;
  // The last applied configuration and term, as of applied(): kept with the state, atomically.
  virtual SnapshotMark mark() const = 0;

  // True: the state that was applied last wants no member to come or go. Any thread.
  virtual bool members_fixed() const { return false; }

  // Makes the current state durable soon, without blocking; `done` gets the new durable index, on
  // any thread. Calls while one is under way share it. DISK_FULL and NOT_READY: try again later.
  // Any other error is final for the replica.
  virtual void Flush(UniqueFunction<void(StatusOr<Index>)> done) = 0;

  // A checkpoint of the current state in a fresh directory, flushed and synced. Called on the
  // apply strand; may take as long as a flush. The snapshot lives until DropSnapshot(). Errors as
  // of Flush().
  virtual StatusOr<SnapshotInfo> TakeSnapshot() = 0;
  virtual void DropSnapshot(const SnapshotInfo& snapshot) = 0;

  // Replaces the whole state by a received snapshot directory (consumed). Atomic under crashes:
  // after a restart either the old or the new state is there, whole. DISK_FULL: nothing happened,
  // try again later.
  virtual Status InstallSnapshot(const std::string& directory, const SnapshotMark& mark) = 0;
};

}  // namespace flotilla::raft
