// RandomCluster: a cluster that suffers everything at once, by a seed.
//
// Messages are lost, repeated and reordered; nodes crash and lose what was not written; members,
// leaders and snapshots change under way. The Invariants hold after every step, and once the
// faults stop the group must come to rest with everything that was committed.
#pragma once

#include <cstdint>
#include <string>

#include "base/random.h"
#include "tests/raft/core/cluster.h"

namespace flotilla::raft {

class RandomCluster {
 public:
  explicit RandomCluster(std::uint64_t seed);

  void Run(int steps);
  // Stops all faults and checks that the group goes on. Returns why not, or nothing.
  std::string Recover();

  Cluster& cluster() { return cluster_; }
  // How often what happened, for a look at whether the test tests anything.
  struct Counts {
    int commits = 0;
    int elections = 0;
    int membership_changes = 0;
    int transfers = 0;
    int installs = 0;
    int reads_confirmed = 0;
    int crashes = 0;
  };
  Counts Count();

 private:
  static ClusterOptions Options(std::uint64_t seed);
  void Step();
  void DeliverOne();
  void CrashOrRestart();
  void ChangeMembers();
  void CompactSomewhere();
  std::uint64_t AnyNode();
  std::uint64_t AnyLeader();  // 0: none

  Random random_;
  Cluster cluster_;
  double loss_;
  double repeats_;
  std::uint64_t next_payload_ = 1;
  std::uint64_t next_read_ = 1;
  Counts counts_;
};

}  // namespace flotilla::raft
