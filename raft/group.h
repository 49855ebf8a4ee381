// Group: drives one member of one Raft group: core, log, transport, state machine.
//
// Purpose: carries out what the core asks for, in the order that keeps it correct, and brings the
// results back as inputs. Whatever arrives while the group is busy is handled in one go the next
// time: messages, completions, proposals and reads form batches by themselves.
//
//      messages, ticks, completions ──▶ inbox ──▶ Run() on the raft strand ──▶ core
//                                                      │ Ready
//                      ┌───────────────┬───────────────┼──────────────┐
//                      ▼               ▼               ▼              ▼
//                  Persister       transport       ApplyPump     snapshots
//
// Place in the picture: below shard/replica.h, which proposes and reads through it.
// Threads: methods marked "any thread" may be called from anywhere, all others on the raft strand.
#pragma once

#include <spdlog/logger.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/status.h"
#include "raft/apply_pump.h"
#include "raft/core/core.h"
#include "raft/held_log.h"
#include "raft/log/log.h"
#include "raft/persister.h"
#include "raft/sender.h"
#include "raft/snapshot_transfer.h"
#include "raft/state_machine.h"
#include "raft/transport/transport.h"

namespace flotilla::raft {

struct GroupOptions {
  GroupId group;
  CoreOptions core;
  // Log bytes after which the state machine is flushed and the log's prefix released.
  std::uint64_t compact_after_bytes = 256 << 20;
  // What one Tick() stands for. Needed with leases only.
  Duration tick{0};
};

// What a group's owner learns; all on the raft strand.
class GroupListener {
 public:
  virtual ~GroupListener() = default;
  // The group is about to look at its core: propose and read now what has gathered.
  virtual void OnRun() = 0;
  virtual void OnLeadership(const LeadershipChange& change) = 0;
  virtual void OnApplied(Index index) = 0;
  virtual void OnReadConfirmed(const ReadConfirmed& read) = 0;
  virtual void OnReadRefused(const ReadRefused& read) = 0;
  // It was asleep, and needs ticks again.
  virtual void OnAwake() = 0;
  // A configuration is in force (not necessarily committed).
  virtual void OnConfiguration(const Configuration& configuration) = 0;
  // The replica cannot go on: its data is damaged or its disk failed.
  virtual void OnFatal(const Status& status) = 0;
};

class Group {
 public:
  // Outlive the group.
  struct World {
    Executor* executor = nullptr;
    const Clock* clock = nullptr;
    Log* log = nullptr;
    Transport* transport = nullptr;
    // Reads of log entries that have left the cache.
    Strand* catch_up = nullptr;
    SnapshotTransfer* snapshots = nullptr;
    StateMachine* machine = nullptr;
    GroupListener* listener = nullptr;
    std::shared_ptr<spdlog::logger> logger;
  };

  // `recovered`: the group's part of the log, already reconciled with the state machine.
  Group(const GroupOptions& options, const World& world, const RestoredState& recovered);
  ~Group();

  // ---- any thread ----------------------------------------------------------------------------

  // Handles messages of peers.
  void Receive(std::vector<Message> messages);
  // One tick of time has passed. Not needed while it is asleep, which it is not at first.
  void Tick();
  bool asleep() const { return asleep_.load(std::memory_order_relaxed); }
  // The newest term that it has been in; known here before any message of that term leaves.
  Term term() const { return Term(term_.load()); }
  // Calls the listener's OnRun() soon; cheap when a run is on its way already.
  void Schedule();
  // Runs `closure` on the raft strand, followed by a look at the core.
  void Post(Closure closure);
  void PostToApply(Closure closure);
  // Lets nothing more happen: fails what waits. The strand may still run empty closures.
  void Stop();
  // Drops what waits, which may hold this group itself. Once its strands run nothing any more.
  void Abandon();
  // Stops, while the node lives on. `done` runs on the executor's pool once nothing calls this
  // group any more, its state machine's flushes included: whoever has it may destroy it then. Waits
  // for a snapshot that is being sent. Once.
  void Retire(Closure done);
  // Who holds this may call the group after it has stopped. Null when it has been let go.
  std::shared_ptr<void> Hold() const { return last_call_.lock(); }

  // ---- raft strand ---------------------------------------------------------------------------

  const Core& core() const { return *core_; }
  // The log or the state machine waits for space.
  bool disk_full() const { return persister_->disk_full() || pump_->out_of_space(); }
  Index applied() const { return applied_; }

  // Appends one entry, a kCommand or a kControl; on success the proposal is answered by the state
  // machine, or failed when it is known or presumed lost. On refusal it is left with the caller.
  ProposeResult Propose(Bytes payload, std::unique_ptr<Proposal>& proposal,
                        EntryKind kind = EntryKind::kCommand);
  void ReadIndex(std::uint64_t context);
  MembershipRefusal ProposeMembership(MembershipChange change);
  bool TransferLeadership(NodeId target);
  void StepDown();
  // Fails the proposals that were not applied with OUTCOME_UNKNOWN: others may finish them.
  void AbandonProposals();
  void Wake();
  void KeepAwake() { core_->KeepAwake(); }
  void Campaign();
  void ReportUnreachable(NodeId node);

  // Flushes the state machine and releases the log that it covers. `done` gets the index up to
  // which the log could go; on any thread.
  void Compact(UniqueFunction<void(StatusOr<Index>)> done);
  // Bytes of log after its start, as far as this process has seen them.
  std::uint64_t log_bytes() const { return log_bytes_; }

 private:
  struct Inbox {
    std::vector<Message> messages;
    std::vector<std::pair<std::uint64_t, Status>> completions;
    std::vector<Closure> closures;
    Index applied;
    int ticks = 0;
  };

  // Adds to the inbox and makes sure that a run follows: on the strand, or, if it is idle, here and
  // now. Any thread.
  // Gone when nothing outside has a hold on the group; then `done` runs, if there is one.
  struct LastCall {
    explicit LastCall(Executor* where) : executor(where) {}
    LastCall(const LastCall&) = delete;
    LastCall& operator=(const LastCall&) = delete;
    ~LastCall() {
      if (done) executor->Post(std::move(done));
    }
    Executor* const executor;
    Closure done;
  };

  template <class Add>
  void Push(Add add);
  template <class Add>
  void PushNow(Add add);
  // True: the caller has to see to the run.
  template <class Add>
  bool Note(Add add);
  void Run();
  void OnApplied(Index index);
  void LetGo();
  void DrainReady();
  void CarryOut(Ready ready);
  void Commit(IndexRange range);
  void FailOverwritten(Index first);
  void OnTick();
  bool TicksByClock() const;
  void CatchUpTicks();
  void StepMessage(Message message);
  void SendSnapshot(NodeId to);
  void EndSnapshot(NodeId to, const std::shared_ptr<std::atomic<bool>>& wanted, bool delivered,
                   const SnapshotMark& mark);
  void EndSending();
  void InstallSnapshot(const SnapshotMark& mark);
  void FinishInstall(const SnapshotMark& mark);
  void FlushedUpTo(Index durable);
  // As HeldLog::MayGo().
  Index MayGo(Index durable);
  HeldLog::For HoldsLogFor() const;
  void NoteConfiguration();
  void NoteSleep();

  const GroupOptions options_;
  const World world_;
  const std::unique_ptr<Strand> strand_;

  std::mutex mutex_;
  Inbox inbox_;
  bool scheduled_ = false;
  bool stopped_ = false;
  std::shared_ptr<LastCall> own_hold_;  // until the last run has ended
  const std::weak_ptr<LastCall> last_call_;
  std::atomic<bool> asleep_{false};
  std::atomic<std::uint64_t> term_{0};

  // Raft strand.
  bool ended_ = false;
  std::unique_ptr<Core> core_;
  std::unique_ptr<Persister> persister_;
  std::unique_ptr<ApplyPump> pump_;
  std::unique_ptr<Sender> sender_;
  struct PendingProposal {
    Term term;
    PlacedProposal placed;
  };
  std::deque<PendingProposal> proposals_;  // ascending by index
  Index applied_;
  Index configuration_index_;
  std::uint64_t log_bytes_ = 0;
  std::deque<std::pair<Index, std::uint64_t>> log_sizes_;  // per persisted batch: last index, bytes
  HeldLog held_log_;
  // Snapshots under way, by receiver, in the name of this leadership; false: no more, or another
  // is.
  std::map<NodeId, std::shared_ptr<std::atomic<bool>>> sending_;
  bool compacting_ = false;
  bool claimed_ = false;                       // a received snapshot, for this run
  bool installing_ = false;                    // it, until it is in place
  std::optional<SnapshotMark> install_again_;  // the disk was full
  int ticks_until_housekeeping_ = 0;
  // With leases, of a leader: its term, and until when its ticks count.
  Term ticked_term_;
  MonoTime ticked_to_{};
};

// Brings what the log holds of a group together with what its state machine has: after a snapshot
// install that was cut short the log is reset to the state; a gap between the two is DATA_DAMAGED.
// May block on I/O; before the group exists.
StatusOr<RestoredState> Reconcile(GroupId group, const RecoveredGroup& logged,
                                  const StateMachine& machine, bool& reset_log);

}  // namespace flotilla::raft
