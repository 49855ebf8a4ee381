// Nemesis: what goes wrong, drawn from the seed, as often as its climate has it.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "base/random.h"
#include "tests/sim/climate.h"
#include "tests/sim/disk_faults.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/workload.h"

namespace flotilla::sim {

class Nemesis {
 public:
  struct Options {
    std::uint64_t seed = 1;
    int clients = 4;
    Climate climate;
  };

  Nemesis(const Options& options, EventLoop* loop, SimCluster* cluster, SimNetwork* network,
          Workload* workload);

  void Start();
  // Leaves a node alone for a moment.
  void CutOff(int node);
  // Ends all faults: everything runs and reaches everything.
  void Heal();

 private:
  void Next();
  Fault Draw();
  void Strike(Fault fault);
  void Crash();
  void Kill();
  // The whole cluster loses power at once: only what was synced is left.
  void CrashAll();
  // The leader loses its peers, and some of its clients, who turn to others: it must not go on
  // answering the rest.
  void IsolateLeader();
  // Any moment between two steps is one that a crash may choose.
  void CutInMidst();
  // A node that was away needs a snapshot, and loses power while it puts that in place.
  void CutInstall();
  // Of what the administrator does next.
  void CutSplit();
  // Nodes lose power one after another just as a new leader is chosen, on slow disks and a network
  // that brings late what was said before.
  void Uprising();
  // The leader hears its peers but is not heard, while its disk hangs: what another leader says
  // comes while its own writes are under way. Then it loses power.
  void Overtake();
  // Waits for a learner, and leaves the leader with it alone.
  void AwaitLearner(MonoTime until, const std::shared_ptr<bool>& found);
  // One node and the leader do not hear each other, and it stands against it, while nothing is
  // written that it would lack: the others, who hear the leader, must not follow. If they do, the
  // leader is cut off before it hears of that.
  void Deposition();
  void AwaitSuccessor(GroupId group, int leader, MonoTime until);
  bool Succeeded(GroupId group, int leader) const;
  void CutBetween(int node, int other);
  // What they say to it is lost.
  void CutSomeClients(int node);
  void Partition();
  void OneWay();
  void Pause();
  // Much is under way when the power goes.
  void SlowDisks();
  void Storm();
  void Transfer();
  void Compact();
  void CompactAt(int node);
  void Clocks();
  void SetClocks(int node);

  int AnyNode();
  // Of the data.
  GroupId AnyGroup();
  int LeaderOrAny(GroupId group);
  int LeaderOrAny() { return LeaderOrAny(AnyGroup()); }
  // Now the directory's leader, now one of the data.
  int AnyLeader() { return LeaderOrAny(random_.Chance(0.4) ? kDirectoryGroup : AnyGroup()); }
  void Restart(int node, Duration within);
  // Runs `closure` within this long; or after it.
  void Later(Duration max, Closure closure);
  void After(Duration wait, Closure closure);

  const Options options_;
  EventLoop* const loop_;
  SimCluster* const cluster_;
  SimNetwork* const network_;
  Workload* const workload_;
  Random random_;
  DiskFaults disks_;
  std::uint64_t weights_sum_ = 0;
  bool ended_ = false;
};

}  // namespace flotilla::sim
