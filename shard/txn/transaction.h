// TransactionImpl: see shard/transactions.h.
//
// Its state is behind a mutex: calls and answers come on any thread, and none waits. Its commit is
// a flow of the coordinator's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/planted.h"
#include "base/task.h"
#include "shard/gateway.h"
#include "shard/transactions.h"
#include "shard/txn/coordinator.h"
#include "shard/txn/read_set.h"
#include "shard/txn/write_buffer.h"

namespace flotilla {

class TransactionImpl final : public Transaction,
                              public std::enable_shared_from_this<TransactionImpl> {
 public:
  using Take = std::function<void(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)>)>;
  struct World {
    Gateway* gateway = nullptr;
    const Clock* clock = nullptr;
    Take timestamp;  // a fresh one of the oracle
    // Begins a flow; false: the node is stopping.
    std::function<bool(UniqueFunction<Task<>(Coordinator&)>)> spawn;
  };
  // Those that somebody holds; they take themselves out.
  struct Open {
    std::mutex mutex;
    std::map<kv::TxnId, std::weak_ptr<TransactionImpl>> by_id;
  };

  TransactionImpl(const World* world, std::shared_ptr<Open> open, const TxnOptions& options,
                  Timestamp start);
  ~TransactionImpl() override;

  // Transaction
  kv::TxnId id() const override { return id_; }
  Timestamp start() const override { return start_; }
  void Get(kv::KeyspaceId keyspace, std::vector<std::string> keys, MonoTime deadline,
           UniqueFunction<void(StatusOr<std::vector<kv::GetResult>>)> done) override;
  void Scan(kv::ScanRequest request, MonoTime deadline,
            UniqueFunction<void(StatusOr<kv::ScanPage>)> done) override;
  Status Write(std::vector<TxnMutation> mutations) override;
  Status SetSavepoint(const std::string& name) override;
  Status RollBackTo(const std::string& name) override;
  void Commit(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)> done) override;
  void RollBack() override;

  TransactionInfo Info() const;
  // By somebody else's will. False: it is being committed, or has ended.
  bool Abort(const Status& why);
  bool ended() const;
  MonoTime expires() const { return begun_ + options_.timeout; }

 private:
  using Got = std::vector<kv::GetResult>;

  // With the lock held.
  void End(Status why);
  // With the lock held. What prevents a call.
  Status CheckOpen() const;
  Status CheckWritable() const;
  // As of when a statement reads; it begins, or `then` gets the error.
  void BeginRead(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)> then);
  void EndRead();
  void Read(GatewayCall call, MonoTime deadline, UniqueFunction<void(GatewayAnswer)> done);
  kv::Consistency ReadsAt() const {
    const bool dirty =
        options_.isolation == kv::Isolation::kReadUncommitted ||
        (options_.isolation == kv::Isolation::kReadCommitted && Planted(Plant::kDirtyReads));
    return dirty && !options_.read_only ? kv::Consistency::kProvisional
                                        : kv::Consistency::kLinearizable;
  }
  bool Tracks() const {
    return options_.isolation == kv::Isolation::kSerializable && !options_.read_only;
  }
  Status NoteKeys(kv::KeyspaceId keyspace, const std::vector<std::string>& keys);
  Status NoteScan(const kv::ScanRequest& request, const kv::ScanPage& page);
  static Task<> Commit(std::shared_ptr<TransactionImpl> self, Coordinator* coordinator,
                       CommitRequest request, MonoTime deadline,
                       UniqueFunction<void(StatusOr<Timestamp>)> done);
  // In replicated time.
  std::uint64_t ValidUntil(std::size_t bytes) const;

  const World* const world_;
  const std::shared_ptr<Open> open_;
  const TxnOptions options_;
  const kv::TxnId id_;
  const Timestamp start_;
  const MonoTime begun_;

  mutable std::mutex mutex_;
  TxnPhase phase_ = TxnPhase::kOpen;
  Status why_ended_;
  int reads_open_ = 0;
  std::size_t keys_committing_ = 0;  // and those that the commit looks at
  std::size_t keys_checked_ = 0;
  WriteBuffer writes_;
  ReadSet reads_;
};

}  // namespace flotilla
