#include "shard/locking/deadlock_detector.h"

#include <algorithm>
#include <set>

namespace flotilla {
namespace {

// What a node reported is no longer believed after this time.
constexpr Duration kReportHolds = std::chrono::seconds(2);

}  // namespace

std::vector<Deadlock> DeadlockDetector::Report(NodeId node, const std::vector<ReportedWait>& waits,
                                               MonoTime now) {
  std::erase_if(nodes_, [&](const auto& one) { return now - one.second.reported > kReportHolds; });
  ++reports_;
  std::map<Ends, Edge> before = std::move(nodes_[node].edges);
  std::map<Ends, Edge> edges;
  for (const ReportedWait& wait : waits) {
    for (const LockOwner& holder : wait.for_whom) {
      const Ends ends(wait.waiter.txn, holder.txn);
      const auto known = before.find(ends);
      const std::uint64_t first = known == before.end() ? reports_ : known->second.first;
      edges.emplace(ends, Edge{.waiter = wait.waiter,
                               .holder = holder,
                               .key = wait.key,
                               .first = first,
                               .last = reports_});
    }
  }
  nodes_[node] = {.reported = now, .edges = std::move(edges)};
  std::vector<Deadlock> deadlocks;
  if (waits.empty()) return deadlocks;
  Graph graph = MakeGraph();
  while (const std::optional<Cycle> cycle = FindCycle(graph)) {
    Deadlock deadlock = Judge(*cycle);
    const kv::TxnId victim = deadlock.victim;
    // Its waits are as good as gone. Where they are elsewhere, they are found again when that node
    // reports.
    graph.erase(victim);
    const auto waits_here = std::any_of(waits.begin(), waits.end(), [&](const ReportedWait& wait) {
      return wait.waiter.txn == victim;
    });
    if (waits_here) deadlocks.push_back(std::move(deadlock));
  }
  return deadlocks;
}

DeadlockDetector::Graph DeadlockDetector::MakeGraph() const {
  Graph graph;
  for (const auto& [id, node] : nodes_) {
    for (const auto& [ends, edge] : node.edges) graph[ends.first].push_back(&edge);
  }
  return graph;
}

bool DeadlockDetector::WasAtOneMoment(const Cycle& cycle) {
  std::uint64_t first = 0;
  std::uint64_t last = UINT64_MAX;
  for (const Edge* edge : cycle) {
    first = std::max(first, edge->first);
    last = std::min(last, edge->last);
  }
  return first <= last;
}

// In depth; a path's edges are kept, so that one which comes back to it closes a circle.
std::optional<DeadlockDetector::Cycle> DeadlockDetector::FindCycle(const Graph& graph) {
  struct Visit {
    kv::TxnId txn;
    std::size_t next = 0;
  };
  std::set<kv::TxnId> done;
  for (const auto& [start, none] : graph) {
    if (done.contains(start)) continue;
    std::vector<Visit> path{{.txn = start}};
    std::vector<const Edge*> edges;  // between the path's transactions
    std::map<kv::TxnId, std::size_t> on_path{{start, 0}};
    while (!path.empty()) {
      Visit& visit = path.back();
      const auto out = graph.find(visit.txn);
      if (out == graph.end() || visit.next == out->second.size()) {
        done.insert(visit.txn);
        on_path.erase(visit.txn);
        path.pop_back();
        if (!edges.empty()) edges.pop_back();
        continue;
      }
      const Edge* const edge = out->second[visit.next++];
      const kv::TxnId to = edge->holder.txn;
      if (const auto back = on_path.find(to); back != on_path.end()) {
        Cycle cycle(edges.begin() + static_cast<std::ptrdiff_t>(back->second), edges.end());
        cycle.push_back(edge);
        if (WasAtOneMoment(cycle)) return cycle;
      } else if (!done.contains(to)) {
        on_path.emplace(to, path.size());
        edges.push_back(edge);
        path.push_back({.txn = to});
      }
    }
  }
  return std::nullopt;
}

Deadlock DeadlockDetector::Judge(const Cycle& cycle) {
  Deadlock deadlock;
  const Edge* youngest = cycle.front();
  for (const Edge* edge : cycle) {
    deadlock.cycle.push_back({.waiter = edge->waiter, .key = edge->key});
    if (std::pair(edge->waiter.since, edge->waiter.txn) >
        std::pair(youngest->waiter.since, youngest->waiter.txn)) {
      youngest = edge;
    }
  }
  deadlock.victim = youngest->waiter.txn;
  return deadlock;
}

}  // namespace flotilla
