// Simulation: one run of one seed: workload, faults, then healing and the checkers.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "base/clock.h"

namespace flotilla::sim {

struct SimulationOptions {
  std::uint64_t seed = 1;
  int nodes = 3;
  Duration time = std::chrono::seconds(60);
  bool faults = true;
  // The nodes' logs go to standard error.
  bool verbose = false;
  // Every event, for finding where two runs part; null: none.
  std::FILE* trace_file = nullptr;
};

struct SimulationResult {
  // Empty when all is well; otherwise what must not happen.
  std::string failure;
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  std::uint64_t operations = 0;
  std::uint64_t answered = 0;
};

SimulationResult RunSimulation(const SimulationOptions& options);

}  // namespace flotilla::sim
