// TransactionImpl: see shard/transactions.h.
//
// Its state is behind a mutex: calls and answers come on any thread, and none waits. Its commit is
// a flow of the coordinator's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
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
    const Directory* directory = nullptr;
    std::function<NodeId()> self;
    // Begins a flow; false: the node is stopping.
    std::function<bool(UniqueFunction<Task<>(Coordinator&)>)> spawn;
  };
  // Those that somebody holds; they take themselves out.
  struct Open {
    std::mutex mutex;
    std::map<kv::TxnId, std::weak_ptr<TransactionImpl>> by_id;
    bool closed = false;  // the node is no more
  };

  TransactionImpl(const World* world, std::shared_ptr<Open> open, const TxnOptions& options,
                  Timestamp start);
  ~TransactionImpl() override;

  // Transaction
  kv::TxnId id() const override { return id_; }
  Timestamp start() const override { return start_; }
  void Get(kv::KeyspaceId keyspace, std::vector<std::string> keys, std::optional<TxnLock> lock,
           MonoTime deadline, GetDone done) override;
  void Scan(kv::ScanRequest request, std::optional<TxnLock> lock, MonoTime deadline,
            ScanDone done) override;
  void Write(std::vector<TxnMutation> mutations, MonoTime deadline,
             UniqueFunction<void(Status)> done) override;
  Status SetSavepoint(const std::string& name) override;
  Status RollBackTo(const std::string& name) override;
  void Commit(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)> done) override;
  void RollBack() override;

  TransactionInfo Info() const;
  // By somebody else's will. False: it is being committed, or has ended.
  bool Abort(const Status& why);
  bool ended() const;
  // As of when it reads; nothing: it reads the newest, or no more.
  std::optional<Timestamp> reads_at() const;
  MonoTime begun() const { return begun_; }
  MonoTime expires() const { return begun_ + options_.timeout; }

 private:
  using Got = std::vector<kv::GetResult>;
  // Groups in which it may have locks, each with one of their keys.
  using Locked = std::map<GroupId, std::string>;

  // With the lock held. What it had locked, which is to be let go without it.
  Locked End(Status why);
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
  bool ReadsAtStart() const {
    return options_.isolation >= kv::Isolation::kRepeatableRead || options_.read_only;
  }
  // What a read has failed with; the end of a transaction whose past is kept no longer.
  Status NoteFailure(Status status);
  bool Tracks() const {
    return options_.isolation == kv::Isolation::kSerializable && !options_.read_only;
  }
  bool LocksReads() const { return options_.locking == Locking::kPessimistic && Tracks(); }

  // Of reads without a lock: itself, if it has locked something.
  LockOwner Reader() const;

  // transaction_locks.cc
  LockOwner Owner() const;
  LockRequest RequestOf(const TxnLock& lock) const;
  // Its calls are counted as reads. Not ok: why it cannot be begun.
  Status BeginLocking(kv::KeyspaceId keyspace, const std::vector<std::string>& keys);
  Status BeginLocking(const kv::ScanRequest& request);
  // With the lock held: it may have locks where this is.
  void NoteLocked(const std::string& start, const std::string& end);
  // An answer has come; what it found is noted, or why there is none.
  Status EndLocking(const GatewayAnswer& answer, const std::function<Status()>& note);
  // With the lock held: reads as of one timestamp see this, too.
  Status MoveReads(Timestamp seen_by, Timestamp newest);
  Status NoteGot(kv::KeyspaceId keyspace, const std::vector<std::string>& keys, const Got& got,
                 Timestamp seen_by);
  Status NotePage(const kv::ScanRequest& request, const TxnLock& lock, const kv::ScanPage& page,
                  Timestamp seen_by);
  void GetLocked(kv::KeyspaceId keyspace, std::vector<std::string> keys, const TxnLock& lock,
                 bool keys_only, MonoTime deadline, GetDone done);
  void ScanLocked(kv::ScanRequest request, const TxnLock& lock, MonoTime deadline, ScanDone done);
  // One keyspace after the other, and then the writes.
  struct LockedWrite;
  void LockToWrite(std::shared_ptr<LockedWrite> write);
  Status Add(std::vector<TxnMutation> mutations);
  void LetGo(const Locked& locked);

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
  // Of reads as of one timestamp; it moves as long as there was none.
  Timestamp reads_at_;
  bool reads_at_used_ = false;
  Locked locked_;
  bool failed_to_lock_ = false;      // some of these its commit may not speak of
  bool found_locked_ = false;        // what it has read is of several moments
  std::size_t keys_committing_ = 0;  // and those that the commit looks at
  std::size_t keys_checked_ = 0;
  WriteBuffer writes_;
  ReadSet reads_;
};

}  // namespace flotilla
