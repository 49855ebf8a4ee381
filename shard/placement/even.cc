// Evening out, of replicas and of leaders, by the same rule.
//
// Each replica (leadership) costs its node 1 share of the mean number per node, and what it has of
// the mean bytes (load). With cost S on a node of weight w, a step from node f to node t that moves
// the cost c lowers the sum of S*S/w over all nodes exactly if
//
//   S_f/w_f - S_t/w_t  >  c/2 * (1/w_f + 1/w_t)
//
// and is taken only if the left side exceeds the right one by a margin. The sum falls with every
// step, so that steps come to an end; the way back would raise it, so that noise in the figures up
// to the margin moves nothing back. Replicas that attract load go apart even where their number is
// even already, and so do the halves of a hot shard that was split.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <functional>
#include <tuple>

#include "shard/placement/steps.h"

namespace flotilla {
namespace {

// What is evened out: shards that are on one node of several.
struct Scale {
  double mean_number = 0;  // per node of weight 1
  double mean_bytes = 0;
  double mean_load = 0;
};

struct NodeCost {
  NodeId node;
  double weight = 1;
  double cost = 0;
  std::uint32_t number = 0;
  double load = 0;

  double fill() const { return cost / weight; }
};

class Evening {
 public:
  explicit Evening(Draft& draft) : draft_(draft) {
    for (const auto& [id, node] : draft.nodes()) {
      if (node.weight > 0 && node.alive && !node.leaving) {
        costs_[id] = {.node = id, .weight = node.weight};
        weight_ += node.weight;
      }
    }
  }
  virtual ~Evening() = default;

  void Run() {
    if (costs_.size() < 2) return;
    Measure();
    for (std::uint32_t step = 0; step < draft_.options().even_steps_max && Step(); ++step) {
    }
  }

 protected:
  // Everything that costs a node something: call(node, shard).
  using Call = std::function<void(NodeId node, ShardState& shard)>;
  virtual void ForEach(const Call& call) const = 0;
  virtual bool CountsBytes() const = 0;
  virtual double LoadOf(const ShardState& shard) const = 0;
  virtual double margin() const = 0;
  virtual bool MayGo(const ShardState& shard, NodeId from, NodeId to) const = 0;
  virtual void Take(ShardState& shard, const NodeCost& from, const NodeCost& to) = 0;

  Draft& draft_;

 private:
  double CostOf(const ShardState& shard) const {
    double cost = 1 / scale_.mean_number + LoadOf(shard) / scale_.mean_load;
    if (CountsBytes()) cost += static_cast<double>(shard.view->bytes) / scale_.mean_bytes;
    return cost;
  }

  void Measure() {
    ForEach([&](NodeId, ShardState& shard) {
      scale_.mean_number += 1 / weight_;
      scale_.mean_bytes += static_cast<double>(shard.view->bytes) / weight_;
      scale_.mean_load += LoadOf(shard) / weight_;
    });
    const auto even_bytes = static_cast<double>(draft_.options().even_bytes);
    scale_.mean_number = std::max(scale_.mean_number, 1e-9);
    scale_.mean_bytes = std::max({scale_.mean_bytes, even_bytes, 1.0});
    scale_.mean_load = std::max({scale_.mean_load, draft_.options().even_requests_per_s, 1e-9});
    ForEach([&](NodeId node, ShardState& shard) {
      const auto found = costs_.find(node);
      if (found == costs_.end()) return;
      at_[node].push_back(&shard);
      found->second.cost += CostOf(shard);
      found->second.load += LoadOf(shard);
      ++found->second.number;
    });
  }

  std::vector<NodeCost*> ByFill() {
    std::vector<NodeCost*> nodes;
    for (auto& [id, cost] : costs_) nodes.push_back(&cost);
    std::sort(nodes.begin(), nodes.end(), [](const NodeCost* a, const NodeCost* b) {
      return std::tuple(a->fill(), a->node) < std::tuple(b->fill(), b->node);
    });
    return nodes;
  }

  // From the fullest node that has something to give to the emptiest that may take it.
  bool Step() {
    const std::vector<NodeCost*> nodes = ByFill();
    for (auto from = nodes.rbegin(); from != nodes.rend(); ++from) {
      for (NodeCost* to : nodes) {
        if (to->fill() >= (*from)->fill()) break;
        if (StepBetween(**from, *to)) return true;
      }
    }
    return false;
  }

  // Takes the step that lowers the sum most.
  bool StepBetween(NodeCost& from, NodeCost& to) {
    const double gap = from.fill() - to.fill();
    const double inverse = 1 / from.weight + 1 / to.weight;
    ShardState* best = nullptr;
    double best_gain = 0;
    for (ShardState* shard : at_[from.node]) {
      const double cost = CostOf(*shard);
      const double gain = 2 * cost * gap - cost * cost * inverse;
      if (gap > (1 + margin()) * cost / 2 * inverse && gain > best_gain &&
          MayGo(*shard, from.node, to.node)) {
        best = shard;
        best_gain = gain;
      }
    }
    if (best == nullptr) return false;
    Take(*best, from, to);
    const double cost = CostOf(*best);
    from.cost -= cost;
    to.cost += cost;
    from.load -= LoadOf(*best);
    to.load += LoadOf(*best);
    --from.number;
    ++to.number;
    return true;
  }

  std::map<NodeId, NodeCost> costs_;
  // Where things were at first: none is moved twice.
  std::map<NodeId, std::vector<ShardState*>> at_;
  double weight_ = 0;
  Scale scale_;
};

class EveningReplicas final : public Evening {
 public:
  using Evening::Evening;

 private:
  void ForEach(const Call& call) const override {
    for (ShardState& shard : draft_.shards()) {
      for (const NodeId replica : shard.voters) call(replica, shard);
      for (const NodeId replica : shard.learners) call(replica, shard);
    }
  }
  bool CountsBytes() const override { return true; }
  // What a replica attracts: its leader may be any of them.
  double LoadOf(const ShardState& shard) const override {
    return shard.view->load() / static_cast<double>(std::max<std::size_t>(1, shard.voters.size()));
  }
  double margin() const override { return draft_.options().replica_margin; }
  // A leader's replica stays, if there is another: leaders are evened out by themselves.
  bool MayGo(const ShardState& shard, NodeId from, NodeId to) const override {
    if (shard.leader == from && shard.voters.size() > 1) return false;
    return shard.voters.contains(from) && !shard.Has(to) && !shard.OnRing() &&
           !shard.view->descriptor.pinned && draft_.Free(shard) && draft_.CanTake(shard, to) &&
           draft_.ConflictsAfter(shard, from, to) <= draft_.ConflictsOf(shard, shard.voters);
  }
  void Take(ShardState& shard, const NodeCost& from, const NodeCost& to) override {
    draft_.Move(shard, from.node, to.node,
                {Purpose::kReplicas,
                 fmt::format("{} has {} replicas, {} has {}; with bytes and load, {:.2f} to {:.2f}",
                             NodeText(from.node), from.number, NodeText(to.node), to.number,
                             from.fill(), to.fill())});
  }
};

class EveningLeaders final : public Evening {
 public:
  using Evening::Evening;

 private:
  void ForEach(const Call& call) const override {
    for (ShardState& shard : draft_.shards()) {
      if (shard.leader) call(shard.leader, shard);
    }
  }
  bool CountsBytes() const override { return false; }
  double LoadOf(const ShardState& shard) const override { return shard.view->load(); }
  double margin() const override { return draft_.options().leader_margin; }
  bool MayGo(const ShardState& shard, NodeId from, NodeId to) const override {
    return shard.leader == from && shard.voters.contains(to) && draft_.Free(shard);
  }
  void Take(ShardState& shard, const NodeCost& from, const NodeCost& to) override {
    draft_.Transfer(
        shard, to.node,
        {Purpose::kLeaders,
         fmt::format("{} leads {} shards with {:.0f} requests/s, {} leads {} with {:.0f}",
                     NodeText(from.node), from.number, from.load, NodeText(to.node), to.number,
                     to.load)});
  }
};

}  // namespace

void EvenReplicas(Draft& draft) { EveningReplicas(draft).Run(); }

void EvenLeaders(Draft& draft) { EveningLeaders(draft).Run(); }

}  // namespace flotilla
