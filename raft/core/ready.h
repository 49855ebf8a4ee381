// Ready: one batch of effects that a core asks its driver to carry out.
//
// What may leave at once and what must wait for the disk are different fields, so that a driver
// cannot mix them up.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "raft/core/message.h"
#include "raft/core/types.h"

namespace flotilla::raft {

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

// Names one write to the log. Completions come back in order; an older one than an overwrite of
// the same indexes must not confirm the new entries, so it says what it wrote.
struct PersistToken {
  std::uint64_t sequence = 0;  // 1, 2, 3, ... per core
  Term last_term;              // of the last entry written; zero when none was
  Index last_index;
};

// To be written in one atomic step and synced, then reported with Persisted(token).
struct PersistBatch {
  PersistToken token;
  std::optional<HardState> hard_state;
  // Replaces the log from entries.front().index on.
  std::vector<Entry> entries;
};

// A confirmed read: serve it once the state machine has applied `index`.
struct ReadConfirmed {
  std::uint64_t context = 0;
  Index index;
};

// A read that this core cannot confirm (not leading, deposed meanwhile). Ask again elsewhere.
struct ReadRefused {
  std::uint64_t context = 0;
};

// Entries at and after `first` that this core once accepted from Propose() in an earlier term were
// overwritten by another leader: their proposers learn that they did not happen.
struct Overwritten {
  Index first;
};

struct LeadershipChange {
  Role role = Role::kFollower;
  Term term;
  NodeId leader;  // zero: none known
};

struct Ready {
  std::optional<LeadershipChange> leadership;

  // Depends on nothing that is not on disk already. Its AppendRanges may name entries of `persist`:
  // hand that to the log first.
  std::vector<OutgoingMessage> send_now;

  std::optional<PersistBatch> persist;
  // Only after `persist` (and every earlier one) is durable. Empty when there is no `persist`.
  std::vector<OutgoingMessage> send_after_persist;

  // Newly committed, and durable in this node's log: to be applied in order.
  IndexRange committed;

  std::vector<ReadConfirmed> reads_confirmed;
  std::vector<ReadRefused> reads_refused;
  // To be handled before `committed`, which may already hold what took their place.
  std::optional<Overwritten> overwritten;

  // These followers need a snapshot; answer each with SnapshotSent().
  std::vector<NodeId> snapshot_wanted_by;
  // A snapshot that the driver has received and announced (SnapshotRequest) was accepted: reset the
  // log to it and install the state, then report SnapshotInstalled(). Until then nothing is
  // appended or committed. A stale or second one is ignored: no install follows its announcement.
  std::optional<SnapshotMark> install;
};

}  // namespace flotilla::raft
