// A page of rows of many slots of a hashed keyspace, in the order of user keys.
//
// Each slot has its rows in order; the page has the first of all. One walk over the slots keeps the
// best rows met so far, and leaves a slot at the first row that is behind them all. With n rows in
// s slots a page of k rows looks at about s + k ln(n / k) of them.
#pragma once

#include <rocksdb/iterator.h>

#include "kv/request.h"
#include "kv/user_range.h"

namespace flotilla::kv {

// `rows` goes over `versions`, and not beyond the range.
StatusOr<ScanPage> ScanEachSlot(rocksdb::Iterator& rows, const UserRange& range,
                                const ScanRequest& request, std::uint64_t now_ms);

}  // namespace flotilla::kv
