#include "kv/followed_rows.h"

#include <rocksdb/iterator.h>

#include <optional>
#include <utility>

#include "base/check.h"
#include "kv/database.h"
#include "kv/key_codec.h"
#include "kv/version_codec.h"
#include "kv/visible_rows.h"

namespace flotilla::kv {

FollowedRows::FollowedRows(KeyspaceId keyspace)
    : start_(KeyspaceStart(keyspace)), end_(KeyspaceEnd(keyspace)) {}

void FollowedRows::Note(std::string_view encoded_key, std::string_view header,
                        std::string_view value) {
  if (encoded_key < start_ || encoded_key >= end_ || encoded_key == last_) return;
  last_ = encoded_key;
  RowChange& change = changes_.emplace_back();
  KeyspaceId keyspace;
  VersionView version;
  CHECK(DecodeKey(encoded_key, keyspace, change.key));
  CHECK(DecodeVersion(header, version));
  if (!version.tombstone) change.value = std::string(value);
}

std::vector<RowChange> FollowedRows::Take() {
  last_.clear();
  return std::exchange(changes_, {});
}

StatusOr<std::vector<RowChange>> FollowedRows::ReadAll(rocksdb::Iterator& rows) const {
  std::vector<RowChange> all;
  VisibleRows newest(rows);
  for (rows.Seek(start_); rows.Valid() && rows.key().compare(end_) < 0; newest.Next()) {
    std::string_view encoded;
    Timestamp timestamp;
    VersionView version;
    KeyspaceId keyspace;
    RowChange change;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, encoded, timestamp) ||
        !DecodeVersion({rows.value().data(), rows.value().size()}, version) ||
        !DecodeKey(encoded, keyspace, change.key)) {
      return Error(Reason::kDataDamaged, "a stored version is malformed");
    }
    if (version.tombstone) continue;
    change.value = std::string(version.value);
    all.push_back(std::move(change));
  }
  RETURN_IF_ERROR(FromRocks(rows.status(), "reading all rows of a keyspace"));
  return all;
}

}  // namespace flotilla::kv
