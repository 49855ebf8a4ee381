#include "shard/placement/balancer.h"

#include "shard/placement/steps.h"

namespace flotilla {

Plan MakePlan(const ClusterView& view, const BalancerOptions& options) {
  Draft draft(view, options);
  RepairDirectory(draft);
  Repair(draft);
  Drain(draft);
  ObeyLabels(draft);
  FollowRing(draft);
  SplitShards(draft);
  EvenReplicas(draft);
  EvenLeaders(draft);
  MergeShards(draft);
  Plan plan;
  ApplyLimits(draft, plan);
  plan.obstacles = std::move(draft.obstacles());
  return plan;
}

}  // namespace flotilla
