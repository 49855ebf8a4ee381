// Options, requests and results of the client library, as plain data.
//
// Keys and values are bytes: no encoding is assumed. A version is the commit timestamp of the write
// that made a value; it grows with every write of the key and can be named in a condition.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/types.h"

namespace flotilla::client {

struct ClientOptions {
  // Any nodes of the cluster, "host:port"; the client finds the leader by itself. At least one.
  std::vector<std::string> endpoints = {};
  // Empty: "default".
  std::string keyspace = {};
  // Of calls that name no timeout of their own. Positive.
  Duration timeout = std::chrono::seconds(10);

  // ---- the channel pool, per node ------------------------------------------------------------

  // Connections to one node at most; a further one is opened when all others are busy.
  std::size_t max_pool_size = 2;
  // Connections to a node that stay open although idle.
  std::size_t min_idle = 1;
  // A connection that is not up by then counts as failed.
  Duration connection_timeout = std::chrono::seconds(2);
  // An idle connection beyond `min_idle` is closed after this long.
  Duration idle_timeout = std::chrono::seconds(60);
  // A connection that owes answers and is silent for this long, or for several times as long as
  // answers took lately, is given up, and its calls go to another node; doubled while it keeps
  // happening. A leader that is paused or cut off costs about this much. Where there is no other
  // node, the silent one is asked for a sign of life, and given up only without it.
  Duration stall_timeout = std::chrono::milliseconds(500);

  // ---- bounds ----------------------------------------------------------------------------------

  // Calls submitted and not yet answered. Beyond it the asynchronous face answers OVERLOADED at
  // once and the blocking face waits for its turn.
  std::size_t outstanding_max = 10'000;
  // What one message of the stream carries; a single larger request travels alone.
  std::size_t batch_requests_max = 1024;
  std::size_t batch_bytes_max = 1 << 20;
  // Writes past the oldest unanswered one: the server keeps this many results per client, at least
  // (kv::StoreOptions::session_results_max); later writes wait in the client.
  std::uint64_t write_window_max = 4000;

  // ---- retries -----------------------------------------------------------------------------

  // The first back-off, doubled each time up to the second; each is drawn from [half, whole].
  Duration backoff_min = std::chrono::milliseconds(10);
  Duration backoff_max = std::chrono::milliseconds(500);
  // True: calls wait, up to their deadline, for some endpoint to become reachable. False: they
  // fail with UNREACHABLE once every known address has refused.
  bool wait_for_ready = true;
};

enum class ReadConsistency : std::uint8_t {
  kLinearizable,  // the newest value at some moment between call and answer
  kEventual,      // committed data of some earlier moment, from any node: cheapest
  kSnapshot,      // what was committed at ReadOptions::as_of or before, in all shards
};

// Timeouts: zero stands for ClientOptions::timeout. The deadline is counted from submission.
struct ReadOptions {
  ReadConsistency consistency = ReadConsistency::kLinearizable;
  Duration timeout{0};
  // kSnapshot: any timestamp that the cluster has given, such as a version. TIMESTAMP_TOO_OLD when
  // versions are kept no longer that were current then.
  Timestamp as_of = {};
};

struct WriteOptions {
  Duration timeout{0};
  // Puts: the key disappears this long after the write. Zero: never; else at least a millisecond.
  std::chrono::milliseconds ttl{0};
};

// What must hold for a write to take effect.
struct Condition {
  enum class Kind : std::uint8_t { kNone, kVersionIs, kValueIs, kAbsent, kExists };

  static Condition None() { return {}; }
  static Condition VersionIs(Timestamp version) { return {Kind::kVersionIs, version, {}}; }
  static Condition ValueIs(std::string value) { return {Kind::kValueIs, {}, std::move(value)}; }
  static Condition Absent() { return {Kind::kAbsent, {}, {}}; }
  static Condition Exists() { return {Kind::kExists, {}, {}}; }

  Kind kind = Kind::kNone;
  Timestamp version = {};
  std::string value = {};
};

// Several writes that take effect together or, when one's condition fails, not at all. Later
// operations see the effects of earlier ones.
class WriteBatch {
 public:
  enum class Kind : std::uint8_t { kPut, kDelete, kDeleteRange };
  struct Operation {
    Kind kind = Kind::kPut;
    std::string key = {};    // or the range's start, inclusive
    std::string value = {};  // or the range's end, exclusive; empty: to the last key
    std::chrono::milliseconds ttl{0};
    Condition condition = {};
  };

  WriteBatch& Put(std::string key, std::string value, std::chrono::milliseconds ttl = {},
                  Condition condition = {}) {
    operations_.push_back(
        {Kind::kPut, std::move(key), std::move(value), ttl, std::move(condition)});
    return *this;
  }
  WriteBatch& Delete(std::string key, Condition condition = {}) {
    operations_.push_back({Kind::kDelete, std::move(key), {}, {}, std::move(condition)});
    return *this;
  }
  WriteBatch& DeleteRange(std::string start, std::string end) {
    operations_.push_back({Kind::kDeleteRange, std::move(start), std::move(end), {}, {}});
    return *this;
  }

  const std::vector<Operation>& operations() const { return operations_; }
  std::size_t size() const { return operations_.size(); }
  bool empty() const { return operations_.empty(); }

 private:
  std::vector<Operation> operations_;
};

// Rows in key order. Either a prefix or a range; empty ends stand for the keyspace's.
struct ScanOptions {
  std::string prefix = {};
  std::string start = {};  // inclusive
  std::string end = {};    // exclusive
  bool reverse = false;
  bool keys_only = false;
  // Rows in all; 0: no limit.
  std::uint64_t limit = 0;
  // Rows a page, at most 10,000.
  std::uint32_t page_size = 1000;
  ReadOptions read = {};
};

// ---- transactions ----------------------------------------------------------------------------

// What a transaction's reads see, and what its commit checks. Every level sees its own writes.
enum class Isolation : std::uint8_t {
  kReadUncommitted,  // the newest values; no check
  kReadCommitted,    // what was committed when each read began; no check
  kRepeatableRead,   // snapshot isolation: of two writers of a key the first to commit wins
  kSerializable,     // and whatever was read is unchanged at the commit
};

// When a transaction finds out about others.
enum class Locking {
  kOptimistic,  // at its commit
  // On the way: it locks what it writes, and, if serializable, what it reads, and waits for others
  // who have.
  kPessimistic,
};

// Of a read: what it reads is locked until the transaction ends, and is the newest. At
// kRepeatableRead and kSerializable lock before the first read without a lock.
struct TxnLock {
  bool share = false;  // others may share it; else nobody else locks it
  // What to do when somebody else has locked it: wait in line; fail with LOCK_TIMEOUT; leave it out
  // (keys are `skipped`, rows do not appear).
  enum class Patience { kWait, kNoWait, kSkipLocked } patience = Patience::kWait;
  // LOCK_TIMEOUT after waiting for so long. Zero: as the transaction has it.
  Duration timeout{0};
};

struct TransactionOptions {
  Isolation isolation = Isolation::kSerializable;
  Locking locking = Locking::kOptimistic;
  // Of its locks: LOCK_TIMEOUT after waiting for so long. Zero: as long as each call may take.
  Duration lock_timeout{0};
  // The id() of an earlier try of the same work, whose age it keeps: of transactions that wait for
  // each other the youngest is rolled back. Transact() sees to it.
  std::uint64_t first_try = 0;
  // It writes nothing, is never refused, and holds up nobody.
  bool read_only = false;
  // Of a read-only one: as of when it reads; any timestamp that the cluster has given. Zero: as of
  // its beginning.
  Timestamp read_timestamp = {};
  // Of calls that name none. Empty: the client's.
  std::string keyspace = {};
  // From Begin() on; then it is rolled back, and every call ends. Up to 10 minutes.
  Duration timeout = std::chrono::seconds(60);
};

// Of one read or write of a transaction.
struct TxnCallOptions {
  // Nothing: the transaction's.
  std::optional<std::string> keyspace = {};
  // Of reads. Zero: ClientOptions::timeout. The transaction's end is the limit.
  Duration timeout{0};
  // Of reads. None: as the transaction's locking says.
  std::optional<TxnLock> lock = {};
  // Of puts, from the commit on. Zero: never; else at least a millisecond.
  std::chrono::milliseconds ttl{0};
};

struct TransactOptions {
  // Its timeout is that of each attempt.
  TransactionOptions transaction = {};
  // Of all attempts together. Zero: ClientOptions::timeout.
  Duration timeout{0};
};

// ---- results ---------------------------------------------------------------------------------

// Milliseconds since the Unix epoch at which a key expires; nothing: never.
using Expiry = std::optional<std::chrono::milliseconds>;

struct GetResult {
  bool found = false;
  std::string value = {};
  Timestamp version = {};
  Expiry expires_at = {};
  // Of a transaction's read that skips what is locked: it was not looked at.
  bool skipped = false;
};

struct PutResult {
  Timestamp version = {};
};

struct DeleteResult {
  bool existed = false;
};

struct DeleteRangeResult {
  std::uint64_t deleted = 0;
};

struct CompareAndSetResult {
  Timestamp version = {};
};

struct BatchResult {
  Timestamp version = {};
  // Keys that deletes and delete-ranges removed.
  std::uint64_t deleted = 0;
};

struct Row {
  std::string key = {};
  std::string value = {};
  Timestamp version = {};
  Expiry expires_at = {};
};

struct ScanPage {
  std::vector<Row> rows = {};
  // Goes into the next call; empty on the last page.
  std::string continuation_token = {};
};

}  // namespace flotilla::client
