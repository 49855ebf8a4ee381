// VacuumReport: what became of the vacuums of one group on one node.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "base/status.h"

namespace flotilla {

// What vacuums of a group have done since the node was opened.
struct VacuumReport {
  std::uint64_t runs = 0;
  bool running = false;
  // Of the last that ended; since the Unix epoch.
  std::chrono::microseconds ended_at{0};
  Duration took{0};
  std::uint64_t versions_dropped = 0;
  std::uint64_t bytes_before = 0;  // of its files
  std::uint64_t bytes_after = 0;
  Status failure;
  // Of all of them.
  Duration took_total{0};
};

}  // namespace flotilla
