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

// The first of its millisecond. A clock before 1970 says 1970.
inline Timestamp TimestampAt(std::chrono::microseconds wall) {
  const std::int64_t ms = std::max<std::int64_t>(wall.count() / 1000, 0);
  return Timestamp(static_cast<std::uint64_t>(ms) << kTimestampCounterBits);
}

}  // namespace flotilla
