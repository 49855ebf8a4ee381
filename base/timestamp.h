// Between the store's timestamps and milliseconds since the Unix epoch. Standard library only.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/types.h"

namespace flotilla {

inline std::uint64_t MillisecondsOf(Timestamp timestamp) {
  return timestamp.value() >> kTimestampCounterBits;
}

// A clock before 1970 says 1970.
inline std::uint64_t MillisecondsOf(std::chrono::microseconds wall) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(wall.count() / 1000, 0));
}

// The first of its millisecond.
inline Timestamp TimestampAt(std::chrono::microseconds wall) {
  return Timestamp(MillisecondsOf(wall) << kTimestampCounterBits);
}

}  // namespace flotilla
