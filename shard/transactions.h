// Transactions: what service adapters see of transactions (DESIGN section 7).
//
// Place in the picture: a transaction lives on the node that its client asked, which coordinates it
// (shard/txn): it keeps what is written until the commit, and remembers what was read.
//
//   client ── Begin ──▶ Transactions ──▶ Transaction ── reads as of its start ──▶ Gateway
//                                             └─ Commit ──▶ steps of kv/txn ──▶ Gateway
//
// Any thread; callbacks run on any thread, or within the call, and must not block.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "base/types.h"
#include "kv/request.h"
#include "kv/txn/types.h"
#include "shard/locking/lock_request.h"

namespace flotilla {

// When a transaction finds out about others.
enum class Locking : std::uint8_t {
  kOptimistic = 1,  // at its commit
  // On the way: it locks what it writes, and, if serializable, what it reads, and waits for others
  // who have locked it.
  kPessimistic = 2,
};

struct TxnOptions {
  kv::Isolation isolation = kv::Isolation::kSerializable;
  Locking locking = Locking::kOptimistic;
  // Of its locks that say nothing else; zero: as long as a call may take.
  Duration lock_timeout{0};
  // An earlier try of the same work, whose age it keeps: of those who wait for each other the
  // youngest is rolled back. Zero: there was none.
  kv::TxnId first_try = {};
  // Nothing is written: it is never refused, and holds up nobody.
  bool read_only = false;
  // Of a read-only one: it reads as of then; zero: as of its beginning.
  Timestamp read_timestamp = {};
  // It is rolled back unless it has ended by then.
  Duration timeout = std::chrono::seconds(60);
};

struct TxnMutation {
  kv::KeyspaceId keyspace = kv::kDefaultKeyspace;
  bool deletes = false;
  std::string key = {};
  std::string value = {};
  std::uint64_t ttl_ms = 0;  // 0: never expires; from the commit on
};

// How a read locks what it reads, until the end.
struct TxnLock {
  LockStrength strength = LockStrength::kUpdate;
  LockPatience patience = LockPatience::kWait;
  Duration within{0};  // zero: as the transaction's options say
};

// How a transaction stands.
enum class TxnPhase : std::uint8_t { kOpen, kCommitting, kEnded };

struct TransactionInfo {
  kv::TxnId id;
  kv::Isolation isolation = kv::Isolation::kSerializable;
  Locking locking = Locking::kOptimistic;
  TxnPhase phase = TxnPhase::kOpen;
  Duration age{0};
  std::uint64_t keys_written = 0;
  std::uint64_t keys_read = 0;  // and ranges, as far as its commit looks at them
};

// One transaction. Calls take effect in the order in which they are made. After TXN_ABORTED,
// TXN_CONFLICT, DEADLOCK or a failed commit it has ended, and every call says so.
//
// A read with a lock sees the newest that is committed, whatever the level. So that it and reads as
// of one timestamp fit together, that timestamp moves up to it until the first of them; from then
// on it is TXN_CONFLICT when a lock finds something newer.
class Transaction {
 public:
  // Rolls back, if it has not ended.
  virtual ~Transaction() = default;

  virtual kv::TxnId id() const = 0;
  // What its reads see, but for its own writes: its start, before it has locked anything.
  virtual Timestamp start() const = 0;

  // In order of `keys`; what it wrote itself has version 0. With a lock: LOCK_TIMEOUT, and it goes
  // on.
  using GetDone = UniqueFunction<void(StatusOr<std::vector<kv::GetResult>>)>;
  virtual void Get(kv::KeyspaceId keyspace, std::vector<std::string> keys,
                   std::optional<TxnLock> lock, MonoTime deadline, GetDone done) = 0;
  // A page of the range as the transaction sees it; `as_of` is filled in. With a lock: of all that
  // the page speaks of, or, skipping what is locked, of its rows.
  using ScanDone = UniqueFunction<void(StatusOr<kv::ScanPage>)>;
  virtual void Scan(kv::ScanRequest request, std::optional<TxnLock> lock, MonoTime deadline,
                    ScanDone done) = 0;
  void Get(kv::KeyspaceId keyspace, std::vector<std::string> keys, MonoTime deadline,
           GetDone done) {
    Get(keyspace, std::move(keys), std::nullopt, deadline, std::move(done));
  }
  void Scan(kv::ScanRequest request, MonoTime deadline, ScanDone done) {
    Scan(std::move(request), std::nullopt, deadline, std::move(done));
  }
  // Kept until the commit. BATCH_TOO_LARGE, LOCK_TIMEOUT: it stays as it was. An optimistic one's
  // is done within the call.
  virtual void Write(std::vector<TxnMutation> mutations, MonoTime deadline,
                     UniqueFunction<void(Status)> done) = 0;

  // Writes from here on can be taken back; a savepoint of the same name before it is hidden. What
  // was read meanwhile stays read.
  virtual Status SetSavepoint(const std::string& name) = 0;
  // BAD_REQUEST: there is none of that name. It stays, those after it go.
  virtual Status RollBackTo(const std::string& name) = 0;

  // With the timestamp at which it was committed, or, if it wrote nothing, the one that it read at.
  // TXN_CONFLICT, TXN_ABORTED: nothing happened. OUTCOME_UNKNOWN. While a read is open:
  // BAD_REQUEST.
  virtual void Commit(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)> done) = 0;
  // While it is being committed: nothing, it ends as it will.
  virtual void RollBack() = 0;
};

class Transactions {
 public:
  virtual ~Transactions() = default;

  // OVERLOADED, NO_QUORUM (there is no oracle), BAD_REQUEST.
  virtual void Begin(const TxnOptions& options, MonoTime deadline,
                     UniqueFunction<void(StatusOr<std::shared_ptr<Transaction>>)> done) = 0;
  // Those that this node coordinates.
  virtual std::vector<TransactionInfo> List() const = 0;
  // Of this node's: rolls it back. TXN_NOT_FOUND: it is none of them, or has ended.
  virtual Status Abort(kv::TxnId txn) = 0;
};

}  // namespace flotilla
