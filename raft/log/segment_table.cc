#include "raft/log/segment_table.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace flotilla::raft::log {

void SegmentTable::Add(Segment segment) {
  const std::uint32_t generation = segment.generation;
  CHECK(segments_.empty() || segments_.rbegin()->first < generation);
  last_ = &segments_.emplace(generation, std::move(segment)).first->second;
}

void SegmentTable::Remove(std::uint32_t generation) {
  const auto found = segments_.find(generation);
  CHECK(found != segments_.end());
  CHECK_EQ(found->second.live_records, 0u);
  CHECK_EQ(found->second.readers, 0);
  segments_.erase(found);
  last_ = nullptr;
}

Segment& SegmentTable::At(std::uint32_t generation) {
  if (last_ != nullptr && last_->generation == generation) return *last_;
  const auto found = segments_.find(generation);
  CHECK(found != segments_.end()) << "no segment " << generation;
  last_ = &found->second;
  return *last_;
}

void SegmentTable::Ref(std::uint32_t generation, std::uint64_t bytes) {
  Segment& segment = At(generation);
  ++segment.live_records;
  segment.live_bytes += bytes;
  live_bytes_ += bytes;
}

void SegmentTable::UnrefMany(std::uint32_t generation, std::uint64_t records, std::uint64_t bytes,
                             std::uint64_t hold_until) {
  Segment& segment = At(generation);
  CHECK_GE(segment.live_records, records);
  CHECK_GE(segment.live_bytes, bytes);
  segment.live_records -= records;
  segment.live_bytes -= bytes;
  live_bytes_ -= bytes;
  segment.hold_until = std::max(segment.hold_until, hold_until);
}

void SegmentTable::MarkObsolete(std::uint32_t generation, std::int64_t records) {
  Segment& segment = At(generation);
  segment.obsolete_records += static_cast<std::uint64_t>(records);
  CHECK_LE(segment.obsolete_records, segment.live_records);
}

void SegmentTable::Hold(std::uint32_t generation, std::uint64_t hold_until) {
  Segment& segment = At(generation);
  segment.hold_until = std::max(segment.hold_until, hold_until);
}

std::uint64_t SegmentTable::OldestNeeded(std::uint64_t durable) const {
  for (const auto& [generation, segment] : segments_) {
    if (segment.live_records > 0 || segment.hold_until > durable) return generation;
  }
  return segments_.empty() ? 0 : segments_.rbegin()->first;
}

Segment& SegmentTable::oldest() {
  CHECK(!segments_.empty());
  return segments_.begin()->second;
}

Segment& SegmentTable::newest() {
  CHECK(!segments_.empty());
  return segments_.rbegin()->second;
}

std::uint64_t SegmentTable::held_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [generation, segment] : segments_) bytes += segment.bytes;
  return bytes;
}

}  // namespace flotilla::raft::log
