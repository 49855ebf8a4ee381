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
  return after != ranges_.begin() && std::prev(after)->second > key;
}

Status ReadSet::AddKey(std::string key) {
  if (keys_.contains(key) || Covers(key)) return absl::OkStatus();
  if (size() >= kv::kBatchOpsMax) return TooMuch();
  keys_.insert(std::move(key));
  return absl::OkStatus();
}

Status ReadSet::AddRange(std::string start, std::string end) {
  if (start >= end) return absl::OkStatus();
  auto first = ranges_.upper_bound(start);
  if (first != ranges_.begin() && std::prev(first)->second >= start) --first;
  auto last = first;
  for (; last != ranges_.end() && last->first <= end; ++last) {
    start = std::min(start, last->first);
    end = std::max(end, last->second);
  }
  if (first == last && size() >= kv::kBatchOpsMax) return TooMuch();
  ranges_.erase(first, last);
  keys_.erase(keys_.lower_bound(start), keys_.lower_bound(end));
  ranges_.emplace(std::move(start), std::move(end));
  return absl::OkStatus();
}

}  // namespace flotilla
