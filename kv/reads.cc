// Reads of single keys; any thread.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "kv/damage.h"
#include "kv/key_codec.h"
#include "kv/page_builder.h"
#include "kv/store_impl.h"
#include "kv/version_codec.h"
#include "kv/visible_rows.h"

namespace flotilla::kv {
namespace {

// A stored version, if it is visible. False: it is malformed.
bool Take(Timestamp timestamp, std::string_view stored, std::uint64_t now_ms, GetResult& result) {
  VersionView version;
  if (!DecodeVersion(stored, version)) return false;
  if (!version.Exists(now_ms)) return true;
  result.found = true;
  result.version = timestamp;
  result.value = version.value;
  result.expires_at_ms = version.expires_at_ms;
  return true;
}

// A key that is to be looked for in the database.
struct Missed {
  std::string encoded;
  RowCache::Token token;
  std::size_t at;
};

}  // namespace

Status StoreImpl::Located(const Status& status) {
  if (!LacksPlace(status)) return status;
  std::call_once(damage_searched_, [this] { damage_ = FindDamage(*resources_.env, DbPath()); });
  return Annotate(status, damage_);
}

Status StoreImpl::CheckKept(Timestamp as_of) const {
  const Timestamp safe(safe_point_.load());
  if (!as_of || as_of >= safe || Planted(Plant::kReadsCollected)) return absl::OkStatus();
  return Error(Reason::kTimestampTooOld,
               fmt::format("group {} keeps no whole history as of timestamp {}: the oldest that "
                           "can be read is {}; read as of a later one, or have the keyspace keep "
                           "versions for longer (`kvctl keyspace alter --retention`)",
                           options_.group.value(), as_of.value(), safe.value()));
}

StatusOr<GetResult> StoreImpl::Get(KeyspaceId keyspace, std::string_view key, Timestamp as_of) {
  ASSIGN_OR_RETURN(std::vector<GetResult> results, BatchGet(keyspace, {key}, as_of));
  return std::move(results.front());
}

StatusOr<std::vector<GetResult>> StoreImpl::BatchGet(KeyspaceId keyspace,
                                                     const std::vector<std::string_view>& keys,
                                                     Timestamp as_of) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  if (range_.frozen && !Planted(Plant::kFrozenServes)) return WrongShard(options_.group, range_);
  RETURN_IF_ERROR(CheckKept(as_of));
  const std::uint64_t now_ms = MillisecondsAt(as_of);
  std::vector<GetResult> results(keys.size());
  std::vector<Missed> missed;
  std::string encoded;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    encoded.clear();
    AppendEncodedKey(encoded, keyspace, keys[i]);
    if (!range_.Contains(encoded) && !Planted(Plant::kReadsUnowned)) {
      return WrongShard(options_.group, range_);
    }
    bool intact = true;
    bool found = false;
    row_cache_.Find(encoded, [&](Timestamp timestamp, std::string_view value) {
      if (as_of && timestamp > as_of) return;  // there may be an older one
      found = true;
      intact = Take(timestamp, value, now_ms, results[i]);
    });
    if (!intact) return Malformed();
    if (!found) missed.push_back({.encoded = encoded, .token = row_cache_.Begin(encoded), .at = i});
  }
  if (missed.empty()) return results;
  // In the order of keys: neighbours share blocks.
  std::sort(missed.begin(), missed.end(),
            [](const Missed& a, const Missed& b) { return a.encoded < b.encoded; });
  const std::unique_ptr<rocksdb::Iterator> rows(
      database_->db().NewIterator(PointReads(), database_->versions()));
  RETURN_IF_ERROR(CheckKept(as_of));
  for (const Missed& one : missed) {
    if (SeekVersion(*rows, one.encoded, as_of)) {
      std::string_view found;
      Timestamp timestamp;
      const std::string_view value(rows->value().data(), rows->value().size());
      if (!SplitVersionKey({rows->key().data(), rows->key().size()}, found, timestamp) ||
          !Take(timestamp, value, now_ms, results[one.at])) {
        return Malformed();
      }
      // As of then it may not be the newest.
      if (!as_of) row_cache_.Keep(one.encoded, one.token, timestamp, value);
    }
    RETURN_IF_ERROR(Located(FromRocks(rows->status(), "reading a key")));
  }
  return results;
}

}  // namespace flotilla::kv
