#include <chrono>

#include "base/clock.h"

namespace flotilla {

MonoTime RealClock::Now() const {
  return MonoTime(std::chrono::steady_clock::now().time_since_epoch());
}

std::chrono::microseconds RealClock::WallNow() const {
  return std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

}  // namespace flotilla
