#include "base/timer_slack.h"

#include <sys/prctl.h>

#include <chrono>

namespace flotilla {

CoarseTimers::CoarseTimers(Duration slack) : before_(prctl(PR_GET_TIMERSLACK)) {
  const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(slack).count();
  prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(nanos));
}

CoarseTimers::~CoarseTimers() {
  if (before_ > 0) prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(before_));
}

}  // namespace flotilla
