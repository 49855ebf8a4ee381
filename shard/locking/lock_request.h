// What a read asks of the locks of the group that serves it.
//
// Such locks are the leader's own, in its memory (shard/locking/README.md): they keep others from
// writing until their transaction ends, and are lost with the leader. Whoever has read under one
// finds out at the commit whether it held.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/types.h"
#include "kv/txn/types.h"

namespace flotilla {

enum class LockStrength : std::uint8_t {
  kShare = 1,   // nobody else writes
  kUpdate = 2,  // and nobody else locks
};

// What happens to a request when somebody else is in its way.
enum class LockPatience : std::uint8_t {
  kWait = 1,
  kNoWait = 2,      // it fails with LOCK_TIMEOUT
  kSkipLocked = 3,  // it does without what is locked
};

// Who holds a lock, or wants one.
struct LockOwner {
  kv::TxnId txn = {};       // zero: a write that is no transaction's
  NodeId coordinator = {};  // keeps the transaction, and knows whether it goes on
  // Its first try: of those that stand in each other's way the youngest is to go.
  kv::TxnId since = {};
  bool operator==(const LockOwner&) const = default;
};

struct LockRequest {
  LockOwner owner;
  LockStrength strength = LockStrength::kUpdate;
  LockPatience patience = LockPatience::kWait;
  // kWait: LOCK_TIMEOUT after so long. Zero: as long as the request may take.
  Duration within{0};
  // Not even the values are wanted.
  bool keys_only = false;
  bool operator==(const LockRequest&) const = default;
};

// A key (`end` is empty) or a range, encoded.
struct LockSpan {
  std::string start;
  std::string end = {};
  LockStrength strength = LockStrength::kUpdate;
  bool operator==(const LockSpan&) const = default;
};

}  // namespace flotilla
