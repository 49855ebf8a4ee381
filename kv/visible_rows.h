// VisibleRows: from the version of one key that is visible as of a timestamp to that of the next,
// over an iterator of `versions`.
//
// The versions of a key stand next to each other, the newest first. A few that are not wanted are
// stepped over; past many, as a counter has them, a seek is cheaper.
#pragma once

#include <rocksdb/iterator.h>

#include <string>
#include <string_view>

#include "base/status.h"
#include "kv/key_codec.h"
#include "kv/version_codec.h"

namespace flotilla::kv {

class VisibleRows {
 public:
  // `rows` outlives this. Zero: as of now.
  explicit VisibleRows(rocksdb::Iterator& rows, Timestamp as_of = {})
      : rows_(rows), as_of_(as_of) {}

  // To the first key from `target` on that has a version.
  void Seek(const rocksdb::Slice& target) {
    rows_.Seek(target);
    Settle();
  }

  // From such a version to that of the next key.
  void Next() {
    const rocksdb::Slice key = rows_.key();
    last_.assign(key.data(), key.size() < kTimestampBytes ? 0 : key.size() - kTimestampBytes);
    for (int i = 0; i < kSteppedOverMax; ++i) {
      rows_.Next();
      if (!OnLast()) {
        Settle();
        return;
      }
    }
    AppendVersionSuffix(last_, Timestamp(0));  // which no version has
    Seek(last_);
  }

  // From wherever `rows` was put, between two keys, to the next version that is visible.
  void Settle() {
    if (!as_of_) return;
    std::string_view encoded;
    Timestamp timestamp;
    for (int stepped_over = 0; rows_.Valid(); ++stepped_over) {
      if (!SplitVersionKey({rows_.key().data(), rows_.key().size()}, encoded, timestamp)) return;
      if (timestamp <= as_of_) return;
      if (stepped_over < kSteppedOverMax) {
        rows_.Next();
        continue;
      }
      last_ = encoded;
      AppendVersionSuffix(last_, as_of_);
      rows_.Seek(last_);
      stepped_over = 0;
    }
  }

 private:
  static constexpr int kSteppedOverMax = 16;

  bool OnLast() const {
    if (!rows_.Valid()) return false;
    const rocksdb::Slice key = rows_.key();
    return key.size() == last_.size() + kTimestampBytes && key.starts_with(last_);
  }

  rocksdb::Iterator& rows_;
  const Timestamp as_of_;
  std::string last_;
};

// A walk backwards meets the oldest version of a key first. From there to the one that is visible,
// which is read; views into the row. False: none is, and `rows` stands before the key.
StatusOr<bool> ReadVisible(rocksdb::Iterator& rows, const std::string& encoded, Timestamp as_of,
                           Timestamp& timestamp, VersionView& version);

}  // namespace flotilla::kv
