// PlacementSim: a cluster that carries out plans, without any real node: jobs take a while, nodes
// die and come back, load lies on keys and follows them through splits.
//
// It refuses nothing that a plan asks for; it notes what was wrong with it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "shard/placement/balancer.h"

namespace flotilla {

class PlacementSim {
 public:
  explicit PlacementSim(std::uint64_t seed, BalancerOptions balancer_options = {});

  // ---- what there is --------------------------------------------------------------------------
  NodeId AddNode(Labels labels = {}, std::uint32_t weight = 100);
  kv::KeyspaceId AddKeyspace(KeyspaceDescriptor keyspace);
  // One shard after another over the keyspace's 65,536 positions, in equal parts, on these nodes
  // each, led by the first.
  void AddShards(kv::KeyspaceId keyspace, std::uint32_t count,
                 const std::vector<std::vector<NodeId>>& voters);
  // Load and bytes at one key.
  void Put(kv::KeyspaceId keyspace, std::uint16_t position, double requests_per_s,
           std::uint64_t bytes);
  std::string KeyAt(kv::KeyspaceId keyspace, std::uint16_t position) const;

  ClusterView& view() { return view_; }
  NodeView& node(NodeId id);
  ShardView& shard(GroupId group);
  KeyspaceDescriptor& keyspace(kv::KeyspaceId id);
  bool Healthy(const ShardView& shard, NodeId replica);
  // Alive, active, with the labels that the keyspace requires.
  std::size_t FitNodes(const KeyspaceDescriptor& keyspace);

  // ---- what happens ---------------------------------------------------------------------------
  void Kill(NodeId id);
  void Revive(NodeId id);
  void SetRole(NodeId id, NodeRole role);

  // Makes a plan, starts it, lets five seconds pass.
  Plan Tick();
  // Until nothing is left to do, and nothing ripens any more that time alone would start; false
  // after `ticks_max`. Once what has happened is ripe, nothing may be undone.
  bool Settle(std::uint32_t ticks_max);
  std::uint32_t ticks() const { return ticks_; }

  // What was wrong with plans so far.
  const std::vector<std::string>& wrongs() const { return wrongs_; }

 private:
  struct Point {
    kv::KeyspaceId keyspace;
    std::string key;
    double requests_per_s;
    std::uint64_t bytes;
  };
  struct Work {
    JobRecord job;
    std::uint32_t ticks_left;
    std::set<NodeId> nodes;
  };

  void Carry(const Action& action);
  void CheckMembership(const Action& action, const ShardView& shard);
  void CheckLimits(const Action& action);
  bool Stalled(const Work& work);
  void CheckUndone(const Action& action);
  void StartJob(const Action& action, const ShardView& shard);
  void Progress();
  void Finish(const JobRecord& job);
  void FinishMove(const JobRecord& job);
  void FinishSplit(const JobRecord& job);
  void FinishMerge(const JobRecord& job);
  void Elect();
  void Sample();
  template <class Measure>
  static std::string Parting(const std::vector<const Point*>& points, Measure measure);
  void Forget();
  bool Lost(NodeId id);
  std::uint32_t ConflictsOf(const ShardView& shard, const std::set<NodeId>& voters);
  void Wrong(const Action& action, const std::string& why);

  Random random_;
  const BalancerOptions options_;
  ClusterView view_;
  std::vector<Point> points_;
  std::vector<Work> work_;
  std::uint64_t next_group_ = 100;
  std::uint64_t next_job_ = 1;
  std::uint32_t ticks_ = 0;
  std::vector<std::string> wrongs_;
  bool watching_ = false;
  // Since the last event, split or merge: where the replica that is now on a node has been.
  std::map<GroupId, std::map<NodeId, std::set<NodeId>>> been_;
  // Since then, or since replicas changed, by which leaders may go elsewhere: who led it.
  std::map<GroupId, std::set<NodeId>> led_;
  // Since the last event.
  std::set<GroupId> halves_;
  std::set<GroupId> merged_;
};

}  // namespace flotilla
