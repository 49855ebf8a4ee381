#include "shard/oracle/timestamp_oracle.h"

#include <algorithm>

#include "base/check.h"

namespace flotilla {
namespace {

constexpr std::uint64_t Span(std::chrono::milliseconds time) {
  return static_cast<std::uint64_t>(time.count()) << kTimestampCounterBits;
}

// A clock before 1970 says 1970.
Timestamp FromWall(std::chrono::microseconds wall) {
  const std::int64_t ms = std::max<std::int64_t>(wall.count() / 1000, 0);
  return Timestamp(static_cast<std::uint64_t>(ms) << kTimestampCounterBits);
}

}  // namespace

std::optional<Timestamp> TimestampOracle::Allocate(std::uint64_t count,
                                                   std::chrono::microseconds wall) {
  CHECK(count > 0 && count <= kTimestampsTakenMax);
  const Timestamp first = std::max(next_, FromWall(wall));
  if (first + count > end_) return std::nullopt;
  next_ = first + count;
  return first;
}

bool TimestampOracle::WantsMore(std::chrono::microseconds wall) const {
  return end_ < FromWall(wall) + Span(kAheadMin) || end_ < next_ + kStep / 2;
}

TimestampOracle::Move TimestampOracle::NextMove(Timestamp row,
                                                std::chrono::microseconds wall) const {
  return {.from = row, .to = std::max(FromWall(wall) + Span(kAhead), std::max(row, next_) + kStep)};
}

void TimestampOracle::Moved(const Move& move) {
  CHECK(move.from < move.to);
  // Somebody else owns what lies between.
  if (move.from != end_) next_ = std::max(next_, move.from);
  end_ = std::max(end_, move.to);
}

}  // namespace flotilla
