// DiskFaults: disks that are slow, hang, are full, or fail.
#pragma once

#include <functional>

#include "base/random.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

class DiskFaults {
 public:
  // Runs a closure within so long, at the latest.
  using Later = std::function<void(Duration max, Closure closure)>;

  DiskFaults(SimCluster* cluster, Random random, Later later)
      : cluster_(cluster), random_(random), later_(std::move(later)) {}

  // Syncs of some nodes or all take long. `then` runs before they are quick again.
  void Slow(std::function<void()> then);
  // Syncs of this node take seconds.
  void Hang(int node);
  // No room for more on some disks, or on all; room again after a while.
  void Fill();
  // One of the next calls of this node fails.
  void Fail(int node);

  // All is well again.
  void Heal();

 private:
  void Quicken();

  SimCluster* const cluster_;
  Random random_;
  const Later later_;
};

}  // namespace flotilla::sim
