#include "kv/txn/steps.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/planted.h"
#include "base/timestamp.h"

namespace flotilla::kv {
namespace {

// Of values that one resolve turns into versions.
constexpr std::size_t kResolveBytesMax = 1 << 20;
// Records and fences that go with one entry.
constexpr std::size_t kForgottenMax = 256;

WriteResult Answer(WriteOutcome outcome, Timestamp timestamp) {
  WriteResult result;
  result.outcome = outcome;
  result.timestamp = timestamp;
  return result;
}

WriteResult LockedBy(Obstacle obstacle, Timestamp at) {
  WriteResult result = Answer(WriteOutcome::kLocked, at);
  result.obstacle = std::make_shared<const Obstacle>(std::move(obstacle));
  return result;
}

WriteResult ChangedTo(Timestamp version, std::string_view key, Timestamp at) {
  WriteResult result = Answer(WriteOutcome::kConflict, at);
  result.actual_version = version;
  result.obstacle = std::make_shared<const Obstacle>(Obstacle{.key = std::string(key)});
  return result;
}

// A resolve that has not been through the whole of its span.
WriteResult GoesOnAt(std::string_view key, WriteResult result) {
  result.obstacle = std::make_shared<const Obstacle>(Obstacle{.key = std::string(key)});
  return result;
}

// What a record says of how the transaction ended.
WriteResult EndOf(const TxnRecord& record) {
  const bool committed = record.state == TxnState::kCommitted;
  return Answer(committed ? WriteOutcome::kApplied : WriteOutcome::kTxnAborted, record.timestamp);
}

}  // namespace

WriteResult TxnSteps::Apply(const TxnCommand& command, Timestamp entry, Timestamp at) {
  const Context context{.key = command.key, .txn = command.txn, .entry = entry, .at = at};
  return std::visit([&](const auto& step) { return Apply(context, step); }, command.step);
}

// ---- prepare ----------------------------------------------------------------------------------

WriteResult TxnSteps::Apply(const Context& context, const TxnPrepare& prepare) {
  if (!HoldsAll(prepare)) return Answer(WriteOutcome::kWrongShard, context.at);
  WriteResult result = Answer(WriteOutcome::kApplied, context.at);
  if (CameBefore(context, prepare, result)) return result;
  if (prepare.session) {
    if (const auto first = AnsweredBefore(context, prepare.session.session)) return *first;
  }
  if (IsObstructed(context, prepare, result)) return result;
  if (!prepare.one_phase) {
    Lock(context, prepare);
    return result;
  }
  for (const TxnWrite& write : prepare.writes) {
    versions_.WriteVersion(write, std::string(write.key), context.at, context.txn);
  }
  // Looking twice does no harm.
  if (prepare.writes.empty()) return result;
  locks_.AddCommit(context.entry, prepare.valid_until_ms, context.txn, context.at);
  Remember(prepare.session, context.at, context.at);
  return result;
}

std::optional<WriteResult> TxnSteps::AnsweredBefore(const Context& context,
                                                    const Session& session) const {
  if (Planted(Plant::kBatchRepeated)) return std::nullopt;
  std::optional<WriteResult> first = sessions_.Recall(session, context.at);
  if (first && first->outcome == WriteOutcome::kApplied) first->outcome = WriteOutcome::kRepeated;
  return first;
}

void TxnSteps::Remember(const TxnSession& session, Timestamp commit, Timestamp at) {
  if (!session) return;
  WriteResult result = Answer(WriteOutcome::kApplied, commit);
  result.affected = session.affected;
  sessions_.Record(session.session, at, result);
}

bool TxnSteps::HoldsAll(const TxnPrepare& prepare) const {
  const auto holds = [this](const auto& one) { return range_.Contains(one.key); };
  return std::all_of(prepare.writes.begin(), prepare.writes.end(), holds) &&
         std::all_of(prepare.checks.begin(), prepare.checks.end(), holds) &&
         std::all_of(prepare.ranges.begin(), prepare.ranges.end(), [this](const TxnRange& one) {
           return range_.ContainsAll(one.start, one.end);
         });
}

bool TxnSteps::CameBefore(const Context& context, const TxnPrepare& prepare,
                          WriteResult& result) const {
  if (prepare.one_phase || !prepare.parts.empty()) {
    if (const auto record = locks_.Record(prepare.anchor, context.txn)) {
      result = EndOf(*record);
      if (record->state == TxnState::kStaged) result.outcome = WriteOutcome::kApplied;
      return true;
    }
  } else if (const auto own = locks_.PartAt(context.key, context.txn, prepare.part)) {
    result.timestamp = own->prepared;
    return true;
  } else if (locks_.FenceAt(context.key, context.txn)) {
    result.outcome = WriteOutcome::kTxnAborted;
    return true;
  }
  // It may have come before, and what remembered that may have gone.
  if (MillisecondsOf(context.at) > prepare.valid_until_ms) {
    result.outcome = WriteOutcome::kTxnTooLate;
    return true;
  }
  // What was deleted since its start may leave no trace.
  if (MillisecondsOf(context.at) > MillisecondsOf(Timestamp(context.txn.value())) + kTxnAgeMsMax) {
    result.outcome = WriteOutcome::kTxnTooOld;
    return true;
  }
  return false;
}

bool TxnSteps::IsObstructed(const Context& context, const TxnPrepare& prepare,
                            WriteResult& result) {
  const auto locked = [&](std::optional<Obstacle> obstacle) {
    if (obstacle) result = LockedBy(*std::move(obstacle), context.at);
    return result.outcome == WriteOutcome::kLocked;
  };
  const bool first_wins =
      prepare.isolation >= Isolation::kRepeatableRead && !Planted(Plant::kFirstUnchecked);
  const Timestamp as_of = prepare.as_of ? prepare.as_of : Timestamp(context.txn.value());
  for (const TxnWrite& write : prepare.writes) {
    if (locked(locks_.AgainstWrite(write.key, context.txn))) return true;
    if (first_wins && HasChanged(context, write.key, as_of, false, result)) return true;
  }
  if (prepare.one_phase && Planted(Plant::kOnePhaseUnchecked)) return false;
  for (const TxnCheck& check : prepare.checks) {
    if (locked(locks_.AgainstRead(check.key, context.txn))) return true;
    const Timestamp limit = check.exact ? check.version : as_of;
    if (HasChanged(context, check.key, limit, check.exact, result)) return true;
  }
  for (const TxnRange& range : prepare.ranges) {
    if (locked(locks_.AgainstReadIn(range.start, range.end, context.txn))) return true;
    const Timestamp since = range.as_of ? range.as_of : as_of;
    if (const auto newer = versions_.ChangeAfter(since, range.start, range.end, context.at)) {
      result = ChangedTo(newer->second, newer->first, context.at);
      return true;
    }
  }
  return false;
}

bool TxnSteps::HasChanged(const Context& context, std::string_view key, Timestamp limit, bool exact,
                          WriteResult& result) {
  const std::string encoded(key);
  const Timestamp newest = exact ? versions_.VersionAt(encoded, context.at)
                                 : versions_.LastChange(encoded, limit, context.at);
  if (exact ? newest == limit : newest <= limit) return false;
  result = ChangedTo(newest, key, context.at);
  return true;
}

void TxnSteps::Lock(const Context& context, const TxnPrepare& prepare) {
  const LockHolder holder{.txn = context.txn,
                          .anchor = std::string(prepare.anchor),
                          .part = prepare.part,
                          .coordinator = prepare.coordinator,
                          .prepared = context.at,
                          .valid_until_ms = prepare.valid_until_ms};
  const auto lock = [&](std::string_view key, const LockValue& value) {
    locks_.AddLock(key, value.kind, holder);
    Put(LockTag::kLock, key, context.txn, EncodeLock(value));
  };
  // First the shared ones: a write of the same key takes the place of its own.
  for (const TxnCheck& check : prepare.checks) {
    if (locks_.HasIntent(check.key, context.txn)) continue;  // of an earlier part
    lock(check.key, {.kind = LockKind::kShared, .holder = holder});
  }
  for (const TxnWrite& write : prepare.writes) {
    lock(write.key, {.kind = write.deletes ? LockKind::kDelete : LockKind::kPut,
                     .holder = holder,
                     .ttl_ms = write.ttl_ms,
                     .value = write.value});
  }
  for (const TxnRange& range : prepare.ranges) {
    locks_.AddRange(range.start, range.end, holder);
    Put(LockTag::kRange, range.start, context.txn, EncodeRangeLock(holder, range.end));
  }
  if (prepare.parts.empty()) return;
  SetRecord(prepare.anchor, context.txn,
            {.state = TxnState::kStaged,
             .timestamp = context.at,
             .valid_until_ms = prepare.valid_until_ms,
             .parts = prepare.parts,
             .session = prepare.session});
}

// ---- the outcome ------------------------------------------------------------------------------

WriteResult TxnSteps::Apply(const Context& context, const TxnFence& fence) {
  if (!range_.Contains(context.key)) return Answer(WriteOutcome::kWrongShard, context.at);
  if (const auto own = locks_.PartAt(context.key, context.txn, fence.part)) {
    return Answer(WriteOutcome::kApplied, own->prepared);
  }
  if (!Planted(Plant::kNoFence)) {
    locks_.SetFence(context.key, context.txn, fence.valid_until_ms);
    Put(LockTag::kFence, context.key, context.txn, EncodeFence(fence.valid_until_ms));
  }
  return Answer(WriteOutcome::kTxnAborted, context.at);
}

WriteResult TxnSteps::Apply(const Context& context, const TxnDecide& decide) {
  if (!range_.Contains(context.key)) return Answer(WriteOutcome::kWrongShard, context.at);
  std::optional<TxnRecord> record = locks_.Record(context.key, context.txn);
  if (record && record->state != TxnState::kStaged && !Planted(Plant::kDecisionOverwritten)) {
    return ResolveAs(context, *record, decide.last);
  }
  if (record && decide.if_absent && !Planted(Plant::kStagedAborted)) {
    return Answer(WriteOutcome::kConditionFailed, context.at);
  }
  // It may have been there, and have gone when nothing was left.
  if (!record && !decide.if_absent && MillisecondsOf(context.at) > decide.valid_until_ms) {
    return Answer(WriteOutcome::kTxnTooLate, context.at);
  }
  if (!record && decide.commit) return Answer(WriteOutcome::kTxnAborted, context.at);
  if (!record) record = TxnRecord{.valid_until_ms = decide.valid_until_ms};
  record->state = decide.commit ? TxnState::kCommitted : TxnState::kAborted;
  record->timestamp = decide.commit ? decide.commit : context.at;
  const TxnSession session = std::exchange(record->session, {});
  if (decide.commit) Remember(session, decide.commit, context.at);
  SetRecord(context.key, context.txn, *record);
  return ResolveAs(context, *record, decide.last);
}

WriteResult TxnSteps::ResolveAs(const Context& context, const TxnRecord& record,
                                std::string_view last) {
  const bool resolves = record.state == TxnState::kCommitted && !last.empty();
  return resolves ? Resolve(context, last, record.timestamp) : EndOf(record);
}

WriteResult TxnSteps::Apply(const Context& context, const TxnResolve& resolve) {
  if (!range_.Contains(context.key)) return Answer(WriteOutcome::kWrongShard, context.at);
  return Resolve(context, resolve.last, resolve.commit);
}

WriteResult TxnSteps::Resolve(const Context& context, std::string_view last, Timestamp commit) {
  WriteResult result = Answer(WriteOutcome::kApplied, commit);
  const Locks::Own own = locks_.Of(context.txn, context.key, last, kTxnResolveMax);
  std::size_t bytes = 0;
  for (const auto& [key, kind] : own.keys) {
    if (bytes >= kResolveBytesMax) return GoesOnAt(key, result);
    // A prepare that came late may have locked it anew: the version is there.
    const bool writes =
        commit && kind != LockKind::kShared && !versions_.HasVersionFrom(key, commit);
    if (writes) {
      std::string row;
      LockValue lock;
      if (!versions_.ReadLock(LockRowKey(LockTag::kLock, key, context.txn), row) ||
          !DecodeLock(row, lock)) {
        versions_.Damaged("an intent is not there, or malformed");
        return result;
      }
      bytes += key.size() + lock.value.size();
      versions_.WriteVersion({.deletes = kind == LockKind::kDelete,
                              .key = key,
                              .value = versions_.Own(std::string(lock.value)),
                              .ttl_ms = lock.ttl_ms},
                             key, commit, context.txn);
    }
    locks_.RemoveLock(key, context.txn);
    Remove(LockTag::kLock, key, context.txn);
  }
  for (const std::string& start : own.ranges) {
    locks_.RemoveRange(start, context.txn);
    Remove(LockTag::kRange, start, context.txn);
  }
  result.affected = own.keys.size() + own.ranges.size();
  const bool all_looked_at = result.affected < kTxnResolveMax || Planted(Plant::kResolveEndsEarly);
  if (!all_looked_at) return GoesOnAt(context.key, result);
  if (!range_.end.empty() && range_.end <= last) return GoesOnAt(range_.end, result);
  return result;
}

bool TxnSteps::Forget(std::string_view anchor, TxnId txn) {
  std::optional<TxnRecord> record = locks_.Record(anchor, txn);
  if (!record || record->state == TxnState::kStaged || record->resolved) return false;
  record->resolved = true;
  record->parts.clear();
  SetRecord(anchor, txn, *std::move(record));
  return true;
}

WriteResult TxnSteps::Apply(const Context& context, const TxnForget& forget) {
  if (!range_.Contains(context.key)) return Answer(WriteOutcome::kWrongShard, context.at);
  WriteResult result = Answer(WriteOutcome::kApplied, context.at);
  if (Forget(context.key, context.txn)) ++result.affected;
  for (const auto& [anchor, txn] : forget.others) {
    if (range_.Contains(anchor) && Forget(anchor, txn)) ++result.affected;
  }
  return result;
}

WriteResult TxnSteps::Apply(const Context& context, const TxnDecline& decline) {
  if (!range_.Contains(context.key)) return Answer(WriteOutcome::kWrongShard, context.at);
  if (const auto first = AnsweredBefore(context, decline.session)) return *first;
  if (std::optional<Obstacle> obstacle = locks_.AgainstRead(context.key, context.txn)) {
    return LockedBy(*std::move(obstacle), context.at);
  }
  WriteResult result = Answer(decline.outcome, decline.seen_at);
  result.failed_op = decline.failed_op;
  result.actual_version = decline.actual_version;
  sessions_.Record(decline.session, context.at, result);
  return result;
}

void TxnSteps::ForgetNeedless(Timestamp at) {
  for (const Locks::Needless& one : locks_.NeedlessAt(MillisecondsOf(at), kForgottenMax)) {
    if (one.tag == LockTag::kRecord) {
      locks_.RemoveRecord(one.key, one.txn);
    } else if (one.tag == LockTag::kCommits) {
      locks_.RemoveCommits(Timestamp(one.txn.value()));
    } else {
      locks_.RemoveFence(one.key, one.txn);
    }
    Remove(one.tag, one.key, one.txn);
  }
}

void TxnSteps::EndEntry(Timestamp entry) {
  const TxnCommits* const commits = locks_.EndCommits(entry);
  if (commits != nullptr) Put(LockTag::kCommits, "", TxnId(entry.value()), EncodeCommits(*commits));
}

void TxnSteps::SetRecord(std::string_view anchor, TxnId txn, TxnRecord record) {
  Put(LockTag::kRecord, anchor, txn, EncodeTxnRecord(record));
  locks_.SetRecord(anchor, txn, std::move(record));
}

void TxnSteps::Put(LockTag tag, std::string_view key, TxnId txn, std::string value) {
  versions_.WriteLock(LockRowKey(tag, key, txn), std::move(value));
}

void TxnSteps::Remove(LockTag tag, std::string_view key, TxnId txn) {
  versions_.RemoveLock(LockRowKey(tag, key, txn));
}

}  // namespace flotilla::kv
