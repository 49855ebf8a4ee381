#include "tests/sim/cycles.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>

namespace flotilla::sim {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
// Edges from which a way back is looked for; the first will do to tell that there is one.
constexpr std::size_t kStartsMax = 64;

class Search {
 public:
  Search(std::size_t nodes, const std::vector<Edge>& edges)
      : out_(nodes), component_(nodes, kNone) {
    for (const Edge& edge : edges) out_[edge.from].push_back(edge);
    Components();
  }

  bool InOneComponent(const Edge& edge) const {
    return component_[edge.from] == component_[edge.to];
  }

  // From the edge's end to its beginning, with the edge first.
  std::vector<Edge> Back(const Edge& start) const {
    if (start.from == start.to) return {start};
    std::vector<const Edge*> reached(out_.size(), nullptr);
    std::deque<std::size_t> next{start.to};
    while (!next.empty() && reached[start.from] == nullptr) {
      const std::size_t node = next.front();
      next.pop_front();
      for (const Edge& edge : out_[node]) {
        if (!InOneComponent(edge) || edge.to == start.to || reached[edge.to] != nullptr) continue;
        reached[edge.to] = &edge;
        next.push_back(edge.to);
      }
    }
    std::vector<Edge> way;
    for (std::size_t node = start.from; node != start.to; node = reached[node]->from) {
      way.push_back(*reached[node]);
    }
    way.push_back(start);
    std::reverse(way.begin(), way.end());
    return way;
  }

 private:
  // Strongly connected ones, without recursion.
  void Components() {
    struct Frame {
      std::size_t node;
      std::size_t next_edge = 0;
    };
    std::vector<std::size_t> order(out_.size(), kNone);
    std::vector<std::size_t> low(out_.size(), 0);
    std::vector<bool> open(out_.size(), false);
    std::vector<std::size_t> stack;
    std::size_t count = 0;
    std::size_t components = 0;
    for (std::size_t root = 0; root < out_.size(); ++root) {
      if (order[root] != kNone) continue;
      std::vector<Frame> frames{{.node = root}};
      while (!frames.empty()) {
        const std::size_t node = frames.back().node;
        if (order[node] == kNone) {
          order[node] = low[node] = count++;
          stack.push_back(node);
          open[node] = true;
        }
        if (frames.back().next_edge < out_[node].size()) {
          const std::size_t to = out_[node][frames.back().next_edge++].to;
          if (order[to] == kNone) {
            frames.push_back({.node = to});
          } else if (open[to]) {
            low[node] = std::min(low[node], order[to]);
          }
          continue;
        }
        frames.pop_back();
        if (!frames.empty()) low[frames.back().node] = std::min(low[frames.back().node], low[node]);
        if (low[node] != order[node]) continue;
        for (std::size_t member = kNone; member != node;) {
          member = stack.back();
          stack.pop_back();
          open[member] = false;
          component_[member] = components;
        }
        ++components;
      }
    }
  }

  std::vector<std::vector<Edge>> out_;
  std::vector<std::size_t> component_;
};

}  // namespace

std::vector<Edge> FindCycle(std::size_t nodes, const std::vector<Edge>& edges,
                            const std::function<bool(const Edge&)>& through) {
  const Search search(nodes, edges);
  std::vector<Edge> shortest;
  std::size_t starts = 0;
  for (const Edge& edge : edges) {
    if (!search.InOneComponent(edge) || !through(edge)) continue;
    std::vector<Edge> cycle = search.Back(edge);
    if (shortest.empty() || cycle.size() < shortest.size()) shortest = std::move(cycle);
    if (++starts >= kStartsMax) break;
  }
  return shortest;
}

}  // namespace flotilla::sim
