// Locks of transactions at the group's leader: see shard/replica.h and shard/locking.
//
//   read with a lock ──▶ locking_ ──▶ lock table: keys ──▶ reads_ ──▶ the store
//                            ▲                                          │ a page that speaks of
//                            └──────────── lock table: ranges ◀─────────┘ what is not locked yet
//   write ──▶ writes_ ──▶ lock table: does anybody hold its keys? ──▶ entry

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "kv/key_codec.h"
#include "kv/limits.h"
#include "kv/page_builder.h"
#include "kv/page_overlay.h"
#include "kv/slots.h"
#include "kv/txn/command.h"
#include "shard/answers.h"
#include "shard/replica.h"

namespace flotilla {
namespace {

// Rows that a page which skips what is locked may look at beyond its own.
constexpr std::uint32_t kSkippedMax = 1'000;

Status TooManyLocks(GroupId group) {
  return Error(Reason::kOverloaded,
               fmt::format("too many locks are held or waited for in group {}: end transactions, "
                           "and try again",
                           group.value()));
}

LockSpan SpanOf(kv::KeyspaceId keyspace, const std::string& key, LockStrength strength) {
  return {.start = kv::EncodeKey(keyspace, key), .end = {}, .strength = strength};
}

// What a page speaks of, as far as the group holds it.
LockSpan SpanOf(const kv::ScanRequest& request, const kv::ScanPage& page,
                const kv::ShardRange& range, LockStrength strength) {
  LockSpan span{.start = {}, .end = {}, .strength = strength};
  if (kv::IsHashed(request.keyspace)) {
    span.start = kv::SlotBound(request.keyspace, request.first_slot);
    span.end = kv::SlotBound(request.keyspace, request.past_last_slot);
  } else {
    const kv::PageSpan spoken = kv::SpanOf(request, page);
    span.start = kv::RangeStart(request.keyspace, spoken.start);
    span.end = kv::RangeEnd(request.keyspace, spoken.end);
  }
  span.start = std::max(span.start, range.start);
  if (!range.end.empty()) span.end = std::min(span.end, range.end);
  return span;
}

}  // namespace

void Replica::AnswerUnlock(const Ticket& ticket) {
  Unlock(std::get<UnlockCall>(ticket.request().call).txn);
  GatewayAnswer answer;
  answer.origin = Origin();
  AnswerCollector answers;
  answers.Add(ticket, std::move(answer));
}

void Replica::TakeLocks() {
  AnswerCollector answers;
  for (Ticket& ticket : std::exchange(locking_, {})) {
    if (ticket.batch->Answered(ticket.slot)) continue;
    const LockRequest& lock = *LockOf(ticket.request());
    std::vector<LockSpan> spans;
    if (const auto* gets = std::get_if<BatchGetCall>(&ticket.request().call)) {
      for (const std::string& key : gets->keys) {
        spans.push_back(SpanOf(gets->keyspace, key, lock.strength));
      }
      std::sort(spans.begin(), spans.end(),
                [](const LockSpan& a, const LockSpan& b) { return a.start < b.start; });
    }
    if (!AcquireFor(ticket, std::move(spans), answers)) continue;
    // It sees what was proposed before.
    read_after_ = std::max(read_after_, last_proposed_);
    reads_.push_back(std::move(ticket));
  }
}

bool Replica::AcquireFor(const Ticket& ticket, std::vector<LockSpan> spans,
                         AnswerCollector& answers) {
  const LockRequest& lock = *LockOf(ticket.request());
  const GroupLocks::Taken taken =
      locks_.Acquire(lock, std::move(spans), world_.clock->Now(), ticket);
  switch (taken.answer) {
    case LockTable::Answer::kHeld:
      return true;
    case LockTable::Answer::kWaits:
      world_.host->OnLockWait();
      return false;
    case LockTable::Answer::kRefused:
      answers.Fail(ticket, LockedError(taken.blocker.key, taken.blocker.owner, Duration(0)));
      return false;
    case LockTable::Answer::kFull:
      answers.Fail(ticket, TooManyLocks(id_));
      return false;
  }
  return false;
}

bool Replica::MayPropose(const Ticket& ticket) {
  if (locks_.empty()) return true;
  const GroupLocks::Taken taken = locks_.Pass(ticket, world_.clock->Now());
  if (taken.answer == LockTable::Answer::kHeld) return true;
  if (taken.answer == LockTable::Answer::kFull) {
    AnswerCollector answers;
    answers.Fail(ticket, TooManyLocks(id_));
  } else {
    world_.host->OnLockWait();
  }
  return false;
}

// What comes of one transaction commits all of it: nothing else says that it has ended.
void Replica::OnWritten(const Ticket& ticket, bool applied) {
  if (locks_.empty()) return;
  Free(locks_.Done(ticket));
  kv::TxnId txn;
  const auto& command = std::get<WriteCall>(ticket.request().call).command;
  if (applied && kv::PeekOnePhase(command.view(), txn)) Unlock(txn);
}

void Replica::ServeLocked(const Ticket& ticket, AnswerCollector& answers) {
  const LockRequest& lock = *LockOf(ticket.request());
  std::optional<kv::Obstacle> obstacle;
  GatewayAnswer answer;
  bool again = false;
  if (const auto* gets = std::get_if<BatchGetCall>(&ticket.request().call)) {
    answer = GetLocked(*gets, obstacle);
  } else {
    answer = ScanLocked(ticket, obstacle, again, answers);
  }
  if (obstacle && lock.patience == LockPatience::kNoWait) {
    answers.Fail(ticket, kv::Locked(*obstacle));
  } else if (obstacle) {
    WaitFor(*obstacle, ticket);
  } else if (!again) {
    // After the read: what it has seen is no newer.
    answer.origin = Origin();
    answers.Add(ticket, std::move(answer));
  }
}

GatewayAnswer Replica::GetLocked(const BatchGetCall& call, std::optional<kv::Obstacle>& obstacle) {
  GatewayAnswer answer;
  const std::vector<std::string_view> keys(call.keys.begin(), call.keys.end());
  auto results = store_->BatchGet(call.keyspace, keys, {.obstacle = &obstacle});
  if (!results.ok()) {
    answer.status = results.status();
    return answer;
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    kv::GetResult& result = (*results)[i];
    if (call.lock->keys_only) result.value.clear();
    if (call.lock->patience != LockPatience::kSkipLocked) continue;
    const LockSpan span = SpanOf(call.keyspace, call.keys[i], call.lock->strength);
    if (!locks_.Holds(call.lock->owner.txn, span)) result = {.skipped = true};
  }
  answer.result = *std::move(results);
  return answer;
}

// What the page speaks of is locked, and then read anew: others may have come between.
GatewayAnswer Replica::ScanLocked(const Ticket& ticket, std::optional<kv::Obstacle>& obstacle,
                                  bool& again, AnswerCollector& answers) {
  const auto& call = std::get<ScanCall>(ticket.request().call);
  const LockRequest& lock = *call.lock;
  const bool skips = lock.patience == LockPatience::kSkipLocked;
  kv::ScanRequest request = call.request;
  const std::size_t limit = kv::LimitOf(request);
  if (skips) {
    request.limit =
        static_cast<std::uint32_t>(std::min<std::size_t>(limit + kSkippedMax, kv::kScanRowsMax));
  }
  GatewayAnswer answer;
  const Timestamp as_of = store_->last_timestamp();
  StatusOr<kv::ScanPage> page = store_->Scan(request, &obstacle);
  if (obstacle) return answer;
  if (!page.ok()) {
    answer.status = page.status();
    return answer;
  }
  if (skips) {
    again = !SkipLocked(ticket, limit, *page, answers);
  } else {
    const LockSpan span = SpanOf(request, *page, store_->range(), lock.strength);
    if (span.start < span.end && !locks_.Holds(lock.owner.txn, span)) {
      again = true;
      if (!ticket.batch->Return(ticket.slot)) return answer;
      if (AcquireFor(ticket, {span}, answers)) Submit({ticket});
      return answer;
    }
    page->locked.push_back({.start = span.start, .end = span.end, .as_of = as_of});
  }
  if (!again) answer.result = *std::move(page);
  return answer;
}

bool Replica::SkipLocked(const Ticket& ticket, std::size_t limit, kv::ScanPage& page,
                         AnswerCollector& answers) {
  const auto& call = std::get<ScanCall>(ticket.request().call);
  const LockRequest& lock = *call.lock;
  const auto holds = [&](const std::string& key) {
    return locks_.Holds(lock.owner.txn, SpanOf(call.request.keyspace, key, lock.strength));
  };
  std::size_t held = 0;
  bool more = false;
  for (std::size_t i = 0; i < page.rows.size() && held < limit; ++i) {
    const std::string& key = page.rows[i].key;
    const bool before = holds(key);
    if (!before &&
        !AcquireFor(ticket, {SpanOf(call.request.keyspace, key, lock.strength)}, answers)) {
      return false;
    }
    const bool now = before || holds(key);
    held += now ? 1 : 0;
    more |= now && !before;
  }
  if (more) {
    // They may have changed just before.
    if (ticket.batch->Return(ticket.slot)) Submit({ticket});
    return false;
  }
  std::vector<kv::ScanRow> rows;
  for (kv::ScanRow& row : page.rows) {
    if (rows.size() == limit) {
      page.more = true;
      page.resume_key = call.request.reverse ? rows.back().key : row.key;
      break;
    }
    if (holds(row.key)) rows.push_back(std::move(row));
  }
  page.rows = std::move(rows);
  return true;
}

void Replica::Unlock(kv::TxnId txn) { Free(locks_.Release(txn)); }

void Replica::Free(GroupLocks::Freed freed) {
  if (!freed.dropped.empty()) {
    AnswerCollector answers;
    for (const Ticket& ticket : freed.dropped) {
      answers.Fail(ticket, Error(Reason::kTxnAborted,
                                 "the transaction was rolled back while it waited for a lock"));
    }
  }
  std::vector<Ticket> go_on;
  for (Ticket& ticket : freed.go_on) {
    if (!ticket.batch->Answered(ticket.slot)) {
      go_on.push_back(std::move(ticket));
    } else if (ticket.is_write()) {
      Free(locks_.Done(ticket));
    }
  }
  if (!go_on.empty()) Submit(std::move(go_on));
}

void Replica::TendLocks(MonoTime now) {
  if (locks_.empty()) return;
  const kv::ShardRange range = store_->range();
  Free(locks_.Tidy(range.start, range.end));
  GroupLocks::Freed freed;
  {
    AnswerCollector answers;
    for (const GroupLocks::Late& late : locks_.TakeLate(now, freed)) {
      answers.Fail(late.ticket, LockedError(late.blocker.key, late.blocker.owner, late.waited));
    }
  }
  Free(std::move(freed));
}

std::vector<ReportedWait> Replica::TxnWaits(MonoTime now, Duration at_least,
                                            std::size_t count) const {
  std::vector<ReportedWait> waits = lock_waits_.Waits(count);
  if (!locks_.waits()) return waits;
  for (ReportedWait& wait : locks_.Waits(now, at_least, count - waits.size())) {
    waits.push_back(std::move(wait));
  }
  return waits;
}

bool Replica::RefuseWaits(kv::TxnId txn, const Status& status) {
  GroupLocks::Freed freed;
  std::vector<Ticket> refused = locks_.TakeWaiting(txn, freed);
  for (Ticket& ticket : lock_waits_.TakeOf(txn)) refused.push_back(std::move(ticket));
  {
    AnswerCollector answers;
    for (const Ticket& ticket : refused) answers.Fail(ticket, status);
  }
  Free(std::move(freed));
  return !refused.empty();
}

}  // namespace flotilla
