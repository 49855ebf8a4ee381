// LocalTimestamps: the commit timestamps of the directory's own group, which cannot ask the oracle
// that it carries. All other groups take theirs from there (oracle/timestamp_source.h).
//
// They only order the writes of this one group: strictly increasing, and durable across leaders
// because a new leader starts above every timestamp in the log that it has applied.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "base/timestamp.h"
#include "base/types.h"

namespace flotilla {

// Milliseconds of the wall clock where it runs ahead, a plain counter where it does not: a clock
// that is set back costs nothing but the meaning of the milliseconds. On the group's raft strand.
class LocalTimestamps {
 public:
  explicit LocalTimestamps(const Clock* clock) : clock_(clock) {}

  // `count` consecutive timestamps, the first of which is returned; above all returned before and
  // above what Advance() was told.
  Timestamp Allocate(std::uint64_t count) {
    const Timestamp first = std::max(TimestampAt(clock_->WallNow()), last_.Next());
    last_ = first + (count == 0 ? 0 : count - 1);
    return first;
  }

  // Nothing at or below `seen` will be allocated any more.
  void Advance(Timestamp seen) { last_ = std::max(last_, seen); }

 private:
  const Clock* const clock_;
  Timestamp last_;
};

}  // namespace flotilla
