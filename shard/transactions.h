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
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "base/types.h"
#include "kv/request.h"
#include "kv/txn/types.h"

namespace flotilla {

struct TxnOptions {
  kv::Isolation isolation = kv::Isolation::kSerializable;
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

// How a transaction stands.
enum class TxnPhase : std::uint8_t { kOpen, kCommitting, kEnded };

struct TransactionInfo {
  kv::TxnId id;
  kv::Isolation isolation = kv::Isolation::kSerializable;
  TxnPhase phase = TxnPhase::kOpen;
  Duration age{0};
  std::uint64_t keys_written = 0;
  std::uint64_t keys_read = 0;  // and ranges, as far as its commit looks at them
};

// One transaction. Calls take effect in the order in which they are made. After TXN_ABORTED,
// TXN_CONFLICT or a failed commit it has ended, and every call says so.
class Transaction {
 public:
  // Rolls back, if it has not ended.
  virtual ~Transaction() = default;

  virtual kv::TxnId id() const = 0;
  // What its reads see, but for its own writes: its start.
  virtual Timestamp start() const = 0;

  // In order of `keys`; what it wrote itself has version 0.
  virtual void Get(kv::KeyspaceId keyspace, std::vector<std::string> keys, MonoTime deadline,
                   UniqueFunction<void(StatusOr<std::vector<kv::GetResult>>)> done) = 0;
  // A page of the range as the transaction sees it; `as_of` is filled in.
  virtual void Scan(kv::ScanRequest request, MonoTime deadline,
                    UniqueFunction<void(StatusOr<kv::ScanPage>)> done) = 0;
  // Kept until the commit. BATCH_TOO_LARGE: it stays as it was.
  virtual Status Write(std::vector<TxnMutation> mutations) = 0;

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
