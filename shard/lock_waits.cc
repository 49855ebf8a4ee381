#include "shard/lock_waits.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "kv/key_codec.h"
#include "kv/txn/command.h"
#include "shard/answers.h"

namespace flotilla {

namespace {

std::string StartOf(const kv::ScanRequest& scan) {
  return kv::IsHashed(scan.keyspace) ? kv::KeyspaceStart(scan.keyspace)
                                     : kv::RangeStart(scan.keyspace, scan.start);
}

std::optional<LockOwner> Reading(const LockOwner& reader, std::string from, std::string& key) {
  if (!reader.txn) return std::nullopt;
  key = std::move(from);
  return reader;
}

// Who waits with this request, and with which key; nobody: it is no transaction's.
std::optional<LockOwner> WaiterOf(const GatewayRequest& request, std::string& key) {
  if (const LockRequest* const lock = LockOf(request)) {
    if (const auto* gets = std::get_if<BatchGetCall>(&request.call)) {
      key = kv::EncodeKey(gets->keyspace, gets->keys.front());
    } else {
      key = StartOf(std::get<ScanCall>(request.call).request);
    }
    return lock->owner;
  }
  if (const auto* get = std::get_if<GetCall>(&request.call)) {
    return Reading(get->reader, kv::EncodeKey(get->keyspace, get->key), key);
  }
  if (const auto* gets = std::get_if<BatchGetCall>(&request.call)) {
    return Reading(gets->reader, kv::EncodeKey(gets->keyspace, gets->keys.front()), key);
  }
  if (const auto* scan = std::get_if<ScanCall>(&request.call)) {
    return Reading(scan->reader, StartOf(scan->request), key);
  }
  const auto* write = std::get_if<WriteCall>(&request.call);
  LockOwner owner;
  std::string_view routing;
  if (write == nullptr || !kv::PeekTxnId(write->command.view(), owner.txn) ||
      !kv::PeekTxnCommand(write->command.view(), routing)) {
    return std::nullopt;
  }
  key = routing;
  owner.since = owner.txn;
  return owner;
}

}  // namespace

std::vector<ReportedWait> LockWaits::Waits(std::size_t count) const {
  std::vector<ReportedWait> waits;
  std::lock_guard lock(mutex_);
  for (const auto& [txn, waiting] : waiting_) {
    for (const Ticket& ticket : waiting) {
      if (waits.size() >= count) return waits;
      if (ticket.batch->Answered(ticket.slot)) continue;
      std::string key;
      const std::optional<LockOwner> waiter = WaiterOf(ticket.request(), key);
      if (!waiter || waiter->txn == txn) continue;
      waits.push_back({.waiter = *waiter,
                       .key = std::move(key),
                       .for_whom = {{.txn = txn, .coordinator = {}, .since = txn}}});
    }
  }
  return waits;
}

std::vector<Ticket> LockWaits::TakeOf(kv::TxnId waiter) {
  std::vector<Ticket> taken;
  std::lock_guard lock(mutex_);
  for (auto& [txn, waiting] : waiting_) {
    std::erase_if(waiting, [&](Ticket& ticket) {
      std::string key;
      const std::optional<LockOwner> owner = WaiterOf(ticket.request(), key);
      if (!owner || owner->txn != waiter) return false;
      taken.push_back(std::move(ticket));
      return true;
    });
  }
  count_ -= taken.size();
  return taken;
}

void LockWaits::Wait(kv::TxnId txn, Ticket ticket) {
  std::lock_guard lock(mutex_);
  waiting_[txn].push_back(std::move(ticket));
  if (++count_ >= forget_at_) ForgetAnswered();
}

std::vector<Ticket> LockWaits::Take(kv::TxnId txn) {
  std::lock_guard lock(mutex_);
  const auto found = waiting_.find(txn);
  if (found == waiting_.end()) return {};
  std::vector<Ticket> tickets = std::move(found->second);
  waiting_.erase(found);
  count_ -= tickets.size();
  return tickets;
}

std::vector<Ticket> LockWaits::TakeAll() {
  std::lock_guard lock(mutex_);
  std::vector<Ticket> tickets;
  for (auto& [txn, waiting] : waiting_) {
    std::move(waiting.begin(), waiting.end(), std::back_inserter(tickets));
  }
  waiting_.clear();
  count_ = 0;
  return tickets;
}

std::vector<Ticket> LockWaits::TakeYounger(kv::TxnId txn) {
  std::vector<Ticket> younger;
  std::lock_guard lock(mutex_);
  const auto found = waiting_.find(txn);
  if (found == waiting_.end()) return younger;
  std::erase_if(found->second, [&](Ticket& ticket) {
    const auto* write = std::get_if<WriteCall>(&ticket.request().call);
    kv::TxnId own;
    if (write == nullptr || !kv::PeekTxnId(write->command.view(), own) || own < txn) return false;
    younger.push_back(std::move(ticket));
    return true;
  });
  count_ -= younger.size();
  return younger;
}

// Deadlines have answered some, which nobody else takes out while their transaction lasts.
void LockWaits::ForgetAnswered() {
  count_ = 0;
  for (auto& [txn, waiting] : waiting_) {
    std::erase_if(waiting, [](const Ticket& one) { return one.batch->Answered(one.slot); });
    count_ += waiting.size();
  }
  std::erase_if(waiting_, [](const auto& one) { return one.second.empty(); });
  forget_at_ = std::max<std::size_t>(2 * count_, 1024);
}

}  // namespace flotilla
