// LogState's part in keeping the log bounded: free segments, pressure, rewriting.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/log/log_state.h"

namespace flotilla::raft::log {
namespace {

// A bound on how much of an index is looked through with the lock held.
constexpr std::size_t kItemsScannedMax = 100'000;

// Whether a group holds entries in segments up to `generation`. Rewriting moves a prefix of them
// away, so the first alone does not tell; looking at ever greater distances nearly does.
bool HoldsEntriesIn(const GroupIndex& index, std::uint32_t generation) {
  const std::uint64_t count = index.last() - index.start();
  for (std::uint64_t i = 0; i < count; i = i * 2 + 1) {
    const IndexItem& item = index.At(index.start() + (i + 1));
    if (item.generation != 0 && item.generation <= generation) return true;
  }
  return false;
}

}  // namespace

bool LogState::OldestIsFree() const {
  if (table_.segments().size() < 2) return false;
  const Segment& oldest = table_.segments().begin()->second;
  return oldest.live_records == oldest.obsolete_records;
}

std::optional<Segment> LogState::TakeFree() {
  std::lock_guard lock(mutex_);
  if (!OldestIsFree()) return std::nullopt;
  const Segment& oldest = table_.oldest();
  if (oldest.live_records > 0 || oldest.hold_until > durable_sequence_ || oldest.readers > 0 ||
      oldest.generation >= durable_oldest_) {
    return std::nullopt;
  }
  Segment segment = oldest;
  table_.Remove(segment.generation);
  return segment;
}

bool LogState::FreeingNeedsBatch() const {
  std::lock_guard lock(mutex_);
  if (!OldestIsFree()) return false;
  const Segment& oldest = table_.segments().begin()->second;
  return oldest.live_records > 0 || oldest.generation >= durable_oldest_;
}

std::uint64_t LogState::OldestNeeded() const {
  std::lock_guard lock(mutex_);
  return table_.OldestNeeded(durable_sequence_);
}

void LogState::OldestIsDurable(std::uint64_t generation) {
  std::lock_guard lock(mutex_);
  durable_oldest_ = std::max(durable_oldest_, generation);
}

std::vector<GroupId> LogState::Pressure() const {
  std::lock_guard lock(mutex_);
  std::uint64_t held = table_.held_bytes();
  std::uint32_t up_to = 0;
  for (const auto& [generation, segment] : table_.segments()) {
    if (held <= options_.live_bytes_soft_max) break;
    held -= segment.bytes;
    up_to = generation;
  }
  std::vector<GroupId> groups;
  if (up_to == 0) return groups;
  for (const auto& [group, index] : groups_) {
    if (HoldsEntriesIn(index, up_to)) groups.push_back(group);
  }
  return groups;
}

bool LogState::RewriteIsWorthIt() const {
  if (table_.segments().size() < 2 || OldestIsFree()) return false;
  const Segment& oldest = table_.segments().begin()->second;
  if (oldest.live_bytes > rewrite_credit_) return false;
  // Copies must not take the last room from those who would make room.
  if (full_ && oldest.live_bytes + EntryReserve(options_) > room_bytes_) return false;
  // Little is left in it: the groups that are quiet.
  if (table_.segments().size() > 2 && oldest.live_bytes * 8 <= oldest.bytes) return true;
  // The log is too long, and not because so much of it is needed.
  const std::uint64_t held = table_.held_bytes();
  return held > options_.live_bytes_soft_max && table_.live_bytes() * 3 < held * 2;
}

std::optional<RewritePlan> LogState::PlanRewrite(std::size_t bytes_max) {
  std::lock_guard lock(mutex_);
  if (!closed_.ok() || !RewriteIsWorthIt()) return std::nullopt;
  RewritePlan plan;
  plan.segment = table_.oldest();
  const std::uint32_t generation = plan.segment.generation;
  if (rewrite_generation_ != generation) {
    rewrite_generation_ = generation;
    rewrite_group_ = GroupId();
    rewrite_index_ = Index();
  }
  std::size_t scanned = 0;
  for (auto group = groups_.lower_bound(rewrite_group_); group != groups_.end(); ++group) {
    const GroupIndex& index = group->second;
    if (rewrite_group_ != group->first) rewrite_index_ = Index();
    rewrite_group_ = group->first;
    if (!rewrite_index_) {
      if (index.hard_state_anchor().generation == generation &&
          !index.hard_state_anchor().pending) {
        plan.anchors.push_back({group->first, 0, index.hard_state(), std::nullopt});
        plan.bytes += 2 * kRecordOverheadMax;
      }
      if (index.start_anchor().generation == generation && !index.start_anchor().pending) {
        plan.anchors.push_back(
            {group->first, 0, std::nullopt, std::pair(index.start(), index.start_term())});
        plan.bytes += 2 * kRecordOverheadMax;
      }
    }
    rewrite_index_ = std::max(rewrite_index_, index.start().Next());
    for (; rewrite_index_ <= index.last(); ++rewrite_index_) {
      if (plan.bytes >= bytes_max || ++scanned > kItemsScannedMax) return plan;
      const IndexItem& item = index.At(rewrite_index_);
      if (item.generation != generation) continue;
      plan.entries.push_back({group->first, rewrite_index_, item});
      plan.bytes += item.bytes + kRecordOverheadMax;
    }
  }
  rewrite_generation_ = 0;  // all seen; should anything be left, begin again
  return plan;
}

void LogState::CompleteRewrite(const RewritePlan& plan, const std::vector<std::uint32_t>& offsets,
                               std::uint32_t generation, std::uint64_t end) {
  std::lock_guard lock(mutex_);
  Segment& segment = table_.At(generation);
  stats_.appended_bytes += end - segment.end;
  stats_.rewritten_bytes += plan.bytes;
  rewrite_credit_ -= std::min(rewrite_credit_, end - segment.end);
  segment.end = end;
  const std::uint32_t from = plan.segment.generation;
  for (std::size_t i = 0; i < plan.entries.size(); ++i) {
    const LocatedEntry& entry = plan.entries[i];
    const auto found = groups_.find(entry.group);
    if (found == groups_.end()) continue;
    found->second.EntryMoved(entry.index, from, entry.item.offset, generation, offsets[i], table_);
  }
  for (const LazyRecord& anchor : plan.anchors) {
    const auto found = groups_.find(anchor.group);
    if (found == groups_.end()) continue;
    if (anchor.hard_state.has_value()) {
      found->second.HardStateMoved(from, generation, table_);
    } else {
      found->second.StartMoved(from, generation, table_);
    }
  }
}

}  // namespace flotilla::raft::log
