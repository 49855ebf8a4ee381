// Where a group could be split so that about half of its bytes lie on either side.
//
// A small group is read; of a large one RocksDB says about how much lies below a key, and a search
// in the space of keys finds one.

#include <algorithm>
#include <shared_mutex>

#include "kv/key_codec.h"
#include "kv/slots.h"
#include "kv/store_impl.h"

namespace flotilla::kv {
namespace {

constexpr std::size_t kRowsRead = 20'000;
constexpr int kStepsMax = 64;

// Between two strings: as many bytes as they share, and the mean of the eight that follow.
std::string Between(std::string_view low, std::string_view high) {
  const auto differ = std::mismatch(low.begin(), low.end(), high.begin(), high.end());
  const auto shared = static_cast<std::size_t>(differ.first - low.begin());
  const auto number = [shared](std::string_view text) {
    std::uint64_t value = 0;
    for (std::size_t i = shared; i < shared + 8; ++i) {
      value = value << 8 | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0u);
    }
    return value;
  };
  const std::uint64_t below = number(low);
  const std::uint64_t mean = below + (number(high) - below) / 2;
  std::string key(low.substr(0, shared));
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(mean >> shift));
  return key;
}

std::string_view KeyOf(const rocksdb::Iterator& rows) {
  std::string_view key;
  Timestamp timestamp;
  const std::string_view row(rows.key().data(), rows.key().size());
  return SplitVersionKey(row, key, timestamp) ? key : row;
}

// The key, or, of a hashed keyspace, the beginning of its slot or of the next one.
std::string BoundaryAt(std::string_view key, const ShardRange& range) {
  const auto inside = [&](const std::string& bound) {
    return bound > range.start && range.Contains(bound);
  };
  std::string bound(key);
  KeyspaceId keyspace;
  std::string user_key;
  if (DecodeKey(key, keyspace, user_key) && IsHashed(keyspace)) {
    const std::uint32_t slot = SlotOf(user_key).value();
    bound = SlotBound(keyspace, slot);
    if (!inside(bound)) bound = SlotBound(keyspace, slot + 1);
  }
  return inside(bound) ? bound : std::string();
}

}  // namespace

StatusOr<std::string> StoreImpl::MiddleKey() {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  options.fill_cache = false;
  const rocksdb::Slice end(range_.end);
  if (!range_.end.empty()) options.iterate_upper_bound = &end;
  const std::unique_ptr<rocksdb::Iterator> rows =
      database_->Iterate(options, database_->versions());
  std::vector<std::string> keys;
  std::size_t read = 0;
  for (rows->Seek(range_.start); rows->Valid() && read < kRowsRead; rows->Next(), ++read) {
    if (const std::string_view key = KeyOf(*rows); keys.empty() || keys.back() != key) {
      keys.emplace_back(key);
    }
  }
  RETURN_IF_ERROR(FromRocks(rows->status(), DbPath()));
  if (!rows->Valid()) return keys.empty() ? "" : BoundaryAt(keys[keys.size() / 2], range_);

  rows->SeekToLast();
  RETURN_IF_ERROR(FromRocks(rows->status(), DbPath()));
  if (!rows->Valid()) return std::string();
  std::string low = keys.front();
  std::string high(KeyOf(*rows));
  const std::string first = low;
  rocksdb::SizeApproximationOptions sizes;
  sizes.include_memtables = true;
  const auto below = [&](const std::string& key) {
    const rocksdb::Range part(first, key);
    std::uint64_t bytes = 0;
    database_->db()
        .GetApproximateSizes(sizes, database_->versions(), &part, 1, &bytes)
        .PermitUncheckedError();
    return bytes;
  };
  const std::uint64_t half = below(high) / 2;
  for (int step = 0; step < kStepsMax; ++step) {
    const std::string middle = Between(low, high);
    if (middle <= low || middle >= high) break;
    (below(middle) < half ? low : high) = middle;
  }
  rows->Seek(high);
  RETURN_IF_ERROR(FromRocks(rows->status(), DbPath()));
  return rows->Valid() ? BoundaryAt(KeyOf(*rows), range_) : std::string();
}

}  // namespace flotilla::kv
