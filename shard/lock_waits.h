// LockWaits: requests that cannot go on at one group before a transaction has come to its end
// there.
//
// Place in the picture: a replica puts in what its store has turned away, and is given it back when
// the store says that the transaction holds nothing there any more. Whoever was given nothing to
// wait for finds its transaction gone already: see Wait().
//
// A transaction that is being prepared waits for younger ones as long as it takes, and for older
// ones for a moment only, in which one that has committed is resolved: of two that stand in each
// other's way in different groups one is refused, so that no waits go round in circles (wait-die:
// Rosenkrantz, Stearns, Lewis: System Level Concurrency Control, 1978).
//
// Any thread.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

#include "kv/txn/locks.h"
#include "shard/locking/wait_report.h"
#include "shard/pending_batch.h"

namespace flotilla {

class LockWaits {
 public:
  // Look afterwards whether the transaction is still there: if not, Take() may have come before.
  void Wait(kv::TxnId txn, Ticket ticket);
  // Those that wait for it.
  std::vector<Ticket> Take(kv::TxnId txn);
  std::vector<Ticket> TakeAll();

  // Transactions that wait here, for whom.
  std::vector<ReportedWait> Waits(std::size_t count) const;
  std::vector<Ticket> TakeOf(kv::TxnId waiter);

  // Steps of younger transactions that have waited for this one long enough.
  std::vector<Ticket> TakeYounger(kv::TxnId txn);

 private:
  void ForgetAnswered();

  mutable std::mutex mutex_;
  std::map<kv::TxnId, std::vector<Ticket>> waiting_;
  std::size_t count_ = 0;
  std::size_t forget_at_ = 1024;
};

}  // namespace flotilla
