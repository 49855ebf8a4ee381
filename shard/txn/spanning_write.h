// SpanningWrite: atomic writes whose keys lie in several shards, each as a transaction.
//
//   command ──▶ what it must know, as of a fresh timestamp ──▶ conditions hold? ──▶ Coordinator
//                  ▲                                                │ no
//                  └── TXN_CONFLICT: begun anew, in time            └─▶ CONDITION_FAILED
//
// Puts without a condition read nothing, so that no conflict is in their way.
//
// Exactly once: a write of a client's session has an anchor that all its tries have in common, and
// all of them put an intent there. So of two tries the later one waits at the anchor's group for
// the end of the first, and finds the answer in the session then, which is remembered in the entry
// that commits it. A condition that does not hold is remembered there as well, before it is told:
// else a try that is under way elsewhere might yet be committed, or have made it so.
//
// On the strand of its scope.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/task.h"
#include "kv/command.h"
#include "shard/txn/calls.h"
#include "shard/txn/coordinator.h"
#include "shard/txn/read_set.h"
#include "shard/txn/write_buffer.h"

namespace flotilla {

class SpanningWrite {
 public:
  // A fresh timestamp of the oracle.
  using Take = std::function<void(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)>)>;
  // All outlive its tasks.
  SpanningWrite(TxnCalls* calls, Coordinator* coordinator, Take timestamp)
      : calls_(calls), coordinator_(coordinator), timestamp_(std::move(timestamp)) {}

  // An encoded kv::CommandView. Answers as a group does whose are all of its keys. TXN_CONFLICT: it
  // was refused until its time was up; nothing happened, but for what earlier tries may have done.
  Task<GatewayAnswer> Run(Bytes encoded, MonoTime deadline);

 private:
  // One try.
  struct Attempt {
    Timestamp start;
    MonoTime begun;
    kv::CommandView command;  // views into the encoded one
    std::map<std::string, kv::GetResult, std::less<>> found;
    // The keys of range i of the command.
    std::vector<std::vector<std::string>> ranges;
    ReadSet reads;
  };
  Task<GatewayAnswer> Try(std::shared_ptr<Attempt> attempt, MonoTime deadline);
  Task<Status> ReadKeys(std::shared_ptr<Attempt> attempt, MonoTime deadline);
  Task<Status> ReadRanges(std::shared_ptr<Attempt> attempt, MonoTime deadline);
  Task<GatewayAnswer> Decline(std::shared_ptr<Attempt> attempt, kv::TxnDecline decline,
                              MonoTime deadline);

  TxnCalls* const calls_;
  Coordinator* const coordinator_;
  const Take timestamp_;
};

}  // namespace flotilla
