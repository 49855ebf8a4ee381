// Persister: a group's writes to the node's log, and the messages that wait for them.
//
// Place in the picture: part of raft/group.h; on the raft strand, but for the log's completions,
// which the group brings back to it.
//
// Invariant: tokens are reported to the core in order, each after its write and all earlier ones
// are durable; messages held for a write leave after that. A disk that was full is tried again,
// with all writes in their order, since nothing of a refused write reached it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/function.h"
#include "base/status.h"
#include "raft/core/ready.h"
#include "raft/log/log.h"

namespace flotilla::raft {

class Persister {
 public:
  struct Callbacks {
    // The log has finished the write of this number, somewhere: bring it back to the raft strand
    // and call OnCompletion() there.
    std::function<void(std::uint64_t number, Status status)> on_completion;
    // Durable, in order.
    std::function<void(const PersistToken& token)> on_persisted;
    std::function<void(std::vector<OutgoingMessage> messages)> on_release;
    // What keeps the group until on_completion has been called.
    std::function<std::shared_ptr<void>()> hold = [] { return nullptr; };
  };

  Persister(GroupId group, Log* log, Callbacks callbacks);

  // Writes the batch; `held` leaves once it and everything before is durable.
  void Write(PersistBatch batch, std::vector<OutgoingMessage> held);
  // A snapshot takes the place of the log up to here, once all that was handed in before is
  // written; `done` runs when that is durable.
  void Reset(Index index, Term term, Closure done);
  // Messages without a write of their own: behind the last one, or at once.
  void Hold(std::vector<OutgoingMessage> held);

  void OnCompletion(std::uint64_t number, const Status& status);

  // True from a refusal for want of space until a retry succeeded.
  bool disk_full() const { return disk_full_; }
  // Nothing is being written: everything handed in is durable.
  bool idle() const { return pending_.empty(); }
  // Writes what was refused again. Called now and then while disk_full().
  void RetryIfFull();

 private:
  struct Pending {
    std::uint64_t number = 0;
    PersistBatch batch;
    std::vector<OutgoingMessage> held;
    std::optional<std::pair<Index, Term>> reset_to;  // instead of a batch
    Closure after_reset;
    bool in_log = false;  // handed to the log, completion outstanding
    bool durable = false;
  };

  void Submit(Pending& pending);

  const GroupId group_;
  Log* const log_;
  const Callbacks callbacks_;
  std::uint64_t next_number_ = 1;
  std::deque<Pending> pending_;
  bool disk_full_ = false;
};

}  // namespace flotilla::raft
