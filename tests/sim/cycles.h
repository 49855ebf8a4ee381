// Cycles of a directed graph with labelled edges.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace flotilla::sim {

struct Edge {
  std::size_t from = 0;
  std::size_t to = 0;
  std::size_t label = 0;  // whatever the caller knows of it
};

// A shortest one among those that go through an edge which `through` accepts; empty: there is none.
// Tarjan: Depth-First Search and Linear Graph Algorithms, 1972; then a search in breadth.
std::vector<Edge> FindCycle(std::size_t nodes, const std::vector<Edge>& edges,
                            const std::function<bool(const Edge&)>& through);

}  // namespace flotilla::sim
