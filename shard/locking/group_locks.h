// GroupLocks: the lock table of a group that this node leads, and the requests that wait in it.
//
// Open while the node leads: what comes before or after finds nothing in its way, and goes on to
// where it is turned away.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "shard/locking/lock_table.h"
#include "shard/locking/wait_report.h"
#include "shard/pending_batch.h"

namespace flotilla {

class GroupLocks {
 public:
  using Blocker = LockTable::Blocker;
  struct Taken {
    LockTable::Answer answer = LockTable::Answer::kHeld;
    Blocker blocker = {};  // kRefused
  };
  // Requests that can go on, and such as nobody waits for any more.
  struct Freed {
    std::vector<Ticket> go_on;
    std::vector<Ticket> dropped;
  };

  // Nobody has a lock, and nothing waits.
  bool empty() const { return !in_use_.load(); }
  bool waits() const { return waits_.load(); }

  // kWaits: the ticket is kept, and comes back.
  Taken Acquire(const LockRequest& request, std::vector<LockSpan> spans, MonoTime now,
                const Ticket& ticket);
  // Of a write, before it is proposed; likewise. One that has come back holds what it needs.
  Taken Pass(const Ticket& ticket, MonoTime now);
  bool Holds(kv::TxnId txn, const LockSpan& span) const;

  // A write has taken effect, or failed, or is to wait for something else.
  Freed Done(const Ticket& ticket);
  Freed Release(kv::TxnId txn);
  // Drops those that were answered elsewhere, and, as such as may go on, those that lie elsewhere.
  Freed Tidy(std::string_view start, std::string_view end);
  struct Late {
    Ticket ticket;
    Blocker blocker;
    Duration waited{0};
  };
  // Those whose time is up; they wait no more.
  std::vector<Late> TakeLate(MonoTime now, Freed& freed);
  // Requests of the transaction that wait here.
  std::vector<Ticket> TakeWaiting(kv::TxnId txn, Freed& freed);

  void Open();
  // Everything is forgotten; those that waited.
  std::vector<Ticket> Close();

  // Of transactions that have waited for so long.
  std::vector<ReportedWait> Waits(MonoTime now, Duration at_least, std::size_t count) const;
  std::vector<LockTable::Holder> Holders() const;
  std::vector<LockTable::Listed> List(MonoTime now, std::size_t count) const;

 private:
  using Key = std::pair<const PendingBatch*, std::uint32_t>;
  static Key KeyOf(const Ticket& ticket) { return {ticket.batch.get(), ticket.slot}; }
  // All with the lock held.
  Freed Take(const LockTable::Freed& freed);
  Ticket TakeTicket(LockTable::Number number);
  void Note();

  mutable std::mutex mutex_;
  bool open_ = false;
  LockTable table_;
  std::map<LockTable::Number, Ticket> waiting_;
  std::map<Key, LockTable::Number> passing_;     // writes that wait, or hold what they waited for
  std::map<LockTable::Number, Ticket> granted_;  // of them, those that hold it
  std::atomic<bool> in_use_{false};
  std::atomic<bool> waits_{false};
};

}  // namespace flotilla
