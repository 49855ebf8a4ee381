// Clock: the only source of time outside base/. Injected, so that a simulator can own it.
//
// Nothing's correctness may depend on either face: they pace timeouts, leases (with a stated bound
// on drift) and what people read.
#pragma once

#include <chrono>
#include <cstdint>

namespace flotilla {

using Duration = std::chrono::nanoseconds;

// A point on the monotonic clock of one process; meaningless in another.
struct MonotonicTag {};
using MonoTime = std::chrono::time_point<MonotonicTag, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;

  // Never goes back. Any thread.
  virtual MonoTime Now() const = 0;
  // Since the Unix epoch; may jump either way. Any thread.
  virtual std::chrono::microseconds WallNow() const = 0;
};

// The machine's clocks.
class RealClock final : public Clock {
 public:
  MonoTime Now() const override;
  std::chrono::microseconds WallNow() const override;
};

}  // namespace flotilla
