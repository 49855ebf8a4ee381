// ClusterWatch: what nodes have told of themselves lately, on the directory's leader, and the view
// of the cluster that the balancer plans by.
//
// Nothing of it is kept: a new leader hears everything anew within seconds, and until then takes
// nobody for dead. On the control strand.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "base/clock.h"
#include "shard/directory/calls.h"
#include "shard/node_stats.h"
#include "shard/placement/cluster_view.h"

namespace flotilla {

class ClusterWatch {
 public:
  // This node leads the directory from now on.
  void Begin(MonoTime now);
  void Note(NodeId node, NodeStats stats, MonoTime now);

  // A node that was not heard for so long is suspected, and then dead.
  static constexpr Duration kSuspectAfter = std::chrono::seconds(4);
  static constexpr Duration kDeadAfter = std::chrono::seconds(10);

  // `registered`: the cluster's nodes; others are on their way out, or have gone.
  ClusterView View(const DirectoryImage& image, const std::set<NodeId>& registered, MonoTime now);
  std::vector<ShardSurvey> Survey(const DirectoryImage& image) const;

 private:
  struct Heard {
    MonoTime at;
    NodeStats stats;
  };
  struct Watched {
    ShardDescriptor descriptor;
    NodeId leader;
    MonoTime changed;
  };
  NodeView ViewOf(const NodeRecord& record, MonoTime now) const;

  MonoTime began_{};
  std::map<NodeId, Heard> heard_;
  struct Led {
    NodeId by;
    MonoTime at;
    ShardStats stats;
  };
  std::map<GroupId, Led> led_;
  std::map<GroupId, Watched> watched_;
};

}  // namespace flotilla
