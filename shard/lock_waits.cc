#include "shard/lock_waits.h"

#include <algorithm>
#include <utility>

#include "kv/txn/command.h"

namespace flotilla {

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
