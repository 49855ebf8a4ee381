// Nemesis: what goes wrong, drawn from the seed.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/random.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/sim_network.h"

namespace flotilla::sim {

class Nemesis {
 public:
  struct Options {
    std::uint64_t seed = 1;
    Duration pause_max = std::chrono::milliseconds(2500);
    int clients = 4;
  };

  Nemesis(const Options& options, EventLoop* loop, SimCluster* cluster, SimNetwork* network);

  void Start();
  // Ends all faults: everything runs and reaches everything.
  void Heal();

 private:
  void Next();
  void Strike();
  void CrashOne();
  // The whole cluster loses power at once: only what was synced is left.
  void CrashAll();
  // The leader loses its peers, and some of its clients, who turn to others: it must not go on
  // answering the rest.
  void IsolateLeader();
  int LeaderOrAny();
  // Nodes lose power one after another just as a new leader is chosen, on slow disks.
  void Uprising();
  void Partition();
  void OneWay();
  void PauseOne();
  // Syncs take long, so that much is under way when the power goes.
  void SlowDisks();
  void Storm();
  void Transfer();
  void Compact();
  void JumpClock();
  int AnyNode() {
    return static_cast<int>(random_.Below(static_cast<std::uint64_t>(cluster_->size())));
  }
  // Runs `closure` within this long.
  void Later(Duration max, Closure closure);

  const Options options_;
  EventLoop* const loop_;
  SimCluster* const cluster_;
  SimNetwork* const network_;
  Random random_;
  bool ended_ = false;
};

}  // namespace flotilla::sim
