// Settler: brings transactions to their end whose locks are in somebody's way, and those that their
// coordinator has left behind.
//
// Place in the picture: replicas that lead tell of every lock that a request waits for, and the
// node of those that have been there for long. Mostly their coordinator is about to resolve them;
// what is still there after a while is asked for at the transaction's anchor (kv/txn/README.md).
//
// Meet() and Leave() on any thread; the flows on the strand of the scope.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/task.h"
#include "kv/shard_range.h"
#include "kv/txn/locks.h"
#include "shard/txn/calls.h"

namespace flotilla {

class Settler {
 public:
  struct World {
    TxnCalls* calls = nullptr;
    TaskScope* scope = nullptr;
    // Whether a group here still has locks of the transaction; then what it holds.
    std::function<std::optional<kv::ShardRange>(GroupId group, kv::TxnId txn)> held;
    // It has been there for longer than its coordinator takes to resolve it.
    std::function<void(GroupId group, const kv::Obstacle& obstacle)> lingers;
    // Somebody waits: its coordinator need not gather more before it resolves it.
    std::function<void(const kv::LockHolder& holder)> hurry;
  };
  explicit Settler(World world) : world_(std::move(world)) {}

  // A transaction's lock, in a group that is led here.
  void Meet(GroupId group, const kv::Obstacle& obstacle);
  // A record, whose transaction may have locks elsewhere.
  void Leave(std::string anchor, kv::TxnId txn);

 private:
  struct Met {
    GroupId group;
    kv::Obstacle obstacle;
    MonoTime since;
  };
  using Known = std::pair<GroupId, kv::TxnId>;

  Task<> Watch(Met met);
  Task<> Clear(std::string anchor, kv::TxnId txn);
  // One look at the anchor, and what follows from it. False: it is not over yet.
  Task<bool> Settle(Met met, kv::ShardRange held);
  // A staged transaction whose time is up: every part is found prepared, or never will be.
  Task<bool> Recover(kv::TxnId txn, std::string anchor, kv::TxnRecord record);
  bool IsUp(const Met& met) const;
  MonoTime Now() const { return world_.calls->world().clock->Now(); }

  const World world_;
  std::mutex mutex_;
  std::set<Known> met_;
};

}  // namespace flotilla
