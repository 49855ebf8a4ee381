// Hunt: does the simulator find the bugs that were planted (base/planted.h)?
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/simulation.h"

namespace flotilla::sim {

// How many nodes a seed's cluster has, when nobody says.
inline int NodesOf(std::uint64_t seed) { return seed % 3 == 0 ? 5 : 3; }

// Switches each planted bug on (or the one named) and runs seeds until one fails, `seeds_max` at
// most; prints seed and time for each. The exit code: 0 when all were found.
int Hunt(const SimulationOptions& options, const std::string& name, std::uint64_t seeds_max);

}  // namespace flotilla::sim
