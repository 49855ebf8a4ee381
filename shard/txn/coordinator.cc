#include "shard/txn/coordinator.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/planted.h"
#include "shard/answers.h"

namespace flotilla {
namespace {

// Whether an error leaves open what happened.
bool LeavesOpen(const Status& status) {
  const Reason reason = ReasonOf(status);
  return reason == Reason::kOutcomeUnknown || reason == Reason::kInternal;
}

// Whether a part that was refused so might be prepared if a copy of its prepare came later: it met
// somebody's lock, which goes. A version that is too new stays.
bool MightPassLater(const Status& refused) {
  return ReasonOf(refused) == Reason::kTxnConflict &&
         !MetadataOf(refused).contains(std::string(kActualVersionMetadata));
}

// Of all parts.
struct Outcome {
  Timestamp latest;
  Status refused;  // some part surely was not prepared
  Status open;     // of some part it is not known
  // Another transaction has carried out the session's write.
  std::optional<kv::WriteResult> first;
};

Outcome OutcomeOf(const std::vector<GatewayAnswer>& answers) {
  Outcome outcome;
  for (const GatewayAnswer& answer : answers) {
    if (answer.status.ok()) {
      const auto& result = std::get<kv::WriteResult>(answer.result);
      if (result.outcome == kv::WriteOutcome::kRepeated) outcome.first = result;
      const Timestamp at = result.timestamp;
      outcome.latest = Planted(Plant::kCommitBeforePrepares) && outcome.latest
                           ? std::min(outcome.latest, at)
                           : std::max(outcome.latest, at);
    } else if (LeavesOpen(answer.status)) {
      if (Planted(Plant::kSilenceIsYes)) continue;
      outcome.open = answer.status;
    } else if (outcome.refused.ok() || ReasonOf(answer.status) == Reason::kTxnConflict) {
      outcome.refused = answer.status;
    }
  }
  return outcome;
}

}  // namespace

Task<StatusOr<Timestamp>> Coordinator::Commit(CommitRequest request, MonoTime deadline) {
  const StatusOr<kv::WriteResult> end = co_await CommitWrite(std::move(request), deadline);
  if (!end.ok()) co_return end.status();
  co_return end->timestamp;
}

Task<StatusOr<kv::WriteResult>> Coordinator::CommitWrite(CommitRequest request, MonoTime deadline) {
  const std::shared_ptr<const DirectoryImage> image = calls_->world().directory->image();
  request.coordinator = calls_->world().self();
  StatusOr<CommitPlan> plan = PlanCommit(request, *image);
  if (!plan.ok()) co_return plan.status();
  Finisher::Ending ending{.txn = request.txn,
                          .anchor = plan->anchor,
                          .valid_until_ms = plan->valid_until_ms,
                          .spans = {},
                          .hurried = request.holds_locks};
  for (const CommitPlan::Part& part : plan->parts) ending.spans.push_back(part.span);
  const bool one_phase = plan->one_phase();
  std::vector<CommitPlan::Part> parts = std::move(plan->parts);
  const std::vector<GatewayAnswer> answers = co_await calls_->Prepare(std::move(parts), deadline);
  const Outcome outcome = OutcomeOf(answers);
  const bool ended = outcome.first || !outcome.refused.ok();  // it will not be committed
  const bool prepared = !ended && outcome.open.ok();
  ending.commit = prepared ? outcome.latest : Timestamp();
  kv::WriteResult result;
  result.affected = request.session.affected;
  const bool refused_for_now = ended && !outcome.first && MightPassLater(outcome.refused);
  if (refused_for_now || (!prepared && !ended)) {
    const StatusOr<Timestamp> found = co_await LookUp(std::move(ending), deadline);
    if (refused_for_now && ReasonOf(found.status()) == Reason::kTxnAborted) {
      co_return outcome.refused;
    }
    if (!found.ok()) co_return found.status();
    result.timestamp = *found;
    co_return result;
  }
  if (!one_phase) finisher_.Add(std::move(ending));
  if (outcome.first) co_return *outcome.first;
  if (!prepared) co_return outcome.refused;
  result.timestamp = outcome.latest;
  co_return result;
}

// It is not known whether all parts were prepared, or ever will be. Whatever the record says then,
// it is the end.
Task<StatusOr<Timestamp>> Coordinator::LookUp(Finisher::Ending ending, MonoTime deadline) {
  const MonoTime until = std::max(deadline, calls_->world().clock->Now() + std::chrono::seconds(1));
  std::string anchor = ending.anchor;
  const kv::TxnDecide abort{.valid_until_ms = ending.valid_until_ms};
  const StatusOr<Timestamp> end =
      co_await calls_->Decide(ending.txn, std::move(anchor), abort, until);
  ending.decided = TxnCalls::IsKnown(end);
  const bool decided = ending.decided;
  if (end.ok()) ending.commit = *end;
  finisher_.Add(std::move(ending));
  if (decided) co_return end;
  if (Planted(Plant::kTxnPerhapsMeansNo)) {
    co_return Error(Reason::kTxnAborted, "the groups of the transaction did not answer in time");
  }
  co_return GivenUp(true, "the groups of the transaction did not answer in time");
}

}  // namespace flotilla
