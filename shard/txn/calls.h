// TxnCalls: the steps of transactions (kv/txn/command.h) as calls of a gateway, for flows.
//
// On the strand of a scope.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/task.h"
#include "kv/txn/command.h"
#include "shard/directory/directory.h"
#include "shard/gateway.h"
#include "shard/txn/plan.h"

namespace flotilla {

class TxnCalls {
 public:
  struct World {
    Gateway* gateway = nullptr;
    // The same, but WRONG_SHARD is an answer.
    std::function<void(std::vector<GatewayRequest>, std::shared_ptr<AnswerSink>)> submit_once;
    const Directory* directory = nullptr;
    const Clock* clock = nullptr;
    std::function<NodeId()> self;
  };
  explicit TxnCalls(World world) : world_(std::move(world)) {}

  // Any one call.
  Task<GatewayAnswer> Ask(GatewayCall call, MonoTime deadline);
  // One step, at the routing key's group.
  Task<GatewayAnswer> Step(kv::TxnId txn, std::string key, decltype(kv::TxnCommand::step) step,
                           MonoTime deadline);
  // All at the same time; answers in their order.
  Task<std::vector<GatewayAnswer>> Steps(std::vector<Bytes> commands);
  // All parts, at the same time; answers in their order. A part that a group turns away since its
  // shard has changed is asked for again, as long as one group holds all of it: TXN_CONFLICT else.
  Task<std::vector<GatewayAnswer>> Prepare(std::vector<CommitPlan::Part> parts, MonoTime deadline);

  // OK with its timestamp: it is prepared; TXN_ABORTED: it never will be.
  Task<StatusOr<Timestamp>> Fence(kv::TxnId txn, kv::TxnPart part, std::uint32_t number,
                                  std::uint64_t valid_until_ms);
  // What the record says from then on: OK with the commit's timestamp; TXN_ABORTED;
  // CONDITION_FAILED (if_absent).
  Task<StatusOr<Timestamp>> Decide(kv::TxnId txn, std::string anchor, kv::TxnDecide decide,
                                   MonoTime deadline);
  Task<StatusOr<std::optional<kv::TxnRecord>>> Record(kv::TxnId txn, std::string anchor);
  // In all groups that have a part of the span; of a keyspace that was dropped nothing is left.
  // Zero: rolled back.
  Task<Status> Resolve(kv::TxnId txn, kv::TxnPart span, Timestamp commit);
  // All spans, a few at a time, and then the record: nothing of the transaction is left.
  Task<Status> Finish(kv::TxnId txn, std::string anchor, std::vector<kv::TxnPart> spans,
                      Timestamp commit);

  // The keyspace of what was asked for is not there any more.
  static bool IsDropped(const Status& status) {
    return ReasonOf(status) == Reason::kKeyspaceNotFound;
  }

  // What Fence() or Decide() asked for is settled: one way, or, TXN_ABORTED, the other.
  static bool IsKnown(const StatusOr<Timestamp>& answer) {
    return answer.ok() || ReasonOf(answer.status()) == Reason::kTxnAborted;
  }

  const World& world() const { return world_; }

 private:
  MonoTime Soon() const;

  const World world_;
};

}  // namespace flotilla
