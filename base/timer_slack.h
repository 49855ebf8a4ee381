// CoarseTimers: lets the kernel wake threads a little late, and so together with others.
//
// While one lives, timed waits and sleeps of this thread may take so much longer, and for good
// those of every thread that this one begins meanwhile: a way to reach the threads of a library.
// See PR_SET_TIMERSLACK of prctl(2).
#pragma once

#include "base/clock.h"

namespace flotilla {

class CoarseTimers {
 public:
  explicit CoarseTimers(Duration slack);
  ~CoarseTimers();
  CoarseTimers(const CoarseTimers&) = delete;
  CoarseTimers& operator=(const CoarseTimers&) = delete;

 private:
  const long before_;  // nanoseconds
};

}  // namespace flotilla
