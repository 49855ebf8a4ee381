#include "shard/txn/read_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "kv/limits.h"

namespace flotilla {
namespace {

Status TooMuch() {
  return Error(Reason::kBatchTooLarge,
               fmt::format("a serializable transaction may read {} keys and ranges: read with "
                           "repeatable_read, or read-only, or less",
                           kv::kBatchOpsMax));
}

}  // namespace

bool ReadSet::Covers(const std::string& key) const {
  const auto after = ranges_.upper_bound(key);
  return after != ranges_.begin() && std::prev(after)->second.end > key &&
         !std::prev(after)->second.as_of;
}

Status ReadSet::AddKey(std::string key) {
  if (keys_.contains(key) || Covers(key)) return absl::OkStatus();
  if (size() >= kv::kBatchOpsMax) return TooMuch();
  keys_.emplace(std::move(key), std::nullopt);
  return absl::OkStatus();
}

// The first version counts: had it changed since, the lock would have been lost. One that was read
// before without a lock is no newer than the reads' timestamp, or the commit fails; of one that is
// not there nothing tells since when, so that it must be unchanged since then.
Status ReadSet::AddLocked(std::string key, Timestamp version) {
  const auto known = keys_.find(key);
  if (known != keys_.end()) {
    if (!known->second && version) known->second = version;
    return absl::OkStatus();
  }
  if (size() >= kv::kBatchOpsMax) return TooMuch();
  keys_.emplace(std::move(key), version);
  return absl::OkStatus();
}

Status ReadSet::AddRange(std::string start, std::string end, Timestamp as_of) {
  if (start >= end) return absl::OkStatus();
  // One that touches it is the same only if it is of the same time.
  const auto joins = [&](const std::string& first, const Range& range) {
    if (first > end || range.end < start) return false;
    return range.as_of == as_of || (first < end && range.end > start);
  };
  const auto earlier = [](Timestamp a, Timestamp b) {
    return !a || !b ? Timestamp() : std::min(a, b);
  };
  auto first = ranges_.upper_bound(start);
  while (first != ranges_.begin() && joins(std::prev(first)->first, std::prev(first)->second)) {
    --first;
  }
  auto last = first;
  for (; last != ranges_.end() && joins(last->first, last->second); ++last) {
    start = std::min(start, last->first);
    end = std::max(end, last->second.end);
    as_of = earlier(as_of, last->second.as_of);
  }
  if (first == last && size() >= kv::kBatchOpsMax) return TooMuch();
  ranges_.erase(first, last);
  std::erase_if(keys_, [&](const auto& key) {
    return !key.second && !as_of && key.first >= start && key.first < end;
  });
  ranges_.emplace(std::move(start), Range{.end = std::move(end), .as_of = as_of});
  return absl::OkStatus();
}

}  // namespace flotilla
