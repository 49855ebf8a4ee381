// Draft: a plan in the making: the cluster as it will be once the jobs that run and the steps
// thought out so far are done, and those steps.
//
// The steps of each rank (steps.h) look at it and add to it; limits.h then says which of them start
// now. Used within one MakePlan; keeps pointers into its view.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "shard/placement/balancer.h"
#include "shard/placement/cluster_view.h"
#include "shard/placement/hash_ring.h"
#include "shard/placement/plan.h"

namespace flotilla {

struct NodeState {
  const NodeView* view = nullptr;
  bool alive = false;
  bool lost = false;     // dead, and not waited for any more
  bool leaving = false;  // is to be empty
  bool going = false;    // and does not come back
  bool takes = false;    // replicas, as far as it itself is concerned
  double weight = 0;     // 1: that of a usual node
  // As they will be.
  std::uint32_t replicas = 0;  // learners, too
  std::uint32_t leaders = 0;
  std::uint64_t bytes_coming = 0;
};

struct ShardState {
  const ShardView* view = nullptr;
  const KeyspaceDescriptor* keyspace = nullptr;
  // As they will be.
  std::set<NodeId> voters;
  std::set<NodeId> learners;
  NodeId leader;      // none: also when its node does not look alive
  bool busy = false;  // a job is about it, or its keyspace is on its way out or unknown: hands off
  bool moving = false;   // a job moves a replica: thought on from there, but nothing starts
  bool touched = false;  // this plan has a step for it

  GroupId group() const { return view->descriptor.group; }
  bool Has(NodeId node) const { return voters.contains(node) || learners.contains(node); }
  // The ring says where its replicas are.
  bool OnRing() const {
    return keyspace->partitioning == Partitioning::kHash && !view->descriptor.pinned;
  }
};

// Where a step comes from: what for, and why in words.
struct Cause {
  Purpose purpose;
  std::string reason;
};

class Draft {
 public:
  Draft(const ClusterView& view, const BalancerOptions& options);
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  const ClusterView& view() const { return view_; }
  const BalancerOptions& options() const { return options_; }
  std::vector<ShardState>& shards() { return shards_; }  // by keyspace and start
  std::map<NodeId, NodeState>& nodes() { return nodes_; }
  const NodeState& node(NodeId id) const;  // of a stranger: neither alive nor lost
  std::vector<Action>& actions() { return actions_; }
  std::vector<Obstacle>& obstacles() { return obstacles_; }

  // ---- how a shard is -------------------------------------------------------------------------
  bool Healthy(const ShardState& shard, NodeId replica) const;
  bool AllHealthy(const ShardState& shard) const;  // its voters
  bool HasQuorum(const ShardState& shard) const;
  // As it is, not as it will be: a job about one that has none burdens nobody.
  bool HasQuorumNow(const ShardState& shard) const;
  // Nothing has changed for so long.
  bool Quiet(const ShardState& shard, Duration duration) const;
  // Well, and with nothing to be done that is more urgent.
  bool Free(const ShardState& shard) const;
  std::uint32_t ConflictsOf(const ShardState& shard, const std::set<NodeId>& voters) const;
  // With `from` replaced by `to`; either may be none.
  std::uint32_t ConflictsAfter(const ShardState& shard, NodeId from, NodeId to) const;

  // ---- where a replica may go -----------------------------------------------------------------
  bool CanTake(const ShardState& shard, NodeId node) const;
  // No node that has no replica of it could take one, now or later.
  bool NobodyElse(const ShardState& shard) const;
  // For a new voter instead of `replaced`, or in addition (none): the ring's choice, else the one
  // with the fewest conflicts and then the fewest replicas. None: nobody, or not now.
  NodeId PickTarget(const ShardState& shard, NodeId replaced);
  // Where the ring wants it; for shards on the ring.
  std::vector<NodeId> RingPlaces(const ShardState& shard);
  // Another healthy voter, leaving only if `leaving_too`, with the fewest leaders. None: nobody.
  NodeId PickLeader(const ShardState& shard, NodeId instead_of, bool leaving_too) const;

  // ---- steps ----------------------------------------------------------------------------------
  void Add(ShardState& shard, NodeId to, const Cause& cause);
  // If `from` leads, `to` will.
  void Move(ShardState& shard, NodeId from, NodeId to, const Cause& cause);
  // Hands leadership over first, if `from` leads and there is another healthy voter.
  void Remove(ShardState& shard, NodeId from, const Cause& cause);
  void Transfer(ShardState& shard, NodeId to, const Cause& cause);
  void Split(ShardState& shard, std::string key, const Cause& cause);
  void Merge(ShardState& left, ShardState& right, const Cause& cause);
  // Of the directory's group; without `to`: `from` votes no more; without `from`: `to` votes, too.
  void ReplaceVoter(NodeId from, NodeId to, const Cause& cause);
  // Equal texts are counted together. No group: it is about nodes.
  void Obstruct(const std::string& text, GroupId group);

 private:
  Action& Append(ShardState& shard, ActionKind kind, const Cause& cause);
  void MoveLeader(ShardState& shard, NodeId to);
  void AddNodes();
  void AddShards();
  void ProjectJob(const JobRecord& job);
  bool MostHealthy(const ShardState& shard, const std::set<NodeId>& voters) const;
  void Count(const ShardState& shard, NodeId replica);

  const ClusterView& view_;
  const BalancerOptions& options_;
  std::map<NodeId, NodeState> nodes_;
  std::vector<ShardState> shards_;
  std::optional<HashRing> ring_;
  std::vector<Action> actions_;
  std::vector<Obstacle> obstacles_;
  std::map<std::string, std::size_t> obstacle_by_text_;
};

// "node 3".
std::string NodeText(NodeId node);
// Why a node that is lost is not waited for.
std::string LostText(const Draft& draft, NodeId id);
// "5m12s".
std::string DurationText(Duration duration);

}  // namespace flotilla
