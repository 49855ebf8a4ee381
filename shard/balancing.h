// Balancing: asks the balancer for a plan now and then, on the directory's leader, and has its
// steps carried out as jobs.
//
// On the strand of the scope.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/task.h"
#include "shard/admin.h"
#include "shard/cluster_watch.h"
#include "shard/directory/editor.h"
#include "shard/placement/balancer.h"

namespace flotilla {

class Balancing {
 public:
  struct World {
    const Directory* directory = nullptr;
    DirectoryEditor* editor = nullptr;
    Admin* admin = nullptr;
    ClusterWatch* watch = nullptr;
    const Clock* clock = nullptr;
    TaskScope* scope = nullptr;
    std::function<bool()> leads;
    std::function<std::set<NodeId>()> registered;  // the cluster's nodes
    std::function<DirectoryMembers()> members;     // of whom, who votes on the directory
    std::function<std::shared_ptr<const gossip::GossipView>()> gossip;
  };
  // All outlive the object.
  Balancing(const BalancerOptions& options, World world)
      : options_(options), world_(std::move(world)) {}

  // A plan, and its first steps. Does nothing while an earlier call is under way.
  void Look();

  // What would be done now, and why; `draining`: as if that node were to be emptied.
  std::string Dry(NodeId draining) const;

 private:
  ClusterView View() const;
  Task<> Start(Plan plan);
  Task<> Start(Action action);

  const BalancerOptions options_;
  const World world_;
  bool under_way_ = false;
};

}  // namespace flotilla
