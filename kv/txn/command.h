// TxnCommand: a step of a transaction, as one command of a log entry's batch (kv/command.h).
//
// Format (version 2, where other commands have 1), integers varints unless said otherwise:
//   u8 version=2 | u8 kind | prefixed routing key | txn fixed64 | by kind
//
// Each may be repeated, and come late: what it would have done twice, it does once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "kv/txn/types.h"

namespace flotilla::kv {

struct TxnWrite {
  bool deletes = false;
  std::string_view key = {};
  std::string_view value = {};
  std::uint64_t ttl_ms = 0;  // 0: never expires; from the commit on
  bool operator==(const TxnWrite&) const = default;
};

// A key that must be as the transaction saw it, and stays so until its outcome is known.
struct TxnCheck {
  std::string_view key = {};
  // What its newest version must be: not above `as_of` of the prepare; or, if `exact`, this one
  // (0: none), as a lock that was taken on the way found it.
  bool exact = false;
  Timestamp version = {};
  bool operator==(const TxnCheck&) const = default;
};

// Encoded bounds, the end exclusive; no version of a key inside is above `as_of`.
struct TxnRange {
  std::string_view start = {};
  std::string_view end = {};
  Timestamp as_of = {};  // zero: that of the prepare
  bool operator==(const TxnRange&) const = default;
};

// Checks keys and ranges, and puts intents and shared locks, all of them or none. Views into the
// encoded command.
//
// kApplied: prepared, at the answer's timestamp, or committed at it if `one_phase`. kLocked,
// kConflict: nothing happened, if it is the first to come. kTxnAborted: it was rolled back.
// kTxnTooLate: nothing happens any more; what happened before nobody knows but the anchor, and that
// not for long. kTxnTooOld: nothing happened, if it is the first to come. kRepeated,
// kConditionFailed, kSessionExpired: nothing happened; the session's write has this answer already.
struct TxnPrepare {
  Isolation isolation = Isolation::kSerializable;
  std::string_view anchor = {};
  std::uint32_t part = 0;
  std::uint64_t valid_until_ms = 0;
  NodeId coordinator = {};
  // What its reads saw, and what it judges others' commits by. Zero: its start.
  Timestamp as_of = {};
  // All of the transaction: it commits here and now.
  bool one_phase = false;
  std::vector<TxnWrite> writes = {};
  std::vector<TxnCheck> checks = {};
  std::vector<TxnRange> ranges = {};
  // Of the part that has the anchor: all of them, which makes the record. Others: none.
  std::vector<TxnPart> parts = {};
  // Of the part that has the anchor.
  TxnSession session = {};
  bool operator==(const TxnPrepare&) const = default;
};

// Whether the part whose first key is the routing key has been prepared; if not, it never will be.
// kApplied, with the prepare's timestamp; kTxnAborted.
struct TxnFence {
  std::uint32_t part = 0;
  std::uint64_t valid_until_ms = 0;
  bool operator==(const TxnFence&) const = default;
};

// The outcome, in the record at the routing key, which is the anchor; the first to come counts.
// kApplied with the timestamp of the commit, kTxnAborted. kTxnTooLate: there is no record any more.
//
// If it is committed, what the group holds for the transaction from the routing key to `last` is
// resolved as well, as TxnResolve does it; kApplied has its `obstacle`. No `last`: nothing is.
//
// A staged record may be that of a transaction which is committed, as its coordinator knows who has
// all answers. So only he may have it aborted, or who has found a part unprepared and fenced it;
// all others only where there is none (`if_absent`): kConditionFailed says that there is.
struct TxnDecide {
  Timestamp commit = {};  // zero: abort
  std::uint64_t valid_until_ms = 0;
  bool if_absent = false;
  std::string_view last = {};
  bool operator==(const TxnDecide&) const = default;
};

// What the group holds for the transaction in a span of keys becomes versions, or goes: a bounded
// number. Its decision must be in the record. The answer's `affected` tells how many there were;
// its `obstacle` has the key from which on there may be more, here or in another group.
struct TxnResolve {
  Timestamp commit = {};       // zero: rolled back
  std::string_view last = {};  // no key after it; the routing key is the first
  bool operator==(const TxnResolve&) const = default;
};

// Nothing of the transaction is left but the record at the routing key, which then goes by itself
// when no prepare can come any more. `others`: the same of their records; of those that are not in
// the group, nothing.
struct TxnForget {
  std::vector<std::pair<std::string_view, TxnId>> others = {};
  bool operator==(const TxnForget&) const = default;
};

// A session's write is not carried out; the routing key is the anchor that it would have had. The
// outcome, which is remembered as its answer; unless it has one: then that, as a prepare has it.
// kLocked: another try may be about to commit.
struct TxnDecline {
  Session session = {};
  WriteOutcome outcome = WriteOutcome::kConditionFailed;  // or kTooLarge
  Timestamp seen_at = {};                                 // as of then
  std::uint32_t failed_op = 0;
  Timestamp actual_version = {};
  bool operator==(const TxnDecline&) const = default;
};

struct TxnCommand {
  std::string_view key = {};  // decides which group it belongs to
  TxnId txn = {};
  std::variant<TxnPrepare, TxnFence, TxnDecide, TxnResolve, TxnForget, TxnDecline> step = {};
  bool operator==(const TxnCommand&) const = default;
};

// A transaction is refused that began longer ago, in replicated milliseconds: deletions are
// remembered for that long.
inline constexpr std::uint64_t kTxnAgeMsMax = 15ull * 60 * 1000;
// A resolve looks at so many locks.
inline constexpr std::size_t kTxnResolveMax = 1'000;
// Parts of one transaction that its record can name.
inline constexpr std::size_t kTxnPartsMax = 4'096;

// Whether a command of a batch is a step of a transaction.
bool IsTxnCommand(std::string_view encoded);
std::string EncodeTxnCommand(const TxnCommand& command);
// BAD_REQUEST when the bytes are none.
Status DecodeTxnCommand(std::string_view encoded, TxnCommand& command);
// Its routing key. False when it is none; not all of it is looked at.
bool PeekTxnCommand(std::string_view encoded, std::string_view& key);
// Whether it commits all of the transaction, and whose it is.
bool PeekOnePhase(std::string_view encoded, TxnId& txn);
// Whose step it is.
bool PeekTxnId(std::string_view encoded, TxnId& txn);

}  // namespace flotilla::kv
