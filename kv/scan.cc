// Pages of rows in the order of their keys; any thread.

#include <optional>
#include <utility>

#include "base/planted.h"
#include "kv/key_codec.h"
#include "kv/page_builder.h"
#include "kv/slot_scan.h"
#include "kv/store_impl.h"
#include "kv/user_range.h"
#include "kv/visible_rows.h"

namespace flotilla::kv {
namespace {

// A range of encoded keys of a keyspace that is not hashed, as far as a group holds it.
struct Part {
  std::string start;
  std::string end;
  // Where the rest, which others hold, begins in the direction of the scan.
  std::optional<std::string> resume_key;
};

// Nothing when others hold the beginning.
std::optional<Part> PartOf(const ShardRange& range, const ScanRequest& request) {
  Part part{.start = RangeStart(request.keyspace, request.start),
            .end = RangeEnd(request.keyspace, request.end),
            .resume_key = {}};
  const bool begins = request.reverse
                          ? range.start < part.end && (range.end.empty() || part.end <= range.end)
                          : range.Contains(part.start);
  if (!begins) return std::nullopt;
  if (!request.reverse && !range.end.empty() && range.end < part.end) {
    part.resume_key = UserKeyAt(range.end);
    part.end = range.end;
  }
  if (request.reverse && part.start < range.start) {
    part.resume_key = UserKeyAt(range.start);
    part.start = range.start;
  }
  return part;
}

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

// Rows for the cache, if they are the newest, which is what it has.
class Filling {
 public:
  Filling() = default;
  Filling(RangeCache& cache, const std::string& start, const std::string& end, bool reverse) {
    fill_.emplace(cache, start, end, reverse);
  }
  void Add(std::string_view key, Timestamp timestamp, std::string_view stored) {
    if (fill_) fill_->Add(key, timestamp, stored);
  }
  void Keep(std::string_view reached) {
    if (fill_) fill_->Keep(reached);
  }

 private:
  std::optional<RangeCache::Fill> fill_;
};

// What a scan goes over.
struct Walk {
  rocksdb::Iterator& rows;
  const std::string& start;
  const std::string& end;
  Timestamp as_of;
  std::uint64_t now_ms;
  Filling& fill;
};

Status ScanForward(const Walk& walk, PageBuilder& builder, ScanPage& page) {
  rocksdb::Iterator& rows = walk.rows;
  VisibleRows visible(rows, walk.as_of);
  for (visible.Seek(walk.start); rows.Valid() && rows.key().compare(walk.end) < 0; visible.Next()) {
    std::string_view encoded;
    Timestamp timestamp;
    VersionView version;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, encoded, timestamp)) {
      return Malformed();
    }
    const std::string_view stored(rows.value().data(), rows.value().size());
    if (!DecodeVersion(stored, version)) return Malformed();
    if (!version.Exists(walk.now_ms)) continue;
    if (builder.full()) {
      walk.fill.Keep(encoded);
      return EndPage(encoded, /*reverse=*/false, page);
    }
    RETURN_IF_ERROR(builder.Add(encoded, timestamp, version));
    walk.fill.Add(encoded, timestamp, stored);
  }
  RETURN_IF_ERROR(FromRocks(rows.status(), "scanning"));
  walk.fill.Keep(walk.end);
  return absl::OkStatus();
}

Status ScanReverse(const Walk& walk, PageBuilder& builder, ScanPage& page) {
  rocksdb::Iterator& rows = walk.rows;
  std::string last;
  rows.SeekForPrev(walk.end);
  if (rows.Valid() && rows.key().compare(walk.end) >= 0) rows.Prev();
  while (rows.Valid() && rows.key().compare(walk.start) >= 0) {
    std::string_view view;
    Timestamp timestamp;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, view, timestamp)) {
      return Malformed();
    }
    const std::string encoded(view);
    VersionView version;
    ASSIGN_OR_RETURN(const bool visible,
                     ReadVisible(rows, encoded, walk.as_of, timestamp, version));
    if (visible && version.Exists(walk.now_ms)) {
      if (builder.full()) {
        walk.fill.Keep(last);
        return EndPage(encoded, /*reverse=*/true, page);
      }
      RETURN_IF_ERROR(builder.Add(encoded, timestamp, version));
      walk.fill.Add(encoded, timestamp, {rows.value().data(), rows.value().size()});
      last = encoded;
    }
    StepBackBefore(rows, encoded);
  }
  RETURN_IF_ERROR(FromRocks(rows.status(), "scanning"));
  walk.fill.Keep(walk.start);
  return absl::OkStatus();
}

}  // namespace

StatusOr<ScanPage> StoreImpl::Scan(const ScanRequest& request, InTheWay obstacle) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  if (range_.frozen) return WrongShard(options_.group, range_);
  ScanRequest scan = request;
  for (int round = 0;; ++round) {
    const std::uint64_t added = locks_.added();
    if (obstacle == nullptr) scan.as_of = Settled(scan.as_of);
    const bool obstructed =
        obstacle != nullptr && !locks_.empty() && !Planted(Plant::kIntentsOverlooked);
    StatusOr<ScanPage> page = obstructed ? ScanAround(scan, obstacle) : ScanAny(scan);
    // A transaction may have come and gone meanwhile, and a part of it have been seen.
    const bool torn = !scan.as_of && locks_.added() != added;
    const bool collected = !request.as_of && ReasonOf(page.status()) == Reason::kTimestampTooOld;
    if ((!torn && !collected) || round == kMomentsMax) return page;
    scan.as_of = Timestamp(visible_timestamp_.load());
  }
}

// The part of the page that lies before the first intent.
StatusOr<ScanPage> StoreImpl::ScanAround(const ScanRequest& request, InTheWay obstacle) {
  const UserRange range(request.keyspace, request.start, request.end, request.first_slot,
                        request.past_last_slot);
  const bool hashed = IsHashed(request.keyspace);
  std::optional<Obstacle> first;
  if (!hashed && !request.reverse) {
    first = locks_.IntentIn(range.first(), range.past_last(), request.as_of);
  } else {
    for (Obstacle& one : locks_.IntentsIn(range.first(), range.past_last(), request.as_of)) {
      if (range.PlaceOf(one.key) == UserRange::Place::kInside) first = std::move(one);
    }
  }
  if (!first) return ScanAny(request);
  ScanRequest before = request;
  KeyspaceId keyspace;
  std::string key;
  if (hashed || !DecodeKey(first->key, keyspace, key)) {
    *obstacle = std::move(first);
    return Locked(**obstacle);
  }
  (request.reverse ? before.start : before.end) = request.reverse ? key + '\0' : key;
  const bool nothing_before =
      request.reverse ? !request.end.empty() && before.start >= request.end : key <= request.start;
  if (!nothing_before) {
    ASSIGN_OR_RETURN(ScanPage page, ScanAny(before));
    if (page.more || !page.rows.empty()) {
      if (page.more) return page;
      page.more = true;
      page.resume_key = before.reverse ? before.start : before.end;
      return page;
    }
  }
  *obstacle = std::move(first);
  return Locked(**obstacle);
}

StatusOr<ScanPage> StoreImpl::ScanAny(const ScanRequest& request) {
  return IsHashed(request.keyspace) ? ScanSlots(request) : ScanRange(request);
}

StatusOr<ScanPage> StoreImpl::ScanRange(const ScanRequest& request) {
  const std::uint64_t now_ms = MillisecondsAt(request.as_of);
  const std::optional<Part> part = PartOf(range_, request);
  if (!part) return WrongShard(options_.group, range_);
  const std::string& start = part->start;
  const std::string& end = part->end;
  const auto go_on_elsewhere = [&](ScanPage& page) {
    if (page.more || !part->resume_key || Planted(Plant::kScanEndsAtShard)) return;
    page.more = true;
    page.resume_key = *part->resume_key;
  };
  // One more than fit: it says whether there are more. The cache has the newest rows.
  const std::size_t wanted = LimitOf(request) + 1;
  const auto found =
      request.as_of ? std::nullopt : range_cache_.Find(start, end, request.reverse, wanted);
  if (found) {
    ScanPage page;
    PageBuilder builder(request, page);
    ASSIGN_OR_RETURN(const bool done, ScanFound(*found, request.reverse, now_ms, builder, page));
    if (done) {
      go_on_elsewhere(page);
      return page;
    }
  }
  Filling fill = request.as_of ? Filling() : Filling(range_cache_, start, end, request.reverse);
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  // Nor may it step through what lies next to the range and was removed.
  const rocksdb::Slice lower(start);
  const rocksdb::Slice upper(end);
  options.iterate_lower_bound = &lower;
  options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> rows =
      database_->Iterate(options, database_->versions());
  RETURN_IF_ERROR(CheckKept(request.as_of));
  ScanPage page;
  PageBuilder builder(request, page);
  const auto scan = request.reverse ? ScanReverse : ScanForward;
  const Walk walk{.rows = *rows,
                  .start = start,
                  .end = end,
                  .as_of = request.as_of,
                  .now_ms = now_ms,
                  .fill = fill};
  RETURN_IF_ERROR(Located(scan(walk, builder, page)));
  go_on_elsewhere(page);
  return page;
}

StatusOr<ScanPage> StoreImpl::ScanSlots(const ScanRequest& request) {
  if (request.first_slot >= request.past_last_slot || request.past_last_slot > kSlots) {
    return Error(Reason::kBadRequest, "a scan of a hashed keyspace names slots, from 0 to 65536");
  }
  const UserRange range(request.keyspace, request.start, request.end, request.first_slot,
                        request.past_last_slot);
  if (!range_.ContainsAll(range.first(), range.past_last())) {
    return WrongShard(options_.group, range_);
  }
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  const rocksdb::Slice lower(range.first());
  const rocksdb::Slice upper(range.past_last());
  options.iterate_lower_bound = &lower;
  options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> rows =
      database_->Iterate(options, database_->versions());
  RETURN_IF_ERROR(CheckKept(request.as_of));
  StatusOr<ScanPage> page = ScanEachSlot(*rows, range, request, MillisecondsAt(request.as_of));
  RETURN_IF_ERROR(Located(page.status()));
  return page;
}

}  // namespace flotilla::kv
