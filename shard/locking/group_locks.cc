#include "shard/locking/group_locks.h"

#include <algorithm>

#include "shard/locking/write_spans.h"

namespace flotilla {

void GroupLocks::Note() {
  in_use_.store(table_.size() > 0);
  waits_.store(table_.waits());
}

GroupLocks::Taken GroupLocks::Acquire(const LockRequest& request, std::vector<LockSpan> spans,
                                      MonoTime now, const Ticket& ticket) {
  std::lock_guard lock(mutex_);
  if (!open_) return {};
  const MonoTime deadline = ticket.request().deadline;
  const MonoTime until = request.within == Duration(0) || deadline - now < request.within
                             ? MonoTime::max()
                             : now + request.within;
  LockTable::Outcome outcome =
      table_.Acquire(request.owner, std::move(spans), request.patience, now, until);
  if (outcome.answer == LockTable::Answer::kWaits) waiting_.emplace(outcome.number, ticket);
  Note();
  return {.answer = outcome.answer, .blocker = std::move(outcome.blocker)};
}

GroupLocks::Taken GroupLocks::Pass(const Ticket& ticket, MonoTime now) {
  WriteSpans write = SpansOf(std::get<WriteCall>(ticket.request().call).command.view());
  if (write.spans.empty()) return {};
  std::lock_guard lock(mutex_);
  if (!open_ || passing_.contains(KeyOf(ticket))) return {};
  const LockOwner owner{.txn = write.txn, .coordinator = {}, .since = write.txn};
  const LockTable::Outcome outcome = table_.Pass(owner, std::move(write.spans), now);
  if (outcome.answer == LockTable::Answer::kWaits) {
    waiting_.emplace(outcome.number, ticket);
    passing_.emplace(KeyOf(ticket), outcome.number);
  }
  Note();
  return {.answer = outcome.answer};
}

bool GroupLocks::Holds(kv::TxnId txn, const LockSpan& span) const {
  std::lock_guard lock(mutex_);
  return table_.Holds(txn, span);
}

Ticket GroupLocks::TakeTicket(LockTable::Number number) {
  const auto found = waiting_.find(number);
  Ticket ticket = std::move(found->second);
  waiting_.erase(found);
  return ticket;
}

GroupLocks::Freed GroupLocks::Take(const LockTable::Freed& freed) {
  Freed taken;
  for (const LockTable::Number number : freed.granted) {
    Ticket ticket = TakeTicket(number);
    if (ticket.is_write()) granted_.emplace(number, ticket);
    taken.go_on.push_back(std::move(ticket));
  }
  for (const LockTable::Number number : freed.dropped) {
    Ticket ticket = TakeTicket(number);
    passing_.erase(KeyOf(ticket));
    taken.dropped.push_back(std::move(ticket));
  }
  Note();
  return taken;
}

GroupLocks::Freed GroupLocks::Done(const Ticket& ticket) {
  std::lock_guard lock(mutex_);
  const auto found = passing_.find(KeyOf(ticket));
  if (found == passing_.end()) return {};
  const LockTable::Number number = found->second;
  passing_.erase(found);
  granted_.erase(number);
  waiting_.erase(number);
  return Take(table_.Done(number));
}

GroupLocks::Freed GroupLocks::Release(kv::TxnId txn) {
  std::lock_guard lock(mutex_);
  return Take(table_.Release(txn));
}

GroupLocks::Freed GroupLocks::Tidy(std::string_view start, std::string_view end) {
  std::lock_guard lock(mutex_);
  Freed freed = Take(table_.KeepOnly(start, end));
  std::move(freed.dropped.begin(), freed.dropped.end(), std::back_inserter(freed.go_on));
  freed.dropped.clear();
  std::vector<LockTable::Number> answered;
  for (const auto* all : {&waiting_, &granted_}) {
    for (const auto& [number, ticket] : *all) {
      if (ticket.batch->Answered(ticket.slot)) answered.push_back(number);
    }
  }
  for (const LockTable::Number number : answered) {
    for (auto* all : {&waiting_, &granted_}) {
      const auto found = all->find(number);
      if (found == all->end()) continue;
      passing_.erase(KeyOf(found->second));
      all->erase(found);
    }
    Freed more = Take(table_.Drop(number));
    std::move(more.go_on.begin(), more.go_on.end(), std::back_inserter(freed.go_on));
  }
  return freed;
}

std::vector<GroupLocks::Late> GroupLocks::TakeLate(MonoTime now, Freed& freed) {
  std::vector<Late> late;
  std::lock_guard lock(mutex_);
  for (LockTable::Late& one : table_.LateAt(now)) {
    const auto found = waiting_.find(one.number);
    if (found == waiting_.end()) continue;  // an earlier one's end has freed it
    late.push_back({.ticket = TakeTicket(one.number),
                    .blocker = std::move(one.blocker),
                    .waited = one.waited});
    Freed more = Take(table_.Drop(one.number));
    std::move(more.go_on.begin(), more.go_on.end(), std::back_inserter(freed.go_on));
  }
  return late;
}

std::vector<Ticket> GroupLocks::TakeWaiting(kv::TxnId txn, Freed& freed) {
  std::vector<Ticket> tickets;
  std::lock_guard lock(mutex_);
  for (const LockTable::Wait& wait : table_.Waits(SIZE_MAX)) {
    if (wait.owner.txn != txn) continue;
    const auto found = waiting_.find(wait.number);
    if (found == waiting_.end()) continue;
    passing_.erase(KeyOf(found->second));
    tickets.push_back(TakeTicket(wait.number));
    Freed more = Take(table_.Drop(wait.number));
    std::move(more.go_on.begin(), more.go_on.end(), std::back_inserter(freed.go_on));
  }
  return tickets;
}

void GroupLocks::Open() {
  std::lock_guard lock(mutex_);
  open_ = true;
}

std::vector<Ticket> GroupLocks::Close() {
  std::vector<Ticket> tickets;
  std::lock_guard lock(mutex_);
  open_ = false;
  table_.Clear();
  for (auto& [number, ticket] : waiting_) tickets.push_back(std::move(ticket));
  waiting_.clear();
  passing_.clear();
  granted_.clear();
  Note();
  return tickets;
}

std::vector<ReportedWait> GroupLocks::Waits(MonoTime now, Duration at_least,
                                            std::size_t count) const {
  std::vector<ReportedWait> waits;
  std::lock_guard lock(mutex_);
  for (LockTable::Wait& wait : table_.Waits(count)) {
    if (now - wait.since < at_least) continue;
    waits.push_back(
        {.waiter = wait.owner, .key = std::move(wait.key), .for_whom = std::move(wait.for_whom)});
  }
  return waits;
}

std::vector<LockTable::Holder> GroupLocks::Holders() const {
  std::lock_guard lock(mutex_);
  return table_.Holders();
}

std::vector<LockTable::Listed> GroupLocks::List(MonoTime now, std::size_t count) const {
  std::lock_guard lock(mutex_);
  return table_.List(now, count);
}

}  // namespace flotilla
