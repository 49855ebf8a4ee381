// ApplyPump: carries committed entries of one group from the log into its state machine.
//
// Place in the picture: between raft/group.h (raft strand), which says what is committed, and the
// StateMachine, which it calls on the group's apply strand, so that a memtable stall never delays a
// heartbeat. Whatever was committed while a batch was being applied goes into the next one. A few
// entries that wait for nothing, when nothing else is under way, are applied on the caller's
// thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/function.h"
#include "base/status.h"
#include "raft/core/types.h"
#include "raft/log/log.h"
#include "raft/state_machine.h"

namespace flotilla::raft {

// A proposal of this node and the entry that carries it.
struct PlacedProposal {
  Index index;
  std::unique_ptr<Proposal> proposal;
};

class ApplyPump {
 public:
  struct Callbacks {
    // The state machine has everything up to here. On the apply strand, perhaps inside Enqueue().
    std::function<void(Index)> on_applied;
    // It cannot go on. On the apply strand, once; nothing is applied afterwards.
    std::function<void(Status)> on_fatal;
    // What keeps the group until the apply strand is done.
    std::function<std::shared_ptr<void>()> hold = [] { return nullptr; };
  };

  ApplyPump(GroupId group, Log* log, StateMachine* machine, std::unique_ptr<Strand> strand,
            Callbacks callbacks);

  // The next committed run; follows the one before without a gap. `proposals` ascend. Any thread,
  // one at a time.
  void Enqueue(IndexRange range, std::vector<PlacedProposal> proposals);

  // Runs `closure` on the apply strand after what was enqueued so far.
  void Post(Closure closure);

  // The state machine waits for space on the disk. Any thread.
  bool out_of_space() const { return out_of_space_.load(std::memory_order_relaxed); }

  // Fails the proposals that wait and applies nothing more. Any thread.
  void Stop();
  // Drops what waits. Once the strand runs nothing any more.
  void Abandon();

 private:
  struct Work {
    IndexRange range;
    std::vector<PlacedProposal> proposals;
    Closure closure;        // instead of a range
    std::size_t taken = 0;  // proposals that went with their entries
  };

  void Push(Work work);
  void Run();
  // On whichever thread: what waits for nothing; the rest is left to Run().
  void RunAtOnce();
  bool AtOnce() const;
  // Adds what has gathered to the backlog; false when stopped.
  bool TakeQueue();
  // Applies until nothing is left, or no space.
  void Drain();
  Status ApplyRange(Work& work);

  const GroupId group_;
  Log* const log_;
  StateMachine* const machine_;
  const Callbacks callbacks_;

  std::mutex mutex_;
  std::vector<Work> queue_;
  bool scheduled_ = false;
  bool stopped_ = false;

  // Apply strand.
  std::deque<Work> backlog_;
  bool retry_scheduled_ = false;
  bool failed_ = false;

  std::atomic<bool> out_of_space_{false};

  const std::unique_ptr<Strand> strand_;  // ends before the rest
};

}  // namespace flotilla::raft
