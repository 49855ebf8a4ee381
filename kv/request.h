// Requests and results of one keyspace, as plain data: what services decode into, the gateway
// routes, and a group's state machine evaluates.
//
// Writes travel in their encoded form (kv/command.h) from the first node on; these structs are
// their decoded face. Keys are user keys: bytes, not empty unless a range's end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/types.h"

namespace flotilla::kv {

// A keyspace's number; part of every encoded key. `default` is 1.
using KeyspaceId = Strong<struct KeyspaceIdTag, std::uint32_t>;
inline constexpr KeyspaceId kDefaultKeyspace{1};

// A transaction's start timestamp, which the oracle gives to nobody else. 0: none. The youngest has
// the largest.
using TxnId = Strong<struct TxnIdTag>;

// The top bit of the number says how the keyspace is partitioned: by ranges of keys, or by the
// slots that keys are hashed into (kv/slots.h).
inline constexpr std::uint32_t kHashedBit = 1u << 31;
constexpr bool IsHashed(KeyspaceId keyspace) { return (keyspace.value() & kHashedBit) != 0; }
inline constexpr std::uint32_t kSlots = 65536;

// What must hold for an operation to take effect; evaluated against the newest version.
enum class ConditionKind : std::uint8_t {
  kNone = 0,
  kAbsent = 1,
  kExists = 2,
  kVersionIs = 3,  // the commit timestamp of the newest version
  kValueIs = 4,
};

enum class WriteKind : std::uint8_t { kPut = 1, kDelete = 2, kDeleteRange = 3 };

// One operation of an atomic batch; views into somebody else's bytes.
struct WriteOp {
  WriteKind kind = WriteKind::kPut;
  std::string_view key = {};    // or the start of the range
  std::string_view value = {};  // kPut
  std::string_view end = {};    // kDeleteRange; exclusive; empty: to the end of the keyspace
  ConditionKind condition = ConditionKind::kNone;
  Timestamp condition_version = {};
  std::string_view condition_value = {};
  // kPut: milliseconds until the key expires, counted in replicated time; 0: never.
  std::uint64_t ttl_ms = 0;
};

// Exactly once (Raft thesis, 6.3). A client numbers its writes 1, 2, 3, ...; a write without a
// client may be applied twice if it is repeated.
//
// `since` is a timestamp of the group's from before the client's first write; it tells a client
// that is new from one that was forgotten (kv/sessions.h). Zero: the client does not say.
struct Session {
  ClientId client = {};
  std::uint64_t sequence = 0;
  // The client has the answers of all sequences below: their results may be forgotten.
  std::uint64_t acknowledged_below = 0;
  Timestamp since = {};
  bool operator==(const Session&) const = default;
};

enum class WriteOutcome : std::uint8_t {
  kApplied = 1,
  kConditionFailed = 2,
  kSessionExpired = 3,
  // Not evaluated, and not remembered: the group does not hold all of its keys. Whoever does may
  // still evaluate it, or have done so.
  kWrongShard = 4,
  // Not evaluated, and not remembered: somebody's lock is in the way (`obstacle`).
  kLocked = 5,
  // Of steps of transactions (kv/txn/command.h).
  kConflict = 6,  // a key has changed (`obstacle` names it, `actual_version`)
  kTxnAborted = 7,
  kTxnTooLate = 8,
  kTxnTooOld = 9,
  kRepeated = 10,  // of a client's write that was applied before; all else is of the first time
  kTooLarge = 11,  // it changes too much at once
};

struct Obstacle;  // kv/txn/locks.h

// Small and flat: kept per session, sent between nodes.
struct WriteResult {
  WriteOutcome outcome = WriteOutcome::kApplied;
  Timestamp timestamp = {};       // of the commit; of the first time, for a repeated write
  std::uint64_t affected = 0;     // keys that were deleted; for puts, not counted
  std::uint32_t failed_op = 0;    // kConditionFailed: which operation of the batch
  Timestamp actual_version = {};  // kConditionFailed, kConflict: the version found; 0: absent
  // kLocked, kConflict; of a resolve: has the key where it is to go on.
  std::shared_ptr<const Obstacle> obstacle = {};
};

struct GetResult {
  bool found = false;
  bool skipped = false;  // it was not looked at: somebody else has locked it
  std::string value = {};
  Timestamp version = {};
  std::uint64_t expires_at_ms = 0;  // replicated time, milliseconds since the epoch; 0: never
};

// Reads with a timestamp see the state as of it: what was committed at it or before. Without one
// (zero) they see the newest.

// A row as it now is; no value: it is gone.
struct RowChange {
  std::string key;
  std::optional<std::string> value;
};

// A page of rows in the order of their keys, from one group.
//
// If the keyspace is hashed: of these slots, all of which the group must hold. Else of the part of
// the range that the group holds, which must have the range's beginning, in the direction of the
// scan.
struct ScanRequest {
  KeyspaceId keyspace = kDefaultKeyspace;
  std::string start = {};  // inclusive
  std::string end = {};    // exclusive; empty: to the end of the keyspace
  bool reverse = false;
  Timestamp as_of = {};
  std::uint32_t limit = 0;  // rows of this page; 0: kScanRowsDefault
  bool keys_only = false;
  std::uint32_t first_slot = 0;
  std::uint32_t past_last_slot = kSlots;
};

struct ScanRow {
  std::string key = {};
  std::string value = {};
  Timestamp version = {};
  std::uint64_t expires_at_ms = 0;
};

// Encoded bounds, the end exclusive; nothing was changed in it after this timestamp.
struct LockedRange {
  std::string start;
  std::string end;
  Timestamp as_of;
};

struct ScanPage {
  std::vector<ScanRow> rows = {};
  // More may follow, here or, where the group's range ends, elsewhere: forward, continue with
  // start = resume_key; in reverse, with end = resume_key. Empty when no more follows.
  bool more = false;
  std::string resume_key = {};
  // What was locked for it, and found so.
  std::vector<LockedRange> locked = {};
};

// Which rows count, by their values.
enum class ValueFilter : std::uint8_t { kAll = 0, kEquals = 1, kContains = 2, kBeginsWith = 3 };

// A count of the rows of a range, of some slots in a hashed keyspace, by one group: of the part
// that the group holds, which must have the beginning. Each answer looks at a bounded number of
// rows; the next request is the same but for `resume`.
struct AggregateRequest {
  KeyspaceId keyspace = kDefaultKeyspace;
  std::string start = {};  // inclusive
  std::string end = {};    // exclusive; empty: to the end of the keyspace
  Timestamp as_of = {};
  std::uint32_t first_slot = 0;
  std::uint32_t past_last_slot = kSlots;
  ValueFilter filter = ValueFilter::kAll;
  std::string filter_value = {};
  bool sum = false;         // add up the values that are decimal integers
  std::string resume = {};  // of the page before; empty: from the beginning

  bool operator==(const AggregateRequest&) const = default;
};

struct AggregatePage {
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;  // of their keys and values
  std::int64_t sum = 0;
  std::uint64_t not_integers = 0;  // rows whose values were not added up
  // More may follow, from this key on, which is encoded: whoever holds it is to be asked.
  bool more = false;
  std::string resume = {};

  bool operator==(const AggregatePage&) const = default;
};

// Adds a page to those before it; `more` and `resume` are the page's. BAD_REQUEST when the sum
// leaves the range of its type.
Status AddPage(const AggregatePage& page, AggregatePage& total);

// Versions of one key, the newest first: those before a timestamp; zero: all.
struct HistoryRequest {
  KeyspaceId keyspace = kDefaultKeyspace;
  std::string key = {};
  Timestamp before = {};
  std::uint32_t limit = 0;  // 0: kHistoryVersionsDefault

  bool operator==(const HistoryRequest&) const = default;
};

// kExpired: the key's time had come. kUnknown: it has been collected.
enum class VersionKind : std::uint8_t { kUnknown = 0, kPut = 1, kDeleted = 2, kExpired = 3 };

// What came after a version; of one before `before`, its timestamp alone may be known.
struct Successor {
  Timestamp timestamp = {};
  VersionKind kind = VersionKind::kUnknown;
  TxnId transaction = {};

  bool operator==(const Successor&) const = default;
};

struct HistoryVersion {
  Timestamp timestamp = {};
  VersionKind kind = VersionKind::kPut;
  TxnId transaction = {};                    // that created it; zero: a plain write
  std::uint64_t expires_at_ms = 0;           // as of ScanRow
  std::string value = {};                    // of kPut
  std::optional<Successor> superseded = {};  // none: it is the newest

  bool operator==(const HistoryVersion&) const = default;
};

struct HistoryPage {
  std::vector<HistoryVersion> versions = {};
  // There are older ones: go on with before = the timestamp of the last.
  bool more = false;
  // Versions that were superseded at this timestamp or before may be gone.
  Timestamp complete_since = {};

  bool operator==(const HistoryPage&) const = default;
};

enum class Consistency : std::uint8_t {
  kLinearizable = 1,  // the newest, confirmed by read index
  kEventual = 2,      // committed data of some moment, from the node that was asked
  kProvisional = 3,   // as linearizable, and what is about to be committed as if it were
};

}  // namespace flotilla::kv
