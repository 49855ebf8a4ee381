// Coordinator: commits transactions, in two phases where they touch several groups.
//
//   Commit() ──▶ plan ──▶ prepare all parts ──▶ all prepared: committed, the client is answered
//                                          └──▶ Settle() in the background: decide, resolve, forget
//
// All prepared is committed (kv/txn/README.md), at the largest of their timestamps, so that the
// client waits for one round of replication; the record at the anchor is written afterwards.
//
// On the strand of its scope.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "base/task.h"
#include "shard/txn/calls.h"
#include "shard/txn/plan.h"

namespace flotilla {

class Coordinator {
 public:
  // Both outlive it.
  Coordinator(TxnCalls* calls, TaskScope* scope) : calls_(calls), scope_(scope) {}

  // With the commit's timestamp. TXN_CONFLICT, TXN_ABORTED and errors other than OUTCOME_UNKNOWN:
  // nothing happened, and never will.
  Task<StatusOr<Timestamp>> Commit(CommitRequest request, MonoTime deadline);
  // The same of a transaction that carries out a session's write: with its answer, which is that of
  // the first time (kRepeated) if there was one. Also CONDITION_FAILED, SESSION_EXPIRED: that is
  // it.
  Task<StatusOr<kv::WriteResult>> CommitWrite(CommitRequest request, MonoTime deadline);

  // Transactions that have been answered, and of which something is left. Any thread.
  std::uint64_t settling() const { return settling_.load(); }

 private:
  struct Ending {
    kv::TxnId txn;
    std::string anchor = {};
    std::uint64_t valid_until_ms = 0;
    std::vector<kv::TxnPart> spans = {};
    Timestamp commit = {};  // zero: rolled back
    bool decided = false;
  };
  Task<StatusOr<Timestamp>> LookUp(Ending ending, MonoTime deadline);
  Task<> Settle(Ending ending);
  void Spawn(Ending ending);

  TxnCalls* const calls_;
  TaskScope* const scope_;
  std::atomic<std::uint64_t> settling_{0};
};

}  // namespace flotilla
