// LogState's cache and reads.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/log/log_state.h"

namespace flotilla::raft::log {

void LogState::Cache(GroupId group, Index last, std::int64_t growth) {
  cached_bytes_ += growth;
  if (!cache_order_.empty() && cache_order_.back().first == group) {
    cache_order_.back().second = last;
    return;
  }
  cache_order_.emplace_back(group, last);
}

void LogState::TrimCache() {
  const auto limit = static_cast<std::int64_t>(options_.cache_bytes);
  while (cached_bytes_ > limit && !cache_order_.empty()) {
    const auto [group, last] = cache_order_.front();
    const auto found = groups_.find(group);
    if (found != groups_.end()) {
      GroupIndex& index = found->second;
      const auto excess = static_cast<std::size_t>(cached_bytes_ - limit);
      cached_bytes_ -= static_cast<std::int64_t>(index.Evict(last, excess));
      // Enough, or the rest has yet to be written, and so has everything behind it.
      if (index.first_cached() <= std::min(last, index.last())) return;
    }
    cache_order_.pop_front();
  }
}

std::optional<std::vector<Entry>> LogState::ReadCached(GroupId group, IndexRange range,
                                                       std::size_t bytes_max) const {
  std::lock_guard lock(mutex_);
  const auto found = groups_.find(group);
  if (found == groups_.end() || range.empty()) return std::nullopt;
  const GroupIndex& index = found->second;
  if (range.first <= index.start() || range.first < index.first_cached()) return std::nullopt;
  const Index end = std::min(range.end, index.last().Next());
  if (range.first >= end) return std::nullopt;
  std::vector<Entry> entries;
  std::size_t bytes = 0;
  for (Index i = range.first; i < end; ++i) {
    const IndexItem& item = index.At(i);
    bytes += item.bytes;
    if (bytes > bytes_max && !entries.empty()) break;
    entries.push_back({item.term, i, item.kind, index.CachedAt(i)});
  }
  return entries;
}

StatusOr<ReadPlan> LogState::PlanRead(GroupId group, IndexRange range, std::size_t bytes_max) {
  std::lock_guard lock(mutex_);
  const auto found = groups_.find(group);
  const bool present = found != groups_.end() && !range.empty() &&
                       range.first > found->second.start() && range.first <= found->second.last();
  if (!present) {
    return Error(Reason::kNotReady,
                 fmt::format("the log no longer has entry {} of group {}: it was released or "
                             "overwritten; ask the group again",
                             range.first.value(), group.value()));
  }
  const GroupIndex& index = found->second;
  const Index end = std::min(range.end, index.last().Next());
  ReadPlan plan;
  std::size_t bytes = 0;
  for (Index i = range.first; i < end; ++i) {
    const IndexItem& item = index.At(i);
    bytes += item.bytes;
    if (bytes > bytes_max && i != range.first) break;
    if (i >= index.first_cached()) {
      plan.cached.push_back({item.term, i, item.kind, index.CachedAt(i)});
      continue;
    }
    plan.located.push_back({group, i, item});
    if (!plan.segments.contains(item.generation)) {
      Segment& segment = table_.At(item.generation);
      ++segment.readers;
      plan.segments.emplace(item.generation, segment);
    }
  }
  return plan;
}

void LogState::EndRead(const ReadPlan& plan) {
  std::lock_guard lock(mutex_);
  for (const auto& [generation, segment] : plan.segments) --table_.At(generation).readers;
}

}  // namespace flotilla::raft::log
