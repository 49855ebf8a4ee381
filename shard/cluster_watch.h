// ClusterWatch: what nodes have told of their shards lately, on the directory's leader, and the
// view of the cluster that the balancer plans by: with gossip's word for who lives and who is how
// full.
//
// Nothing of it is kept: a new leader hears everything anew within seconds, and counts everybody's
// silence from when it began. On the control strand.
#pragma once

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "shard/directory/calls.h"
#include "shard/gossip/gossip.h"
#include "shard/node_stats.h"
#include "shard/placement/cluster_view.h"

namespace flotilla {

class ClusterWatch {
 public:
  // This node leads the directory from now on.
  void Begin(MonoTime now);
  void Note(NodeId node, NodeStats stats, MonoTime now);
  // Whether anything that was noted since the last call was new.
  bool TakeNews() { return std::exchange(news_, false); }

  // What a leader said of its shards counts for so long; and so long a silence is suspicious,
  // whatever others say, and may be death where nobody else says anything.
  static constexpr Duration kSuspectAfter = std::chrono::seconds(4);
  static constexpr Duration kDeadAfter = std::chrono::seconds(10);

  // `registered`: the cluster's nodes; others are on their way out, or have gone.
  ClusterView View(const DirectoryImage& image, const std::set<NodeId>& registered,
                   const gossip::GossipView& gossip, MonoTime now);
  std::vector<ShardSurvey> Survey(const DirectoryImage& image) const;

 private:
  struct Watched {
    ShardDescriptor descriptor;
    NodeId leader;
    MonoTime changed;
  };
  struct Led {
    NodeId by;
    ShardStats stats;

    bool operator==(const Led&) const = default;
  };

  // `member`: null when gossip has not heard of it.
  NodeView ViewOf(const NodeRecord& record, const gossip::Member* member, MonoTime now) const;
  // What its leader said of it still counts.
  bool Fresh(const Led& led, MonoTime now) const;

  MonoTime began_{};
  bool news_ = true;
  std::map<NodeId, MonoTime> heard_;
  std::map<GroupId, Led> led_;
  std::map<GroupId, Watched> watched_;
};

}  // namespace flotilla
