// ShardsCheck: whether shards are where the directory has them, once nothing is under way any more:
// every key has one shard; every replica that is named is there, with the range and the members
// that the directory knows; there is one leader of each; and nothing is left of what has gone.
#pragma once

#include <functional>
#include <string>

#include "shard/directory/image.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

// What is not so yet; empty: all is well. Runs the loop for a moment.
std::string FindDisorder(const DirectoryImage& image, EventLoop& loop, SimCluster& cluster);

}  // namespace flotilla::sim
