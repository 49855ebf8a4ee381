#include "tests/sim/hunt.h"

#include <fmt/format.h>

#include <cstdio>
#include <ctime>

#include "base/planted.h"

namespace flotilla::sim {

#ifdef FLOTILLA_PLANTED

int Hunt(const SimulationOptions& options, const std::string& name, std::uint64_t seeds_max) {
  int looked_for = 0;
  int found = 0;
  for (const PlantEntry& entry : kPlants) {
    if (name != "all" && name != entry.name) continue;
    ++looked_for;
    planted = entry.plant;
    const std::clock_t began = std::clock();
    SimulationOptions one = options;
    SimulationResult result;
    for (one.seed = 1; one.seed <= seeds_max; ++one.seed) {
      one.nodes = options.nodes != 0 ? options.nodes : NodesOf(one.seed);
      result = RunSimulation(one);
      if (!result.failure.empty()) break;
    }
    const double seconds = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
    if (result.failure.empty()) {
      fmt::print("{}: NOT FOUND in {} seeds, {:.0f} s of CPU ({})\n", entry.name, seeds_max,
                 seconds, entry.meaning);
    } else {
      ++found;
      fmt::print("{}: found by seed {}, {:.0f} s of CPU: {}\n", entry.name, one.seed, seconds,
                 result.failure);
    }
    std::fflush(stdout);
  }
  planted = Plant::kNone;
  fmt::print("{} of {} planted bugs found\n", found, looked_for);
  return looked_for > 0 && found == looked_for ? 0 : 1;
}

#else

int Hunt(const SimulationOptions&, const std::string&, std::uint64_t) {
  fmt::print(stderr,
             "error: this build has no planted bugs\n"
             "hint:  `./dev planted` makes one that has\n");
  return 2;
}

#endif

}  // namespace flotilla::sim
