#include "shard/txn/spanning_write.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/timestamp.h"
#include "kv/key_codec.h"
#include "kv/limits.h"
#include "shard/answers.h"

namespace flotilla {
namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(2);
constexpr Duration kPauseMax = std::chrono::milliseconds(100);
// Keys that are read in one request.
constexpr std::size_t kKeysAtOnce = 1'000;

GatewayAnswer Failed(Status status) {
  GatewayAnswer answer;
  answer.status = std::move(status);
  return answer;
}

// Nothing happened, and it may go better as of a later time.
bool RunsAgain(const Status& status) {
  const Reason reason = ReasonOf(status);
  return reason == Reason::kTxnConflict || reason == Reason::kDeadlock ||
         reason == Reason::kTxnAborted || reason == Reason::kTimestampTooOld;
}

bool IsRange(const kv::WriteOp& op) { return op.kind == kv::WriteKind::kDeleteRange; }

// It depends on what the key has: the condition, or whether there is anything to delete.
bool MustRead(const kv::WriteOp& op) {
  return !IsRange(op) &&
         (op.condition != kv::ConditionKind::kNone || op.kind == kv::WriteKind::kDelete);
}

bool Holds(const kv::WriteOp& op, const kv::GetResult& found) {
  switch (op.condition) {
    case kv::ConditionKind::kNone:
      return true;
    case kv::ConditionKind::kAbsent:
      return !found.found;
    case kv::ConditionKind::kExists:
      return found.found;
    case kv::ConditionKind::kVersionIs:
      return found.found ? found.version == op.condition_version : !op.condition_version;
    case kv::ConditionKind::kValueIs:
      return found.found && found.value == op.condition_value;
  }
  return false;
}

// The first key of the command that is written in any case, whatever there is; of ranges alone the
// first that the first of them can have.
std::string AnchorOf(const kv::CommandView& command) {
  for (const kv::WriteOp& op : command.ops) {
    if (!IsRange(op)) return std::string(op.key);
  }
  const std::string_view start = command.ops.front().key;
  return start.empty() ? std::string(1, '\0') : std::string(start);
}

// What the command makes of what there is; how many keys it deletes.
class Effects {
 public:
  explicit Effects(const kv::CommandView& command) : command_(command) {}

  Status Put(const kv::WriteOp& op) {
    return writes_.Add({{.keyspace = command_.keyspace,
                         .key = std::string(op.key),
                         .value = std::string(op.value),
                         .ttl_ms = op.ttl_ms}});
  }
  // `was_there`: before the command.
  Status Delete(const std::string& key, bool was_there) {
    const std::optional<kv::GetResult> own = writes_.Find(command_.keyspace, key);
    if (!(own ? own->found : was_there)) return absl::OkStatus();
    ++affected_;
    return AddDelete(key);
  }
  Status DeleteRange(const kv::WriteOp& op, const std::vector<std::string>& were_there) {
    std::vector<std::string> doomed = were_there;
    for (const auto& [key, write] : writes_.writes()) {
      const std::string& name = key.second;
      if (name >= op.key && (op.end.empty() || name < op.end)) doomed.push_back(name);
    }
    std::sort(doomed.begin(), doomed.end());
    doomed.erase(std::unique(doomed.begin(), doomed.end()), doomed.end());
    for (const std::string& key : doomed) RETURN_IF_ERROR(Delete(key, true));
    return absl::OkStatus();
  }
  // The anchor has an intent, also where there was nothing to delete.
  Status Hold(const std::string& anchor) {
    return writes_.Find(command_.keyspace, anchor) ? absl::OkStatus() : AddDelete(anchor);
  }

  std::uint64_t affected() const { return affected_; }
  WriteBuffer& writes() { return writes_; }

 private:
  Status AddDelete(const std::string& key) {
    return writes_.Add({{.keyspace = command_.keyspace, .deletes = true, .key = key}});
  }

  const kv::CommandView& command_;
  WriteBuffer writes_;
  std::uint64_t affected_ = 0;
};

}  // namespace

Task<GatewayAnswer> SpanningWrite::Run(Bytes encoded, MonoTime deadline) {
  Duration pause = kFirstPause;
  for (;;) {
    const StatusOr<Timestamp> start = co_await AwaitCallback<StatusOr<Timestamp>>(
        [&](Completion<StatusOr<Timestamp>> done) { timestamp_(deadline, std::move(done)); });
    if (!start.ok()) co_return Failed(start.status());
    auto attempt = std::make_shared<Attempt>();
    attempt->start = *start;
    attempt->begun = calls_->world().clock->Now();
    const Status decoded = kv::DecodeCommand(encoded.view(), attempt->command);
    if (!decoded.ok()) co_return Failed(decoded);
    GatewayAnswer answer = co_await Try(std::move(attempt), deadline);
    if (!RunsAgain(answer.status)) co_return answer;
    if (calls_->world().clock->Now() + pause >= deadline) co_return answer;
    const bool go_on = co_await SleepFor(pause);
    if (!go_on) co_return Failed(StoppingError());
    pause = std::min(2 * pause, kPauseMax);
  }
}

Task<GatewayAnswer> SpanningWrite::Try(std::shared_ptr<Attempt> attempt, MonoTime deadline) {
  const kv::CommandView& command = attempt->command;
  const Status keys_read = co_await ReadKeys(attempt, deadline);
  if (!keys_read.ok()) co_return Failed(keys_read);
  const Status ranges_read = co_await ReadRanges(attempt, deadline);
  const auto too_large = [](const Status& status) {
    return ReasonOf(status) == Reason::kBatchTooLarge;
  };
  if (!ranges_read.ok() && !too_large(ranges_read)) co_return Failed(ranges_read);
  for (std::size_t i = 0; i < command.ops.size(); ++i) {
    const kv::WriteOp& op = command.ops[i];
    if (op.condition == kv::ConditionKind::kNone) continue;
    const kv::GetResult& found = attempt->found.find(op.key)->second;
    if (Holds(op, found)) continue;
    kv::TxnDecline decline{.session = command.session,
                           .seen_at = attempt->start,
                           .failed_op = static_cast<std::uint32_t>(i),
                           .actual_version = found.found ? found.version : Timestamp()};
    GatewayAnswer declined = co_await Decline(std::move(attempt), decline, deadline);
    co_return declined;
  }
  Effects effects(command);
  std::size_t ranges = 0;
  Status added;
  for (const kv::WriteOp& op : command.ops) {
    if (op.kind == kv::WriteKind::kPut) {
      added = effects.Put(op);
    } else if (op.kind == kv::WriteKind::kDelete) {
      added = effects.Delete(std::string(op.key), attempt->found.find(op.key)->second.found);
    } else {
      added = ranges_read.ok() ? effects.DeleteRange(op, attempt->ranges[ranges++]) : ranges_read;
    }
    if (!added.ok()) break;
  }
  const std::string anchor = AnchorOf(command);
  if (added.ok()) added = effects.Hold(anchor);
  if (too_large(added)) {
    const kv::TxnDecline decline{.session = command.session,
                                 .outcome = kv::WriteOutcome::kTooLarge,
                                 .seen_at = attempt->start};
    GatewayAnswer declined = co_await Decline(std::move(attempt), decline, deadline);
    co_return declined;
  }
  if (!added.ok()) co_return Failed(added);
  CommitRequest request;
  request.txn = kv::TxnId(attempt->start.value());
  // What it has not read may be as it will.
  request.isolation =
      attempt->reads.empty() ? kv::Isolation::kReadCommitted : kv::Isolation::kSerializable;
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(
      calls_->world().clock->Now() - attempt->begun);
  request.valid_until_ms = MillisecondsOf(attempt->start) +
                           static_cast<std::uint64_t>(age.count()) +
                           CommitWithinMs(effects.writes().bytes());
  request.writes = effects.writes().TakeWrites();
  request.reads = std::move(attempt->reads);
  request.anchor = kv::EncodeKey(command.keyspace, anchor);
  request.session = {.session = command.session, .affected = effects.affected()};
  const StatusOr<kv::WriteResult> end =
      co_await coordinator_->CommitWrite(std::move(request), deadline);
  if (!end.ok()) co_return Failed(end.status());
  GatewayAnswer answer;
  answer.origin.timestamp = end->timestamp;
  answer.result = kv::WriteResult{.timestamp = end->timestamp, .affected = end->affected};
  co_return answer;
}

Task<Status> SpanningWrite::ReadKeys(std::shared_ptr<Attempt> attempt, MonoTime deadline) {
  const kv::KeyspaceId keyspace = attempt->command.keyspace;
  for (const kv::WriteOp& op : attempt->command.ops) {
    if (!MustRead(op)) continue;
    attempt->found.try_emplace(std::string(op.key));
    const Status noted = attempt->reads.AddKey(kv::EncodeKey(keyspace, op.key));
    if (!noted.ok()) co_return noted;
  }
  for (auto next = attempt->found.begin(); next != attempt->found.end();) {
    BatchGetCall call{.keyspace = keyspace, .keys = {}, .as_of = attempt->start};
    auto first = next;
    for (; next != attempt->found.end() && call.keys.size() < kKeysAtOnce; ++next) {
      call.keys.push_back(next->first);
    }
    const GatewayAnswer answer = co_await calls_->Ask(std::move(call), deadline);
    if (!answer.status.ok()) co_return answer.status;
    for (const kv::GetResult& one : std::get<std::vector<kv::GetResult>>(answer.result)) {
      (first++)->second = one;
    }
  }
  co_return absl::OkStatus();
}

Task<Status> SpanningWrite::ReadRanges(std::shared_ptr<Attempt> attempt, MonoTime deadline) {
  const kv::KeyspaceId keyspace = attempt->command.keyspace;
  std::size_t keys_max = kv::kBatchOpsMax;
  for (const kv::WriteOp& op : attempt->command.ops) {
    if (!IsRange(op)) continue;
    // Of a hashed keyspace every slot has a part of the range.
    std::string start =
        kv::IsHashed(keyspace) ? kv::KeyspaceStart(keyspace) : kv::RangeStart(keyspace, op.key);
    std::string end =
        kv::IsHashed(keyspace) ? kv::KeyspaceEnd(keyspace) : kv::RangeEnd(keyspace, op.end);
    const Status noted = attempt->reads.AddRange(std::move(start), std::move(end));
    if (!noted.ok()) co_return noted;
    std::vector<std::string>& keys = attempt->ranges.emplace_back();
    ScanCall scan;
    scan.request = {.keyspace = keyspace,
                    .start = std::string(op.key),
                    .end = std::string(op.end),
                    .as_of = attempt->start,
                    .limit = kv::kScanRowsMax,
                    .keys_only = true};
    for (bool more = true; more;) {
      GatewayCall call = scan;
      GatewayAnswer answer = co_await calls_->Ask(std::move(call), deadline);
      if (!answer.status.ok()) co_return answer.status;
      auto& page = std::get<kv::ScanPage>(answer.result);
      for (kv::ScanRow& row : page.rows) keys.push_back(std::move(row.key));
      if (keys.size() > keys_max) {
        co_return Error(Reason::kBatchTooLarge, "the write deletes too many keys at once");
      }
      more = page.more;
      scan.request.start = std::move(page.resume_key);
    }
    keys_max -= keys.size();
  }
  co_return absl::OkStatus();
}

Task<GatewayAnswer> SpanningWrite::Decline(std::shared_ptr<Attempt> attempt, kv::TxnDecline decline,
                                           MonoTime deadline) {
  if (!decline.session.client) {
    kv::WriteResult result{.outcome = decline.outcome,
                           .timestamp = decline.seen_at,
                           .failed_op = decline.failed_op,
                           .actual_version = decline.actual_version};
    GatewayAnswer answer = Failed(Declined(result));
    answer.origin.timestamp = decline.seen_at;
    co_return answer;
  }
  std::string anchor = kv::EncodeKey(attempt->command.keyspace, AnchorOf(attempt->command));
  const kv::TxnId txn(attempt->start.value());
  GatewayAnswer answer = co_await calls_->Step(txn, std::move(anchor), decline, deadline);
  if (auto* result = std::get_if<kv::WriteResult>(&answer.result)) {
    result->outcome = kv::WriteOutcome::kApplied;  // an earlier try was
  }
  answer.origin = {.group = {}, .node = {}, .timestamp = answer.origin.timestamp};  // for them all
  co_return answer;
}

}  // namespace flotilla
