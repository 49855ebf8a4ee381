// Transactions, as one group's state machine sees them: see kv/txn/README.md for the protocol.
//
// Keys are encoded (kv/key_codec.h): a transaction may write in several keyspaces.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/types.h"
#include "kv/request.h"

namespace flotilla::kv {

// What a transaction's reads see, and what its commit checks (DESIGN section 7).
enum class Isolation : std::uint8_t {
  kReadUncommitted = 1,
  kReadCommitted = 2,
  kRepeatableRead = 3,  // snapshot isolation: the first to commit a key wins
  kSerializable = 4,    // and what was read is unchanged
};

// One prepare of a transaction, in one entry of one group's log. It is found again by its first
// key, which has a lock of its own, wherever that key's shard may be by then.
struct TxnPart {
  std::string first;
  std::string last;  // no key of it lies after; of a range, no key at or after
  bool operator==(const TxnPart&) const = default;
};

// The write of a client's session that a transaction carries out (kv/sessions.h), and what of the
// answer the transaction alone knows. Its anchor's group remembers the answer with the commit, so
// that a repetition, which is another transaction with the same anchor, gets it.
struct TxnSession {
  Session session = {};  // no client: it carries out none
  std::uint64_t affected = 0;

  explicit operator bool() const { return static_cast<bool>(session.client); }
  bool operator==(const TxnSession&) const = default;
};

enum class TxnState : std::uint8_t {
  // All parts are being prepared: it is committed, at the largest of their timestamps, once all of
  // them are.
  kStaged = 1,
  kCommitted = 2,
  kAborted = 3,
};

// What the anchor, the first key that was written, has of a transaction.
struct TxnRecord {
  TxnState state = TxnState::kStaged;
  // kStaged: of the prepare; kCommitted: of the commit.
  Timestamp timestamp = {};
  // In replicated milliseconds: no prepare takes effect after it, so that the record can go once
  // nothing of the transaction is left.
  std::uint64_t valid_until_ms = 0;
  // In order of their numbers; none when it was committed in one entry, or aborted before it came
  // here.
  std::vector<TxnPart> parts = {};
  TxnSession session = {};  // kStaged: to be remembered with the commit
  // Nothing of it is left elsewhere: the record goes after `valid_until_ms` by itself.
  bool resolved = false;
  bool operator==(const TxnRecord&) const = default;
};

// Transactions that one log entry has committed, each all at once. They have no records of their
// own; what a record would say of them follows.
struct TxnCommits {
  std::uint64_t valid_until_ms = 0;  // the latest of theirs
  std::vector<std::pair<TxnId, Timestamp>> commits = {};
  bool operator==(const TxnCommits&) const = default;
};

enum class LockKind : std::uint8_t {
  kPut = 1,     // an intent
  kDelete = 2,  // an intent
  kShared = 3,  // the key was read, and stays as it is
};

// What a lock says of the transaction that holds it.
struct LockHolder {
  TxnId txn = {};
  std::string anchor = {};
  std::uint32_t part = 0;
  NodeId coordinator = {};  // who will resolve it; sooner, if somebody waits
  Timestamp prepared = {};  // it will be committed at this timestamp or a later one, if at all
  std::uint64_t valid_until_ms = 0;
  bool operator==(const LockHolder&) const = default;
};

}  // namespace flotilla::kv
