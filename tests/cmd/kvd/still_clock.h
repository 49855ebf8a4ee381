// StillClock: always the same moment.
#pragma once

#include "base/clock.h"

namespace flotilla {

class StillClock final : public Clock {
 public:
  MonoTime Now() const override { return MonoTime(std::chrono::seconds(100)); }
  std::chrono::microseconds WallNow() const override { return {}; }
};

}  // namespace flotilla
