// TimestampSource: where a leader's commit timestamps come from.
//
// The first implementation is local to the leader: strictly increasing, and durable across leaders
// because a new leader starts above every timestamp in the log that it has applied. The oracle of
// the directory takes its place once there are many groups.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "base/types.h"

namespace flotilla {

// On the group's raft strand.
class TimestampSource {
 public:
  virtual ~TimestampSource() = default;

  // `count` consecutive timestamps, the first of which is returned; above all returned before and
  // above what Advance() was told.
  virtual Timestamp Allocate(std::uint64_t count) = 0;
  // Nothing at or below `seen` will be allocated any more.
  virtual void Advance(Timestamp seen) = 0;
};

// Milliseconds of the wall clock where it runs ahead, a plain counter where it does not: a clock
// that is set back costs nothing but the meaning of the milliseconds.
class LocalTimestampSource final : public TimestampSource {
 public:
  explicit LocalTimestampSource(const Clock* clock) : clock_(clock) {}

  Timestamp Allocate(std::uint64_t count) override {
    const auto wall_ms = static_cast<std::uint64_t>(clock_->WallNow().count() / 1000);
    const Timestamp now(wall_ms << kTimestampCounterBits);
    const Timestamp first = std::max(now, last_.Next());
    last_ = first + (count == 0 ? 0 : count - 1);
    return first;
  }

  void Advance(Timestamp seen) override { last_ = std::max(last_, seen); }

 private:
  const Clock* const clock_;
  Timestamp last_;
};

}  // namespace flotilla
