// NewestRows: from the newest version of one key to that of the next, over an iterator of
// `versions`.
//
// The versions of a key stand next to each other, the newest first. A few old ones are stepped
// over; past many, as a counter has them, a seek is cheaper.
#pragma once

#include <rocksdb/iterator.h>

#include <string>
#include <string_view>

#include "kv/key_codec.h"

namespace flotilla::kv {

class NewestRows {
 public:
  // `rows` stands on nothing or on the newest version of a key, and outlives this.
  explicit NewestRows(rocksdb::Iterator& rows) : rows_(rows) {}

  void Next() {
    const rocksdb::Slice key = rows_.key();
    last_.assign(key.data(), key.size() < kTimestampBytes ? 0 : key.size() - kTimestampBytes);
    for (int i = 0; i < kSteppedOverMax; ++i) {
      rows_.Next();
      if (!OnLast()) return;
    }
    AppendVersionSuffix(last_, Timestamp(0));  // which no version has
    rows_.Seek(last_);
  }

 private:
  static constexpr int kSteppedOverMax = 16;

  bool OnLast() const {
    if (!rows_.Valid()) return false;
    const rocksdb::Slice key = rows_.key();
    return key.size() == last_.size() + kTimestampBytes && key.starts_with(last_);
  }

  rocksdb::Iterator& rows_;
  std::string last_;
};

}  // namespace flotilla::kv
