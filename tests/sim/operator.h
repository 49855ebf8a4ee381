// Operator: whoever administers a simulated cluster: adds members, removes and replaces them, one
// or two at a time, whatever else goes wrong meanwhile.
//
// It never destroys what the cluster still needs: a disk is given up only once the removal of its
// node is committed, or, lost by accident, one at a time in a cluster whose others keep theirs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/random.h"
#include "shard/directory/image.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

class Operator {
 public:
  struct Options {
    std::uint64_t seed = 1;
    // False: it looks on.
    bool changes = true;
    Duration between_changes_max = std::chrono::seconds(5);
    // Often asks a leader for two changes at once, after `cut_off` has left it alone.
    bool hasty = false;
    std::function<void(int node)> cut_off;
  };

  Operator(const Options& options, EventLoop* loop, SimCluster* cluster);

  void Start();
  // Begins nothing new, and finishes what is under way.
  void End();
  // Every machine in use is a member of the cluster, as last committed, and nobody else is;
  // every shard has voters enough, those of the first data group all among these.
  bool Settled() const;
  // What it knows and waits for, for people.
  std::string Describe() const;
  // Changes that were seen through.
  std::uint64_t changes() const { return changes_; }

 private:
  // The newest committed configuration of a group that any node has told of.
  struct View {
    raft::Index index;
    std::set<NodeId> voters;
    std::set<NodeId> learners;
    std::map<std::string, NodeId> addresses;
  };
  struct Departure {
    NodeId node;
    bool lost = false;        // its disk, and with it its old self
    bool comes_back = false;  // with an empty disk
    bool asking = false;
    bool removed = false;
  };

  void Poll();
  void RemoveFormerSelf(int node);
  void Look();
  void NoteInfo(int node, const NodeInfo& info);
  void Plan();
  void PlanHastily(std::vector<int> members);
  void Depart(int node, bool loses_disk, bool comes_back);
  void AskToRemove(int node, Departure& departure);
  void AskToRemove(int node, Departure& departure, int asked);
  void Removed(int node, NodeId removed);
  void Leave(int node);
  void Arrive(int node);
  bool Arrived(int node) const;
  // Who a machine's address is.
  std::optional<NodeId> Member(int node) const;
  bool RegistryHasVotersEnough(std::size_t nodes) const;
  bool ShardsAreWhole() const;
  std::vector<int> Machines(bool in_use) const;
  int Pick(std::vector<int>& among);
  void After(Duration max, Closure closure);

  const Options options_;
  EventLoop* const loop_;
  SimCluster* const cluster_;
  Random random_;
  bool ended_ = false;
  View registry_;  // the directory's group: all nodes, and where they are
  View data_;
  // The newest that any node has shown: the nodes that run may all be behind, as those that have
  // only just started are.
  std::shared_ptr<const DirectoryImage> directory_ = std::make_shared<const DirectoryImage>();
  std::map<int, std::string> said_;  // by each machine, last
  MonoTime next_plan_{};
  std::map<int, Departure> departing_;
  std::set<int> arriving_;
  std::map<int, NodeId> former_;  // who a machine was before
  std::map<int, NodeId> is_;      // and is, by its own word; none: no member yet
  std::map<int, MonoTime> stranded_since_;
  std::uint64_t changes_ = 0;
};

}  // namespace flotilla::sim
