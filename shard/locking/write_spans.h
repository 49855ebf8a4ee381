// What a write takes from those who hold locks: the keys that it changes, and those that a
// transaction's commit looks at.
#pragma once

#include <string_view>
#include <vector>

#include "shard/locking/lock_request.h"

namespace flotilla {

struct WriteSpans {
  kv::TxnId txn = {};  // zero: it is no transaction's
  std::vector<LockSpan> spans;
};

// Of an encoded write (kv::EncodeCommand, kv::EncodeTxnCommand). None: it is in nobody's way.
WriteSpans SpansOf(std::string_view command);

}  // namespace flotilla
