#include "shard/oracle/timestamp_oracle.h"

#include <algorithm>

#include "base/check.h"
#include "base/timestamp.h"

namespace flotilla {
namespace {

constexpr std::uint64_t Span(std::chrono::milliseconds time) {
  return static_cast<std::uint64_t>(time.count()) << kTimestampCounterBits;
}

}  // namespace

std::optional<Timestamp> TimestampOracle::Allocate(std::uint64_t count,
                                                   std::chrono::microseconds wall) {
  CHECK(count > 0 && count <= kTimestampsTakenMax);
  const Timestamp first = std::max(next_, TimestampAt(wall));
  if (first + count > end_) return std::nullopt;
  next_ = first + count;
  return first;
}

bool TimestampOracle::WantsMore(std::chrono::microseconds wall) const {
  return end_ < TimestampAt(wall) + Span(kAheadMin) || end_ < next_ + kStep / 2;
}

TimestampOracle::Move TimestampOracle::NextMove(Timestamp row,
                                                std::chrono::microseconds wall) const {
  return {.from = row,
          .to = std::max(TimestampAt(wall) + Span(kAhead), std::max(row, next_) + kStep)};
}

void TimestampOracle::Moved(const Move& move) {
  CHECK(move.from < move.to);
  // Somebody else owns what lies between.
  if (move.from != end_) next_ = std::max(next_, move.from);
  end_ = std::max(end_, move.to);
}

}  // namespace flotilla
