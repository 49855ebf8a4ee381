// Leases under drifting clocks: time passes on all nodes at nearly the same pace, as leases assume;
// everything else goes wrong by a seed. Whatever a lease confirms is held against what the group
// has committed by then.

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <map>

#include "base/random.h"
#include "tests/raft/core/script.h"

namespace flotilla::raft {
namespace {

unsigned long current_seed = 0;
void NameTheSeed(int) { std::fprintf(stderr, "seed %lu\n", current_seed); }

// Time in thousandths of a tick.
class DriftingWorld {
 public:
  explicit DriftingWorld(std::uint64_t seed) : random_(seed), cluster_(Options(seed)) {
    for (std::uint64_t id : cluster_.ids()) {
      // At most 10 % apart, which is what CoreOptions::lease_drift_max says.
      tick_length_[id] = static_cast<std::int64_t>(random_.Between(952, 1047));
      next_tick_[id] = static_cast<std::int64_t>(random_.Below(1000));
    }
  }

  void Run(std::int64_t until) {
    for (now_ = 0; now_ < until; now_ += 100) {
      for (auto& [id, at] : next_tick_) {
        if (at > now_) continue;
        at += tick_length_[id];
        cluster_.Tick(id);
      }
      Deliver();
      if (random_.Chance(0.01)) cluster_.Isolate({1 + random_.Below(3)});
      if (random_.Chance(0.01)) cluster_.Heal();
      for (std::uint64_t id : cluster_.ids()) {
        if (cluster_.running(id) && random_.Chance(0.001)) cluster_.Crash(id);
        if (!cluster_.running(id) && random_.Chance(0.1)) cluster_.Restart(id);
        if (!cluster_.running(id) || cluster_.core(id).role() != Role::kLeader) continue;
        if (random_.Chance(0.2)) cluster_.Propose(id, "x");
        if (random_.Chance(0.005)) cluster_.Transfer(id, 0);
        const std::size_t before = cluster_.network().size();
        const std::size_t confirmed = cluster_.at(id).reads_confirmed.size();
        cluster_.Read(id, ++reads_);
        by_lease_ += cluster_.network().size() == before &&
                     cluster_.at(id).reads_confirmed.size() > confirmed;
      }
    }
  }

  int by_lease() const { return by_lease_; }

 private:
  static ClusterOptions Options(std::uint64_t seed) {
    ClusterOptions options;
    options.seed = seed;
    options.core.leases = true;
    return options;
  }

  // Messages take up to three ticks, or are lost.
  void Deliver() {
    auto& network = cluster_.network();
    for (std::size_t i = 0; i < network.size();) {
      if (!random_.Chance(0.2)) {
        ++i;
        continue;
      }
      Message message = std::move(network[i]);
      network.erase(network.begin() + static_cast<std::ptrdiff_t>(i));
      if (!random_.Chance(0.05)) cluster_.Deliver(std::move(message));
    }
  }

  Random random_;
  Cluster cluster_;
  std::int64_t now_ = 0;
  std::map<std::uint64_t, std::int64_t> tick_length_;
  std::map<std::uint64_t, std::int64_t> next_tick_;
  std::uint64_t reads_ = 0;
  int by_lease_ = 0;
};

TEST(RaftLeases, ConfirmNothingStaleUnderBoundedDrift) {
  std::signal(SIGABRT, NameTheSeed);
  int by_lease = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    current_seed = seed;
    DriftingWorld world(seed);
    world.Run(500'000);
    by_lease += world.by_lease();
  }
  EXPECT_GT(by_lease, 10'000);
}

}  // namespace
}  // namespace flotilla::raft
