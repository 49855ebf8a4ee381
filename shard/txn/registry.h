// TxnRegistry: the transactions that this node coordinates: see shard/transactions.h.
//
// Flows of transactions run on a few strands, each transaction on one of them, and the settling of
// what others have left on the first.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "base/executor.h"
#include "base/task.h"
#include "shard/transactions.h"
#include "shard/txn/calls.h"
#include "shard/txn/coordinator.h"
#include "shard/txn/settler.h"
#include "shard/txn/spanning_write.h"
#include "shard/txn/transaction.h"
#include "shard/vacuum/readers.h"

namespace flotilla {

class TxnRegistry final : public Transactions {
 public:
  struct World {
    Executor* executor = nullptr;
    const Clock* clock = nullptr;
    TxnCalls::World calls;
    TransactionImpl::Take timestamp;
    std::function<NodeId()> self;
    // See Settler::World.
    std::function<std::optional<kv::ShardRange>(GroupId group, kv::TxnId txn)> held;
    std::function<void(GroupId group, const kv::Obstacle& obstacle)> lingers;
    std::function<void(const kv::LockHolder& holder)> hurry;
    std::size_t open_max = 100'000;
  };
  explicit TxnRegistry(World world);
  ~TxnRegistry() override;

  // Transactions
  void Begin(const TxnOptions& options, MonoTime deadline,
             UniqueFunction<void(StatusOr<std::shared_ptr<Transaction>>)> done) override;
  std::vector<TransactionInfo> List() const override;
  Status Abort(kv::TxnId txn) override;

  // An atomic write whose keys lie in several shards (shard/txn/spanning_write.h); `done` on any
  // thread.
  void Write(Bytes command, MonoTime deadline, UniqueFunction<void(GatewayAnswer)> done);
  // Of those that are open for so long, the one that reads as of the earliest time; its node is not
  // filled in.
  std::optional<OldestReader> FindOldestReader(Duration age_min) const;

  Settler& settler() { return *settler_; }
  // Those of them that are here, and have not ended.
  std::vector<kv::TxnId> OpenOf(const std::vector<kv::TxnId>& txns) const;
  // Somebody waits for what it has left behind. Any thread.
  void Hurry(kv::TxnId txn);
  // Rolls back those whose time is up; from time to time.
  void Expire();
  // Ends the flows; what is left of transactions others will settle. `done` on any strand.
  void Stop(Closure done);

 private:
  struct Lane {
    std::unique_ptr<Strand> strand;
    std::unique_ptr<TaskScope> scope;
    std::unique_ptr<Coordinator> coordinator;
    std::unique_ptr<SpanningWrite> writes;
  };
  // What prevents another from being begun.
  Status Refusal() const;
  std::vector<std::shared_ptr<TransactionImpl>> Open() const;
  void Add(const TxnOptions& options, Timestamp start,
           UniqueFunction<void(StatusOr<std::shared_ptr<Transaction>>)> done);

  const World world_;
  TxnCalls calls_;
  std::vector<Lane> lanes_;
  std::vector<TransactionImpl::World> lane_worlds_;
  std::unique_ptr<Settler> settler_;

  const std::shared_ptr<TransactionImpl::Open> open_ = std::make_shared<TransactionImpl::Open>();
  std::atomic<std::uint64_t> next_write_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace flotilla
