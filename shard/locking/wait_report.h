// What nodes tell the directory's leader of who waits for whom, and what it says to that.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/coding.h"
#include "base/status.h"
#include "shard/locking/lock_request.h"

namespace flotilla {

// A transaction that waits in a group which the node leads.
struct ReportedWait {
  LockOwner waiter;
  std::string key;  // encoded
  std::vector<LockOwner> for_whom;
  bool operator==(const ReportedWait&) const = default;
};

// Transactions that wait for each other in a circle, each for the next, the last for the first.
struct Deadlock {
  struct Step {
    LockOwner waiter;
    std::string key;  // that it waits for
    bool operator==(const Step&) const = default;
  };
  kv::TxnId victim = {};
  std::vector<Step> cycle;
  bool operator==(const Deadlock&) const = default;
};

// Of one report; what is more is told with the next.
inline constexpr std::size_t kReportedWaitsMax = 10'000;

void AppendLockOwner(std::string& out, const LockOwner& owner);
bool ReadLockOwner(Reader& reader, LockOwner& owner);

std::string EncodeWaits(const std::vector<ReportedWait>& waits);
StatusOr<std::vector<ReportedWait>> DecodeWaits(std::string_view bytes);
std::string EncodeDeadlocks(const std::vector<Deadlock>& deadlocks);
StatusOr<std::vector<Deadlock>> DecodeDeadlocks(std::string_view bytes);
// Transactions that somebody asks about, and those of them that are open.
std::string EncodeTxnIds(const std::vector<kv::TxnId>& txns);
StatusOr<std::vector<kv::TxnId>> DecodeTxnIds(std::string_view bytes);

// DEADLOCK, for the victim.
Status DeadlockError(const Deadlock& deadlock);
// LOCK_TIMEOUT: somebody holds the key, or waits for it already.
Status LockedError(std::string_view key, const LockOwner& holder, Duration waited);

}  // namespace flotilla
