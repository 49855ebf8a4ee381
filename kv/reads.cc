// Reads of the newest versions; any thread.

#include <algorithm>
#include <utility>

#include "kv/damage.h"
#include "kv/key_codec.h"
#include "kv/limits.h"
#include "kv/newest_rows.h"
#include "kv/store_impl.h"
#include "kv/version_codec.h"

namespace flotilla::kv {
namespace {

// Most pages are no larger.
constexpr std::size_t kRowsReservedMax = 128;

Status Malformed() { return Error(Reason::kDataDamaged, "a stored version is malformed"); }

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

std::size_t LimitOf(const ScanRequest& request) {
  return request.limit == 0 ? kScanRowsDefault : std::min(request.limit, kScanRowsMax);
}

// Rows of a page, and what it weighs.
class PageBuilder {
 public:
  PageBuilder(const ScanRequest& request, ScanPage& page)
      : limit_(LimitOf(request)), keys_only_(request.keys_only), page_(page) {
    page_.rows.reserve(std::min<std::size_t>(limit_, kRowsReservedMax));
  }

  bool full() const { return page_.rows.size() >= limit_ || bytes_ >= kScanBytesMax; }

  Status Add(std::string_view encoded, Timestamp timestamp, const VersionView& version) {
    ScanRow& row = page_.rows.emplace_back();
    KeyspaceId keyspace;
    if (!DecodeKey(encoded, keyspace, row.key)) return Malformed();
    if (!keys_only_) row.value = version.value;
    row.version = timestamp;
    row.expires_at_ms = version.expires_at_ms;
    bytes_ += row.key.size() + row.value.size() + 32;
    return absl::OkStatus();
  }

 private:
  const std::size_t limit_;
  const bool keys_only_;
  ScanPage& page_;
  std::size_t bytes_ = 0;
};

// Where the next page begins, once this one is full and there is a visible row after it.
Status EndPage(std::string_view next, bool reverse, ScanPage& page) {
  page.more = true;
  if (reverse) {
    // The end is exclusive: the page before the next row ends with the row after it.
    page.resume_key = page.rows.back().key;
    return absl::OkStatus();
  }
  KeyspaceId keyspace;
  return DecodeKey(next, keyspace, page.resume_key) ? absl::OkStatus() : Malformed();
}

// False: what was found does not make a page.
StatusOr<bool> ScanFound(const RangeCache::Found& found, bool reverse, std::uint64_t now_ms,
                         PageBuilder& builder, ScanPage& page) {
  for (const RangeCache::Part& part : found.parts) {
    for (std::size_t i = 0; i < part.size(); ++i) {
      const RangeCache::Row& row = part[i];
      VersionView version;
      if (!DecodeVersion(row.stored, version)) return Malformed();
      if (!version.Exists(now_ms)) continue;
      if (builder.full()) {
        RETURN_IF_ERROR(EndPage(row.key, reverse, page));
        return true;
      }
      RETURN_IF_ERROR(builder.Add(row.key, row.timestamp, version));
    }
  }
  return found.whole;
}

Status ScanForward(rocksdb::Iterator& rows, const std::string& start, const std::string& end,
                   std::uint64_t now_ms, PageBuilder& builder, ScanPage& page,
                   RangeCache::Fill& fill) {
  NewestRows newest(rows);
  for (rows.Seek(start); rows.Valid() && rows.key().compare(end) < 0; newest.Next()) {
    std::string_view encoded;
    Timestamp timestamp;
    VersionView version;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, encoded, timestamp)) {
      return Malformed();
    }
    const std::string_view stored(rows.value().data(), rows.value().size());
    if (!DecodeVersion(stored, version)) return Malformed();
    if (!version.Exists(now_ms)) continue;
    if (builder.full()) {
      fill.Keep(encoded);
      return EndPage(encoded, /*reverse=*/false, page);
    }
    RETURN_IF_ERROR(builder.Add(encoded, timestamp, version));
    fill.Add(encoded, timestamp, stored);
  }
  RETURN_IF_ERROR(FromRocks(rows.status(), "scanning"));
  fill.Keep(end);
  return absl::OkStatus();
}

// Backwards the oldest version comes first: from each key's last row, seek to its newest.
Status ScanReverse(rocksdb::Iterator& rows, const std::string& start, const std::string& end,
                   std::uint64_t now_ms, PageBuilder& builder, ScanPage& page,
                   RangeCache::Fill& fill) {
  std::string last;
  rows.SeekForPrev(end);
  if (rows.Valid() && rows.key().compare(end) >= 0) rows.Prev();
  while (rows.Valid() && rows.key().compare(start) >= 0) {
    std::string_view view;
    Timestamp timestamp;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, view, timestamp)) {
      return Malformed();
    }
    const std::string encoded(view);
    rows.Seek(encoded);
    VersionView version;
    if (!rows.Valid() ||
        !SplitVersionKey({rows.key().data(), rows.key().size()}, view, timestamp) ||
        view != encoded || !DecodeVersion({rows.value().data(), rows.value().size()}, version)) {
      RETURN_IF_ERROR(FromRocks(rows.status(), "scanning"));
      return Malformed();
    }
    if (version.Exists(now_ms)) {
      if (builder.full()) {
        fill.Keep(last);
        return EndPage(encoded, /*reverse=*/true, page);
      }
      RETURN_IF_ERROR(builder.Add(encoded, timestamp, version));
      fill.Add(encoded, timestamp, {rows.value().data(), rows.value().size()});
      last = encoded;
    }
    rows.Prev();
  }
  RETURN_IF_ERROR(FromRocks(rows.status(), "scanning"));
  fill.Keep(start);
  return absl::OkStatus();
}

}  // namespace

Status StoreImpl::Located(const Status& status) {
  if (!LacksPlace(status)) return status;
  std::call_once(damage_searched_, [this] { damage_ = FindDamage(*resources_.env, DbPath()); });
  return Annotate(status, damage_);
}

StatusOr<GetResult> StoreImpl::Get(KeyspaceId keyspace, std::string_view key) {
  ASSIGN_OR_RETURN(std::vector<GetResult> results, BatchGet(keyspace, {key}));
  return std::move(results.front());
}

StatusOr<std::vector<GetResult>> StoreImpl::BatchGet(KeyspaceId keyspace,
                                                     const std::vector<std::string_view>& keys) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  if (range_.frozen) return WrongShard(options_.group, range_);
  const std::uint64_t now_ms = MillisecondsOf(last_timestamp());
  std::vector<GetResult> results(keys.size());
  std::vector<Missed> missed;
  std::string encoded;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    encoded.clear();
    AppendEncodedKey(encoded, keyspace, keys[i]);
    if (!range_.Contains(encoded)) return WrongShard(options_.group, range_);
    bool intact = true;
    const bool found = row_cache_.Find(encoded, [&](Timestamp timestamp, std::string_view value) {
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
  for (const Missed& one : missed) {
    if (SeekNewest(*rows, one.encoded)) {
      std::string_view found;
      Timestamp timestamp;
      const std::string_view value(rows->value().data(), rows->value().size());
      if (!SplitVersionKey({rows->key().data(), rows->key().size()}, found, timestamp) ||
          !Take(timestamp, value, now_ms, results[one.at])) {
        return Malformed();
      }
      row_cache_.Keep(one.encoded, one.token, timestamp, value);
    }
    RETURN_IF_ERROR(Located(FromRocks(rows->status(), "reading a key")));
  }
  return results;
}

StatusOr<ScanPage> StoreImpl::Scan(const ScanRequest& request) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  const std::uint64_t now_ms = MillisecondsOf(last_timestamp());
  const std::string start = RangeStart(request.keyspace, request.start);
  const std::string end = RangeEnd(request.keyspace, request.end);
  if (range_.frozen || !range_.ContainsAll(start, end)) return WrongShard(options_.group, range_);
  // One more than fit: it says whether there are more.
  const std::size_t wanted = LimitOf(request) + 1;
  if (const auto found = range_cache_.Find(start, end, request.reverse, wanted)) {
    ScanPage page;
    PageBuilder builder(request, page);
    ASSIGN_OR_RETURN(const bool done, ScanFound(*found, request.reverse, now_ms, builder, page));
    if (done) return page;
  }
  RangeCache::Fill fill(range_cache_, start, end, request.reverse);
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  // Nor may it step through what lies next to the range and was removed.
  const rocksdb::Slice lower(start);
  const rocksdb::Slice upper(end);
  options.iterate_lower_bound = &lower;
  options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> rows(
      database_->db().NewIterator(options, database_->versions()));
  ScanPage page;
  PageBuilder builder(request, page);
  const auto scan = request.reverse ? ScanReverse : ScanForward;
  RETURN_IF_ERROR(Located(scan(*rows, start, end, now_ms, builder, page, fill)));
  return page;
}

}  // namespace flotilla::kv
