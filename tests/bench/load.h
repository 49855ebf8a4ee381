// Load: a closed loop of operations against one system, and what was measured.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/status.h"
#include "tests/bench/system.h"

namespace flotilla::bench {

// One line of the result.
struct Row {
  std::string system;
  std::string api;
  std::string op;
  std::uint32_t outstanding = 0;
  double ops_per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  // Of all server processes together.
  double server_cpu_us_per_op = 0;
  std::uint64_t errors = 0;
};

struct LoadOptions {
  // "put", "get", "stale_get", "mixed" (half puts, half gets), "scan100", "cas",
  // "txn", "txn_one", "txn_two".
  std::string op;
  std::uint32_t outstanding = 1;
  std::uint32_t keys = 100'000;
  Duration warm_up = std::chrono::milliseconds(300);
  Duration duration = std::chrono::seconds(4);
  // Of the servers, whose CPU time is read from /proc.
  std::vector<int> server_pids;
  std::uint64_t seed = 1;
};

// Runs it; blocks until every operation has ended. An error when more than one in a hundred
// operations failed.
StatusOr<Row> RunLoad(System& system, const LoadOptions& options, Executor& executor,
                      const Clock& clock);

// Puts every key once.
Status Preload(System& system, std::uint32_t keys, Executor& executor, const Clock& clock);

// CPU time that these processes have used so far, in microseconds; those that are gone count 0.
double CpuMicros(const std::vector<int>& pids);

}  // namespace flotilla::bench
