// All versions of one key that are still there; any thread.

#include <algorithm>
#include <utility>

#include "kv/damage.h"
#include "kv/key_codec.h"
#include "kv/limits.h"
#include "kv/page_builder.h"
#include "kv/store_impl.h"
#include "kv/version_codec.h"

namespace flotilla::kv {
namespace {

VersionKind KindOf(const VersionView& version) {
  if (!version.tombstone) return VersionKind::kPut;
  return version.expires_at_ms != 0 ? VersionKind::kExpired : VersionKind::kDeleted;
}

}  // namespace

StatusOr<HistoryPage> StoreImpl::History(const HistoryRequest& request, InTheWay obstacle) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  const std::string encoded = EncodeKey(request.keyspace, request.key);
  if (range_.frozen || !range_.Contains(encoded)) return WrongShard(options_.group, range_);
  if (obstacle != nullptr && !locks_.empty()) {
    if ((*obstacle = locks_.IntentOn(encoded, {}))) return Locked(**obstacle);
  }
  const std::unique_ptr<rocksdb::Iterator> rows =
      database_->Iterate(PointReads(), database_->versions());
  HistoryPage page;
  // After the iterator is there: what goes from now on, it still sees.
  page.complete_since = Timestamp(safe_point_.load());
  const std::uint32_t limit = request.limit == 0 ? kHistoryVersionsDefault : request.limit;
  std::optional<Successor> successor;
  if (request.before) successor = Successor{.timestamp = request.before};
  std::size_t bytes = 0;
  for (bool there = SeekVersion(*rows, encoded, request.before); there; rows->Next()) {
    if (!rows->Valid()) break;
    std::string_view key;
    Timestamp timestamp;
    if (!SplitVersionKey({rows->key().data(), rows->key().size()}, key, timestamp)) {
      return Malformed();
    }
    if (key != encoded) break;
    VersionView version;
    if (!DecodeVersion({rows->value().data(), rows->value().size()}, version)) return Malformed();
    const Successor self{
        .timestamp = timestamp, .kind = KindOf(version), .transaction = TxnId(version.transaction)};
    // The one that the page before ended with.
    if (!request.before || timestamp < request.before) {
      bytes += encoded.size() + version.value.size();
      if (page.versions.size() == limit || (bytes > kScanBytesMax && !page.versions.empty())) {
        page.more = true;
        break;
      }
      page.versions.push_back({.timestamp = timestamp,
                               .kind = self.kind,
                               .transaction = self.transaction,
                               .expires_at_ms = version.expires_at_ms,
                               .value = std::string(version.value),
                               .superseded = successor});
    }
    successor = self;
  }
  RETURN_IF_ERROR(Located(FromRocks(rows->status(), "reading a key's history")));
  return page;
}

}  // namespace flotilla::kv
