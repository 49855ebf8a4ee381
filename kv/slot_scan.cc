#include "kv/slot_scan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kv/database.h"
#include "kv/page_builder.h"
#include "kv/visible_rows.h"

namespace flotilla::kv {
namespace {

// The first rows of those that were added, in the direction of the scan: as few as fill a page.
class FirstRows {
 public:
  FirstRows(const ScanRequest& request, const UserRange& range)
      : limit_(LimitOf(request)),
        keys_only_(request.keys_only),
        reverse_(request.reverse),
        range_(range) {}

  // Whether a row of this key comes after all of a full page. There is then more than the page.
  bool Refuses(std::string_view encoded) {
    const bool full = rows_.size() >= limit_ || bytes_ >= kScanBytesMax;
    if (!full || Before(encoded, rows_.front().encoded)) return false;
    NoteNext(encoded);
    return true;
  }

  void Add(std::string_view encoded, Timestamp timestamp, const VersionView& version) {
    Row row{.encoded = std::string(encoded),
            .row = {.value = keys_only_ ? std::string() : std::string(version.value),
                    .version = timestamp,
                    .expires_at_ms = version.expires_at_ms}};
    bytes_ += WeightOf(row);
    rows_.push_back(std::move(row));
    std::push_heap(rows_.begin(), rows_.end(), InOrder{*this});
    while (IsFullWithoutLast()) {
      std::pop_heap(rows_.begin(), rows_.end(), InOrder{*this});
      bytes_ -= WeightOf(rows_.back());
      NoteNext(rows_.back().encoded);
      rows_.pop_back();
    }
  }

  StatusOr<ScanPage> Finish() {
    std::sort_heap(rows_.begin(), rows_.end(), InOrder{*this});
    ScanPage page;
    page.rows.reserve(rows_.size());
    KeyspaceId keyspace;
    for (Row& row : rows_) {
      if (!DecodeKey(row.encoded, keyspace, row.row.key)) return Malformed();
      page.rows.push_back(std::move(row.row));
    }
    if (next_.empty()) return page;
    page.more = true;
    if (reverse_) {
      page.resume_key = page.rows.back().key;
    } else if (!DecodeKey(next_, keyspace, page.resume_key)) {
      return Malformed();
    }
    return page;
  }

 private:
  struct Row {
    std::string encoded;
    ScanRow row;  // without its key
  };

  // Of a heap whose front is the last row.
  struct InOrder {
    const FirstRows& rows;
    bool operator()(const Row& a, const Row& b) const { return rows.Before(a.encoded, b.encoded); }
  };

  bool Before(std::string_view a, std::string_view b) const {
    const int order = range_.UserPart(a).compare(range_.UserPart(b));
    return reverse_ ? order > 0 : order < 0;
  }
  std::size_t WeightOf(const Row& row) const {
    return range_.UserPart(row.encoded).size() + row.row.value.size() + kRowOverheadBytes;
  }
  bool IsFullWithoutLast() const {
    return rows_.size() > 1 &&
           (rows_.size() > limit_ || bytes_ - WeightOf(rows_.front()) >= kScanBytesMax);
  }
  void NoteNext(std::string_view encoded) {
    if (next_.empty() || Before(encoded, next_)) next_ = encoded;
  }

  const std::size_t limit_;
  const bool keys_only_;
  const bool reverse_;
  const UserRange& range_;
  std::vector<Row> rows_;
  std::size_t bytes_ = 0;
  std::string next_;  // the first key that has no place
};

using Place = UserRange::Place;

Status WalkForward(rocksdb::Iterator& rows, const UserRange& range, Timestamp as_of,
                   std::uint64_t now_ms, FirstRows& first) {
  VisibleRows visible(rows, as_of);
  visible.Seek(range.first());
  while (rows.Valid()) {
    std::string_view encoded;
    Timestamp timestamp;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, encoded, timestamp)) {
      return Malformed();
    }
    Place place = range.PlaceOf(encoded);
    if (place == Place::kInside && first.Refuses(encoded)) place = Place::kAfter;
    if (place != Place::kInside) {
      range.SkipForward(rows, encoded, place);
      visible.Settle();
      continue;
    }
    VersionView version;
    if (!DecodeVersion({rows.value().data(), rows.value().size()}, version)) return Malformed();
    if (version.Exists(now_ms)) first.Add(encoded, timestamp, version);
    visible.Next();
  }
  return FromRocks(rows.status(), "scanning");
}

// Backwards the oldest version of a key comes first.
Status WalkBackward(rocksdb::Iterator& rows, const UserRange& range, Timestamp as_of,
                    std::uint64_t now_ms, FirstRows& first) {
  std::string found;
  rows.SeekForPrev(range.past_last());
  while (rows.Valid()) {
    std::string_view encoded;
    Timestamp timestamp;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, encoded, timestamp)) {
      return Malformed();
    }
    Place place = range.PlaceOf(encoded);
    if (place == Place::kInside && first.Refuses(encoded)) place = Place::kBefore;
    if (place != Place::kInside) {
      const bool after = place == Place::kAfter;
      StepBackBefore(rows, after ? range.RunEnd(encoded) : range.SlotStart(encoded));
      continue;
    }
    found = encoded;
    VersionView version;
    ASSIGN_OR_RETURN(const bool visible, ReadVisible(rows, found, as_of, timestamp, version));
    if (visible && version.Exists(now_ms)) first.Add(found, timestamp, version);
    StepBackBefore(rows, found);
  }
  return FromRocks(rows.status(), "scanning");
}

}  // namespace

StatusOr<ScanPage> ScanEachSlot(rocksdb::Iterator& rows, const UserRange& range,
                                const ScanRequest& request, std::uint64_t now_ms) {
  FirstRows first(request, range);
  const auto walk = request.reverse ? WalkBackward : WalkForward;
  RETURN_IF_ERROR(walk(rows, range, request.as_of, now_ms, first));
  return first.Finish();
}

}  // namespace flotilla::kv
