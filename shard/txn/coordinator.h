// Coordinator: commits transactions, in two phases where they touch several groups.
//
//   Commit() ──▶ plan ──▶ prepare all parts ──▶ all prepared: committed, the client is answered
//                                          └──▶ Finisher, behind its back: decide, resolve, forget
//
// All prepared is committed (kv/txn/README.md), at the largest of their timestamps, so that the
// client waits for one round of replication; the record at the anchor is written afterwards.
//
// On the strand of its scope.
#pragma once

#include "base/task.h"
#include "shard/txn/calls.h"
#include "shard/txn/finisher.h"
#include "shard/txn/plan.h"

namespace flotilla {

class Coordinator {
 public:
  // Both outlive it.
  Coordinator(TxnCalls* calls, TaskScope* scope) : calls_(calls), finisher_(calls, scope) {}

  // With the commit's timestamp. TXN_CONFLICT, TXN_ABORTED and errors other than OUTCOME_UNKNOWN:
  // nothing happened, and never will.
  Task<StatusOr<Timestamp>> Commit(CommitRequest request, MonoTime deadline);
  // The same of a transaction that carries out a session's write: with its answer, which is that of
  // the first time (kRepeated) if there was one. Also CONDITION_FAILED, SESSION_EXPIRED: that is
  // it.
  Task<StatusOr<kv::WriteResult>> CommitWrite(CommitRequest request, MonoTime deadline);

  // Of transactions that have been answered, and of which something is left.
  Finisher& finisher() { return finisher_; }

 private:
  Task<StatusOr<Timestamp>> LookUp(Finisher::Ending ending, MonoTime deadline);

  TxnCalls* const calls_;
  Finisher finisher_;
};

}  // namespace flotilla
