// TxnSteps: what the steps of transactions do, given the state and the log alone.
//
// Place in the picture: the evaluator (kv/evaluator.h) hands the commands of transactions on to it;
// versions go through the evaluator, locks through Locks and the batch. Apply strand.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kv/evaluator.h"
#include "kv/txn/command.h"
#include "kv/txn/locks.h"
#include "kv/txn/rows.h"

namespace flotilla::kv {

class TxnSteps {
 public:
  TxnSteps(Evaluator& versions, const ShardRange& range, Locks& locks, Sessions& sessions)
      : versions_(versions), range_(range), locks_(locks), sessions_(sessions) {}

  // `at`: of the command in the log.
  // `entry`: the first timestamp of its log entry.
  WriteResult Apply(const TxnCommand& command, Timestamp entry, Timestamp at);
  // All commands of the entry were applied.
  void EndEntry(Timestamp entry);
  // Records and fences that no step can need any more go, some of them.
  void ForgetNeedless(Timestamp at);

 private:
  // One step.
  struct Context {
    std::string_view key;
    TxnId txn;
    Timestamp entry;
    Timestamp at;
  };
  WriteResult Apply(const Context& context, const TxnPrepare& prepare);
  WriteResult Apply(const Context& context, const TxnFence& fence);
  WriteResult Apply(const Context& context, const TxnDecide& decide);
  WriteResult Apply(const Context& context, const TxnResolve& resolve);
  WriteResult Apply(const Context& context, const TxnForget& forget);
  WriteResult Apply(const Context& context, const TxnDecline& decline);
  // Of what the group holds from the routing key to `last`; `commit` zero: it goes.
  WriteResult Resolve(const Context& context, std::string_view last, Timestamp commit);
  // Of a transaction that is over.
  WriteResult ResolveAs(const Context& context, const TxnRecord& record, std::string_view last);
  bool Forget(std::string_view anchor, TxnId txn);

  bool HoldsAll(const TxnPrepare& prepare) const;
  // What it was answered when it came before; nothing: it has not.
  bool CameBefore(const Context& context, const TxnPrepare& prepare, WriteResult& result) const;
  // What the session's write was answered; nothing: it has not been.
  std::optional<WriteResult> AnsweredBefore(const Context& context, const Session& session) const;
  // It is committed: whoever repeats the session's write is to be told.
  void Remember(const TxnSession& session, Timestamp commit, Timestamp at);
  // Somebody's lock in the way, or a version that the transaction must not miss.
  bool IsObstructed(const Context& context, const TxnPrepare& prepare, WriteResult& result);
  bool HasChanged(const Context& context, std::string_view key, Timestamp limit, bool exact,
                  WriteResult& result);
  void Lock(const Context& context, const TxnPrepare& prepare);
  void SetRecord(std::string_view anchor, TxnId txn, TxnRecord record);
  void Put(LockTag tag, std::string_view key, TxnId txn, std::string value);
  void Remove(LockTag tag, std::string_view key, TxnId txn);

  Evaluator& versions_;
  const ShardRange& range_;
  Locks& locks_;
  Sessions& sessions_;
};

}  // namespace flotilla::kv
