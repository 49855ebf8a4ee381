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
  const std::string* encoded;
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

StatusOr<GetResult> Store::Get(KeyspaceId keyspace, std::string_view key, Timestamp as_of,
                               InTheWay obstacle) {
  ASSIGN_OR_RETURN(std::vector<GetResult> results,
                   BatchGet(keyspace, {key}, {.as_of = as_of, .obstacle = obstacle}));
  return std::move(results.front());
}

Timestamp StoreImpl::Settled(Timestamp as_of) const {
  if (locks_.empty()) return as_of;
  const Timestamp visible(visible_timestamp_.load());
  return std::min(as_of ? as_of : visible, locks_.CompleteUpTo());
}

StatusOr<std::vector<GetResult>> StoreImpl::BatchGet(KeyspaceId keyspace,
                                                     const std::vector<std::string_view>& keys,
                                                     const GetRules& rules) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  if (range_.frozen && !Planted(Plant::kFrozenServes)) return WrongShard(options_.group, range_);
  std::vector<std::string> encoded(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    AppendEncodedKey(encoded[i], keyspace, keys[i]);
    if (!range_.Contains(encoded[i]) && !Planted(Plant::kReadsUnowned)) {
      return WrongShard(options_.group, range_);
    }
  }
  const bool one_moment = rules.one_moment && keys.size() > 1;
  Timestamp as_of = rules.as_of;
  for (int round = 0;; ++round) {
    const Timestamp visible(visible_timestamp_.load());
    // Looked up before the versions are: whoever finds no intent finds what it has become.
    if (rules.obstacle != nullptr && !locks_.empty() && !Planted(Plant::kIntentsOverlooked)) {
      for (const std::string& key : encoded) {
        if ((*rules.obstacle = locks_.IntentOn(key, as_of))) return Locked(**rules.obstacle);
      }
    } else if (rules.obstacle == nullptr && one_moment) {
      as_of = Settled(as_of);
    }
    Timestamp newest;
    StatusOr<std::vector<GetResult>> results = ReadKeys(encoded, as_of, newest);
    // Something was written meanwhile: they may be of different moments.
    const bool torn = one_moment && !as_of && newest > visible;
    const bool collected = !rules.as_of && ReasonOf(results.status()) == Reason::kTimestampTooOld;
    if ((!torn && !collected) || round == kMomentsMax) return results;
    as_of = Timestamp(visible_timestamp_.load());
  }
}

StatusOr<std::vector<GetResult>> StoreImpl::ReadKeys(const std::vector<std::string>& encoded,
                                                     Timestamp as_of, Timestamp& newest) {
  RETURN_IF_ERROR(CheckKept(as_of));
  const std::uint64_t now_ms = MillisecondsAt(as_of);
  std::vector<GetResult> results(encoded.size());
  std::vector<Missed> missed;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    bool intact = true;
    bool found = false;
    row_cache_.Find(encoded[i], [&](Timestamp timestamp, std::string_view value) {
      if (as_of && timestamp > as_of) return;  // there may be an older one
      found = true;
      newest = std::max(newest, timestamp);
      intact = Take(timestamp, value, now_ms, results[i]);
    });
    if (!intact) return Malformed();
    if (!found)
      missed.push_back({.encoded = &encoded[i], .token = row_cache_.Begin(encoded[i]), .at = i});
  }
  if (missed.empty()) return results;
  // In the order of keys: neighbours share blocks.
  std::sort(missed.begin(), missed.end(),
            [](const Missed& a, const Missed& b) { return *a.encoded < *b.encoded; });
  const std::unique_ptr<rocksdb::Iterator> rows =
      database_->Iterate(PointReads(), database_->versions());
  RETURN_IF_ERROR(CheckKept(as_of));
  for (const Missed& one : missed) {
    std::string_view key;
    Timestamp timestamp;
    const auto seek = [&](Timestamp limit) -> StatusOr<bool> {
      if (!SeekVersion(*rows, *one.encoded, limit)) return false;
      if (SplitVersionKey({rows->key().data(), rows->key().size()}, key, timestamp)) return true;
      return Malformed();
    };
    // Nearly always the newest is the one: it can be kept.
    ASSIGN_OR_RETURN(bool found, seek(Timestamp()));
    const bool is_newest = !as_of || timestamp <= as_of;
    if (found && !is_newest) {
      ASSIGN_OR_RETURN(found, seek(as_of));
    }
    if (found) {
      const std::string_view value(rows->value().data(), rows->value().size());
      if (!Take(timestamp, value, now_ms, results[one.at])) return Malformed();
      newest = std::max(newest, timestamp);
      if (is_newest) row_cache_.Keep(*one.encoded, one.token, timestamp, value);
    }
    RETURN_IF_ERROR(Located(FromRocks(rows->status(), "reading a key")));
  }
  return results;
}

StatusOr<std::optional<TxnRecord>> StoreImpl::Record(std::string_view anchor, TxnId txn) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  if (range_.frozen || !range_.Contains(anchor)) return WrongShard(options_.group, range_);
  return locks_.Record(anchor, txn);
}

}  // namespace flotilla::kv
