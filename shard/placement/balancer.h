// The balancer's decisions: a pure function from a view of the cluster to a plan. It reads no clock
// and keeps nothing, so that the same view gives the same plan; something else carries plans out,
// and asks again when anything has changed.
//
//   lost voters of the directory > lost replicas > drained nodes > labels > the ring > even
//   replicas > even leaders > sizes
//
// Each step is thought out on the cluster as it will be once the jobs that run and the steps before
// it are done, limits or not; then the limits pick what starts now. No step undoes one of an equal
// or higher rank, and evening out must gain by a margin, so that plans converge: applied again and
// again to a cluster in which nothing else changes, they end, and nothing is done twice.
//
// A shard has one change at a time. One that has lost its quorum is left alone; while any of its
// voters is not well, only what is lost is replaced.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "shard/placement/cluster_view.h"
#include "shard/placement/plan.h"

namespace flotilla {

struct BalancerOptions {
  // A node that has been dead for so long is not waited for; its replicas, and its vote on the
  // directory, go to others.
  Duration dead_after = std::chrono::minutes(5);
  // A shard is left as it is for so long after a change, but for repair, drain and labels: its
  // figures must settle first.
  Duration settle_after = std::chrono::seconds(10);
  // Small neighbours that have not changed for so long are merged.
  Duration merge_after = std::chrono::minutes(10);

  // A shard that has more of either is split.
  std::uint64_t split_bytes = 1ull << 30;
  // A group that has its commands in step serves many more than several do with the same cores
  // (tests/bench/README.md): only what is too much for one is better off as two.
  double split_requests_per_s = 200'000;
  // Neighbours that have less of both together are merged; at most a quarter of the above counts.
  std::uint64_t merge_bytes = 64ull << 20;
  double merge_requests_per_s = 500;

  // Jobs that run at a time: in all, of those the last ones for repair and drain only, that a node
  // takes part in, and of each kind.
  std::uint32_t jobs_max = 12;
  std::uint32_t jobs_kept_for_repair = 4;
  std::uint32_t jobs_per_node_max = 2;
  std::uint32_t moves_max = 12;
  std::uint32_t splits_max = 2;
  std::uint32_t merges_max = 1;
  // Leaderships that one plan hands over.
  std::uint32_t transfers_max = 8;

  // No replica goes to a node whose disk it would fill beyond this.
  double disk_full_share = 0.9;
  // How much more than nothing evening out must gain, of the replica's, or the leadership's, cost.
  double replica_margin = 0.5;
  double leader_margin = 0.25;
  // Averages per node below these count as these: what is almost nothing need not be even.
  double even_requests_per_s = 1000;
  std::uint64_t even_bytes = 64ull << 20;
  // Steps that one plan thinks ahead when it evens out replicas, and leaders.
  std::uint32_t even_steps_max = 512;
};

Plan MakePlan(const ClusterView& view, const BalancerOptions& options);

}  // namespace flotilla
