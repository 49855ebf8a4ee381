// Hunt: does the simulator find the bugs that were planted (base/planted.h)?
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/simulation.h"

namespace flotilla::sim {

// Whether a seed's cluster has many shards, and how many nodes it has, when nobody says.
inline bool ShardedOf(std::uint64_t seed) { return seed % 2 == 1; }
inline int NodesOf(std::uint64_t seed, bool sharded) {
  if (!sharded) return seed % 3 == 0 ? 5 : 3;
  return seed % 9 == 0 ? 3 : seed % 9 == 1 ? 6 : 5;
}

struct HuntOptions {
  // Of a plant, or `all`.
  std::string name;
  // Of plants that are no part of `all`: something else sees them.
  std::vector<std::string> except = {};
  std::uint64_t seeds_first = 1;
  std::uint64_t seeds_max = 1000;
  // Seeds that run at the same time, each in a process of its own.
  int jobs = 2;
  // Only with many shards, or only with one; nothing: as seeds have it.
  std::optional<bool> sharded = {};
};

// Switches each planted bug on and runs seeds until one fails, be it that the process ends by a
// failed check, and passes without the bug; prints a table of seeds and times as it goes. The exit
// code: 0 when all were found.
int Hunt(const SimulationOptions& simulation, const HuntOptions& options);

}  // namespace flotilla::sim
