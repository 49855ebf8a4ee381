// Replica: one node's member of one group: its state machine, and the reads and writes on it.
//
// Purpose: turns requests into log entries and confirmed reads. What gathers while the group is
// busy becomes one entry and one read index; a lone request waits for nothing.
//
//   Submit() ──▶ pending ──▶ OnRun (raft strand) ──┬─▶ writes: timestamps, one entry ──▶ apply ──▶
//                                                  answers
//                                                  └─▶ reads: read index ──▶ applied? ──▶ pool ──▶
//                                                  answers
//
// Place in the picture: between the gateway and raft/group.h. A request that this node cannot serve
// because it does not lead goes back to the gateway (ReplicaHost::OnMisrouted).
#pragma once

#include <spdlog/logger.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "kv/store.h"
#include "raft/group.h"
#include "shard/load_meter.h"
#include "shard/local_timestamps.h"
#include "shard/lock_waits.h"
#include "shard/locking/group_locks.h"
#include "shard/membership.h"
#include "shard/oracle/asker.h"
#include "shard/oracle/timestamp_source.h"
#include "shard/pending_batch.h"

namespace flotilla {

// What a replica's node learns from it; on the raft strand.
class ReplicaHost {
 public:
  virtual ~ReplicaHost() = default;
  // These were not begun, or had no effect; `leader` may be zero (none known).
  virtual void OnMisrouted(GroupId group, NodeId leader, std::vector<Ticket> tickets) = 0;
  virtual void OnLeader(GroupId group, NodeId leader, bool self) = 0;
  virtual void OnAwake(GroupId group) = 0;
  // `settled`: it cannot be lost any more.
  virtual void OnMembers(GroupId group, const raft::Configuration& configuration, bool settled) = 0;
  virtual void OnReplicaFatal(GroupId group, const Status& status) = 0;
  // Somebody waits for a transaction; on any thread.
  virtual void OnObstacle(GroupId group, const kv::Obstacle& obstacle) = 0;
  // A transaction, or somebody in the way of one, waits; on any thread.
  virtual void OnLockWait() = 0;
};

class Replica final : private raft::GroupListener, public std::enable_shared_from_this<Replica> {
 public:
  struct World {
    Executor* executor = nullptr;
    const Clock* clock = nullptr;
    ReplicaHost* host = nullptr;
    std::shared_ptr<spdlog::logger> logger;
    // Of the writes' timestamps; outlives the replica. Null: its own, as the directory's group has.
    TimestampSource* timestamps = nullptr;
    raft::Group::World group;  // machine and listener are filled in
  };

  // To be held by a shared pointer.
  Replica(const raft::GroupOptions& options, const World& world, std::unique_ptr<kv::Store> store,
          const raft::RestoredState& restored);
  ~Replica() override;

  // ---- any thread ----------------------------------------------------------------------------

  // Linearizable reads and writes. Answered, or handed back by OnMisrouted.
  void Submit(std::vector<Ticket> tickets);
  // Serves reads from the state as it is, in the calling thread.
  void ReadLocal(const std::vector<Ticket>& tickets);
  // Calls back, on the raft strand, with the term in which this node surely led the group at some
  // moment after this call, or after what the asker has seen, and had applied all of earlier terms.
  // NOT_LEADER, NODE_STOPPING.
  void ConfirmLeadership(const OracleAsker& asker, UniqueFunction<void(StatusOr<raft::Term>)> done);

  void Receive(std::vector<raft::Message> messages) { group_->Receive(std::move(messages)); }
  void Tick() { group_->Tick(); }
  bool asleep() const { return group_->asleep(); }
  // Asleep, although keys are about to expire.
  bool Overslept() const { return leads() && asleep() && ExpiryIsNear(); }
  // The leader brings the group's time to about this, which is now, though nothing is written. It
  // may come to nothing. Any thread.
  void MoveTimeTo(std::uint64_t ms);
  // The node's disk is nearly full: writes are refused.
  void SetSpaceIsLow(bool low) { space_is_low_.store(low, std::memory_order_relaxed); }

  LoadMeter& load() { return load_; }
  // It is a member of the group, as far as this replica knows. Any thread.
  bool HasMember(NodeId node) const {
    std::lock_guard lock(mutex_);
    return configuration_.Contains(node);
  }
  // As far as this replica knows. Any thread.
  raft::Configuration configuration() const {
    std::lock_guard lock(mutex_);
    return configuration_;
  }
  // Members that lag, as the leader saw it last.
  std::set<NodeId> behind() const {
    std::lock_guard lock(behind_mutex_);
    return behind_;
  }
  void SetBehind(std::set<NodeId> behind) {
    std::lock_guard lock(behind_mutex_);
    behind_ = std::move(behind);
  }

  GroupId id() const { return id_; }
  NodeId leader() const { return NodeId(leader_.load(std::memory_order_relaxed)); }
  bool leads() const { return leads_.load(std::memory_order_relaxed); }
  // It leads, and serves.
  bool serving_leader() const { return serving_.load(std::memory_order_relaxed); }
  raft::Group& group() { return *group_; }
  kv::Store& store() { return *store_; }

  // ---- raft strand (reach it with group().Post) ------------------------------------------------

  Membership& membership() { return *membership_; }
  // Calls `done` with the node that leads after the transfer; NOT_LEADER when this one does not.
  void TransferLeadership(NodeId target, MonoTime deadline,
                          UniqueFunction<void(StatusOr<NodeId>)> done);
  // A change of the group itself. NOT_LEADER; SHARD_BUSY: not now; OUTCOME_UNKNOWN.
  using ControlDone = UniqueFunction<void(StatusOr<kv::ControlResult>)>;
  void ProposeControl(const kv::ControlCommand& command, ControlDone done);
  // To the best of the others, or else to whom they elect; called again until it has happened. Not
  // when there is no other voter.
  void GiveLeadershipAway();

  // The lock is there for longer than resolving it takes: refuses steps of younger transactions
  // that wait for it. Any thread.
  void RefuseYounger(const kv::Obstacle& obstacle);

  // ---- locks; any thread -----------------------------------------------------------------------

  const GroupLocks& locks() const { return locks_; }
  // The transaction has ended, or has let go of what it had locked here.
  void Unlock(kv::TxnId txn);
  // Ends waits whose time is up, and those that are out of place.
  void TendLocks(MonoTime now);
  // Transactions that have waited here for so long.
  std::vector<ReportedWait> TxnWaits(MonoTime now, Duration at_least, std::size_t count) const;
  // Whether the transaction waited here; it gets this instead.
  bool RefuseWaits(kv::TxnId txn, const Status& status);

  // Fails what waits. Any thread; see raft::Group::Stop().
  void Stop();
  // Stop(), while the node lives on and no longer finds this replica. `done` runs on the pool once
  // nothing is under way in it: let it go then, and with it its state machine, which flushes
  // nothing. Any thread; once. See raft::Group::Retire().
  void Retire(Closure done);

 private:
  class EntryProposal;
  struct Confirm {
    OracleAsker asker;
    UniqueFunction<void(StatusOr<raft::Term>)> done;
  };
  // What waits for one confirmation of leadership.
  struct Round {
    std::vector<Ticket> reads;
    std::vector<Confirm> confirms;
    raft::Index after;  // the reads wait for this entry as well
  };
  // Timestamps that were asked for.
  struct Grant {
    std::uint64_t number = 0;  // of the question
    std::uint64_t count = 0;
    StatusOr<Timestamp> first;
  };
  struct TransferWait {
    MonoTime deadline;
    UniqueFunction<void(StatusOr<NodeId>)> done;
  };

  // raft::GroupListener
  void OnRun() override;
  void OnLeadership(const raft::LeadershipChange& change) override;
  void OnApplied(raft::Index index) override;
  void OnReadConfirmed(const raft::ReadConfirmed& read) override;
  void OnReadRefused(const raft::ReadRefused& read) override;
  void OnAwake() override { world_.host->OnAwake(id_); }
  void OnConfiguration(const raft::Configuration& configuration) override;
  void OnFatal(const Status& status) override;

  // replica_writes.cc
  void ProposeWrites();
  bool DiskFull() const {
    return space_is_low_.load(std::memory_order_relaxed) || group_->disk_full();
  }
  bool WayIsFree() const;
  // For the first `count` writes that wait, or for an expiry.
  void TakeTimestamps(std::uint64_t count);
  void OnGranted(const Grant& grant);
  void ProposeStamped(Timestamp first, std::uint64_t count);
  // False when the group refused for now.
  bool ProposeEntry(Timestamp first, std::vector<Ticket> tickets);
  // Replicated time is to pass this: a key expires, or somebody wants it to; 0: nobody does.
  std::uint64_t TimeWantedMs() const;
  bool ExpiryIsNear() const;
  void ProposeExpiry();
  void MoveTime(Timestamp to);
  void FailWrites(const Status& status);

  // replica_locks.cc
  void AnswerUnlock(const Ticket& ticket);
  void TakeLocks();
  // False: it waits, or has been answered.
  bool AcquireFor(const Ticket& ticket, std::vector<LockSpan> spans, AnswerCollector& answers);
  // Of a write; likewise.
  bool MayPropose(const Ticket& ticket);
  // It has been answered, or is to wait for something else.
  void OnWritten(const Ticket& ticket, bool applied);
  void ServeLocked(const Ticket& ticket, AnswerCollector& answers);
  GatewayAnswer GetLocked(const BatchGetCall& call, std::optional<kv::Obstacle>& obstacle);
  // `again`: it has been answered, or will be served anew.
  GatewayAnswer ScanLocked(const Ticket& ticket, std::optional<kv::Obstacle>& obstacle, bool& again,
                           AnswerCollector& answers);
  // Leaves the rows that are not locked by others. False: as `again`.
  bool SkipLocked(const Ticket& ticket, std::size_t limit, kv::ScanPage& page,
                  AnswerCollector& answers);
  void Free(GroupLocks::Freed freed);

  // What those get who wait for a replica that has stopped.
  Status Ended() const;
  // Answers those whose askers complete a quorum.
  void ConfirmByAskers();
  bool ConfirmedBy(const OracleAsker& asker) const;
  void AdmitReadsAsOf();
  void GiveUncommittedReadsBack();
  // Until the transaction that is in the way holds nothing here any more. Any thread.
  void WaitFor(const kv::Obstacle& obstacle, const Ticket& ticket);
  void OnUnlocked(kv::TxnId txn);
  void GoOn(std::vector<Ticket> tickets);
  bool Stopped() const {
    std::lock_guard lock(mutex_);
    return stopped_;
  }
  void StartReads();
  void ServeReads(std::vector<Ticket> tickets);
  void Bounce();
  void BecomeServing();
  void SettleTransfers();
  AnswerOrigin Origin() const;

  const GroupId id_;
  const NodeId self_;
  const World world_;
  const std::unique_ptr<kv::Store> store_;
  LocalTimestamps local_timestamps_;
  std::unique_ptr<raft::Group> group_;
  std::unique_ptr<Membership> membership_;

  std::atomic<std::uint64_t> leader_{0};
  std::atomic<bool> leads_{false};
  std::atomic<bool> serving_{false};
  std::atomic<bool> space_is_low_{false};
  std::atomic<std::uint64_t> time_wanted_ms_{0};
  // Its keys belong to another group, and no more entries take effect here.
  std::atomic<bool> absorbed_{false};
  LoadMeter load_;
  LockWaits lock_waits_;
  GroupLocks locks_;
  mutable std::mutex behind_mutex_;
  std::set<NodeId> behind_;

  mutable std::mutex mutex_;
  raft::Configuration configuration_;
  std::vector<Ticket> submitted_;
  std::vector<Confirm> confirms_submitted_;
  std::optional<Grant> granted_;
  bool stopped_ = false;

  // Raft strand.
  std::deque<Ticket> writes_;
  std::vector<Ticket> reads_;
  std::vector<Ticket> locking_;  // reads that want locks first
  std::uint64_t next_read_ = 1;
  std::vector<Confirm> confirms_;
  std::map<std::uint64_t, Round> rounds_;
  std::multimap<raft::Index, std::vector<Ticket>> reads_applying_;
  // Reads as of a timestamp: those that are not admitted, the largest timestamp of those that are,
  // and the newest entry that was proposed before the last of these.
  std::vector<Ticket> reads_as_of_;
  Timestamp read_floor_;
  raft::Index read_after_;
  raft::Index term_start_;  // of this leadership; it serves once that is applied
  raft::Index last_proposed_;
  Timestamp last_timestamp_;  // of what it has proposed, or found
  std::uint64_t next_take_ = 1;
  std::uint64_t taking_ = 0;  // the question that is open; 0: none
  bool taking_for_writes_ = false;
  raft::Index taking_at_;  // where the log ended when it was asked
  std::uint64_t expiry_proposed_ms_ = 0;
  MonoTime expiry_not_before_{};
  std::vector<TransferWait> transfers_;
  bool giving_away_ = false;     // in this term
  raft::Configuration members_;  // as the host was told
  bool members_settled_ = false;
};

}  // namespace flotilla
