#include "kv/visible_rows.h"

#include "kv/database.h"
#include "kv/page_builder.h"

namespace flotilla::kv {

StatusOr<bool> ReadVisible(rocksdb::Iterator& rows, const std::string& encoded, Timestamp as_of,
                           Timestamp& timestamp, VersionView& version) {
  if (SeekVersion(rows, encoded, as_of)) {
    std::string_view found;
    const bool good = SplitVersionKey({rows.key().data(), rows.key().size()}, found, timestamp) &&
                      DecodeVersion({rows.value().data(), rows.value().size()}, version);
    return good ? StatusOr<bool>(true) : Malformed();
  }
  RETURN_IF_ERROR(FromRocks(rows.status(), "scanning"));
  if (!as_of) return Malformed();
  rows.SeekForPrev(encoded);
  return false;
}

}  // namespace flotilla::kv
