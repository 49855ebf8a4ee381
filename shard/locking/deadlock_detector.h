// DeadlockDetector: finds transactions that wait for each other in a circle, from what all nodes
// report of the waits in the groups that they lead (a global wait-for graph: Obermarck: Distributed
// Deadlock Detection Algorithm, 1982).
//
// Place in the picture: on the node that leads the directory, which begins with nothing: nodes
// report again and again while anybody waits.
//
// Reports come at different times, and a circle made of waits that were never there at one moment
// is none: each of its waits must have been reported again since the last of them was first
// reported. A wrong one would cost a transaction, and nothing else.
//
// Pure; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/types.h"
#include "shard/locking/wait_report.h"

namespace flotilla {

class DeadlockDetector {
 public:
  // All that wait on this node now, instead of what it reported before. Those of them that are to
  // be rolled back: of each circle the youngest.
  std::vector<Deadlock> Report(NodeId node, const std::vector<ReportedWait>& waits, MonoTime now);
  void Clear() { nodes_.clear(); }

 private:
  struct Edge {
    LockOwner waiter;
    LockOwner holder;
    std::string key;
    std::uint64_t first = 0;  // reports in which it was seen
    std::uint64_t last = 0;
  };
  using Ends = std::pair<kv::TxnId, kv::TxnId>;
  struct Node {
    MonoTime reported;
    std::map<Ends, Edge> edges;
  };
  using Graph = std::map<kv::TxnId, std::vector<const Edge*>>;
  // Edges one after the other, the last of which ends where the first begins.
  using Cycle = std::vector<const Edge*>;

  Graph MakeGraph() const;
  static bool WasAtOneMoment(const Cycle& cycle);
  static std::optional<Cycle> FindCycle(const Graph& graph);
  static Deadlock Judge(const Cycle& cycle);

  std::uint64_t reports_ = 0;
  std::map<NodeId, Node> nodes_;
};

}  // namespace flotilla
