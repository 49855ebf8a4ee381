// Counts and sums of rows, evaluated where they are; any thread.

#include <algorithm>
#include <charconv>
#include <utility>

#include "kv/key_codec.h"
#include "kv/page_builder.h"
#include "kv/store_impl.h"
#include "kv/user_range.h"
#include "kv/visible_rows.h"

namespace flotilla::kv {
namespace {

Status Overflow() {
  return Error(Reason::kBadRequest,
               "the sum of the values leaves the range of 64-bit integers: ask for parts of the "
               "range, and add them up in a larger type");
}

Status AddTo(std::int64_t number, std::int64_t& sum) {
  return __builtin_add_overflow(sum, number, &sum) ? Overflow() : absl::OkStatus();
}

bool Passes(const AggregateRequest& request, std::string_view value) {
  switch (request.filter) {
    case ValueFilter::kAll:
      return true;
    case ValueFilter::kEquals:
      return value == request.filter_value;
    case ValueFilter::kContains:
      return value.find(request.filter_value) != std::string_view::npos;
    case ValueFilter::kBeginsWith:
      return value.starts_with(request.filter_value);
  }
  return false;
}

Status Count(const AggregateRequest& request, std::size_t key_bytes, std::string_view value,
             AggregatePage& page) {
  ++page.keys;
  page.bytes += key_bytes + value.size();
  if (!request.sum) return absl::OkStatus();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error == std::errc::invalid_argument || end != value.data() + value.size()) {
    ++page.not_integers;
    return absl::OkStatus();
  }
  return error == std::errc() ? AddTo(number, page.sum) : Overflow();
}

// What one request may look at.
class Allowance {
 public:
  bool used_up() const { return rows_ >= kAggregateRowsMax || bytes_ >= kAggregateBytesMax; }
  void Use(std::size_t bytes) {
    ++rows_;
    bytes_ += bytes;
  }

 private:
  std::size_t rows_ = 0;
  std::size_t bytes_ = 0;
};

// Stops where the allowance is used up.
Status CountRows(rocksdb::Iterator& rows, const UserRange& range, const AggregateRequest& request,
                 std::uint64_t now_ms, AggregatePage& page) {
  VisibleRows visible(rows, request.as_of);
  visible.Settle();
  Allowance allowance;
  KeyspaceId keyspace;
  std::string key;
  while (rows.Valid()) {
    std::string_view encoded;
    Timestamp timestamp;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, encoded, timestamp)) {
      return Malformed();
    }
    if (allowance.used_up()) {
      page.more = true;
      page.resume = encoded;
      return absl::OkStatus();
    }
    allowance.Use(encoded.size() + rows.value().size());
    if (const auto place = range.PlaceOf(encoded); place != UserRange::Place::kInside) {
      range.SkipForward(rows, encoded, place);
      visible.Settle();
      continue;
    }
    VersionView version;
    if (!DecodeVersion({rows.value().data(), rows.value().size()}, version)) return Malformed();
    if (version.Exists(now_ms) && Passes(request, version.value)) {
      if (!DecodeKey(encoded, keyspace, key)) return Malformed();
      RETURN_IF_ERROR(Count(request, key.size(), version.value, page));
    }
    visible.Next();
  }
  return FromRocks(rows.status(), "counting");
}

}  // namespace

Status AddPage(const AggregatePage& page, AggregatePage& total) {
  total.keys += page.keys;
  total.bytes += page.bytes;
  total.not_integers += page.not_integers;
  total.more = page.more;
  total.resume = page.resume;
  return AddTo(page.sum, total.sum);
}

StatusOr<AggregatePage> StoreImpl::Aggregate(const AggregateRequest& asked, InTheWay obstacle) {
  AggregateRequest request = asked;
  if (request.first_slot >= request.past_last_slot || request.past_last_slot > kSlots) {
    return Error(Reason::kBadRequest, "a count names slots, from 0 to 65536");
  }
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  const UserRange range(request.keyspace, request.start, request.end, request.first_slot,
                        request.past_last_slot);
  AggregatePage page;
  const std::string begin = FirstKey(request);
  if (begin >= range.past_last()) return page;
  if (range_.frozen || !range_.Contains(begin)) return WrongShard(options_.group, range_);
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  std::string end;
  const rocksdb::Slice lower(begin);
  rocksdb::Slice upper;
  options.iterate_lower_bound = &lower;
  options.iterate_upper_bound = &upper;
  std::unique_ptr<rocksdb::Iterator> rows;
  for (int round = 0; rows == nullptr; ++round) {
    // Of one moment, where transactions come and go.
    request.as_of = asked.as_of;
    if (!request.as_of && !locks_.empty()) request.as_of = Timestamp(visible_timestamp_.load());
    if (obstacle == nullptr) request.as_of = Settled(request.as_of);
    end = range.past_last();
    if (!range_.end.empty() && range_.end < end) end = range_.end;
    auto first = obstacle == nullptr ? std::nullopt : locks_.IntentIn(begin, end, request.as_of);
    if (first && first->key == begin) {
      *obstacle = std::move(first);
      return Locked(**obstacle);
    }
    if (first) end = first->key;
    upper = end;
    rows = database_->Iterate(options, database_->versions());
    const Status kept = CheckKept(request.as_of);
    if (kept.ok()) continue;
    if (asked.as_of || round == kMomentsMax) return kept;
    rows.reset();
  }
  rows->Seek(lower);
  RETURN_IF_ERROR(Located(CountRows(*rows, range, request, MillisecondsAt(request.as_of), page)));
  if (!page.more && end != range.past_last()) {
    page.more = true;
    page.resume = end;
  }
  return page;
}

}  // namespace flotilla::kv
