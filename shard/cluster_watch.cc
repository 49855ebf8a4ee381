#include "shard/cluster_watch.h"

#include <utility>

namespace flotilla {
namespace {

// By gossip, which asks through others, so that a node that only this one cannot reach does not
// look dead. `member`: null when gossip has not heard of it.
Liveness LivenessOf(const gossip::Member* member, Duration silence) {
  if (silence <= ClusterWatch::kSuspectAfter) return Liveness::kAlive;
  if (member == nullptr) {
    return silence <= ClusterWatch::kDeadAfter ? Liveness::kSuspect : Liveness::kDead;
  }
  if (!member->standing.present()) return Liveness::kDead;
  return member->standing.state == gossip::MemberState::kAlive ? Liveness::kAlive
                                                               : Liveness::kSuspect;
}

}  // namespace

void ClusterWatch::Begin(MonoTime now) {
  began_ = now;
  heard_.clear();
  led_.clear();
  watched_.clear();
}

void ClusterWatch::Note(NodeId node, NodeStats stats, MonoTime now) {
  if (!stats.same) {
    // It leads these, and no others any more.
    std::map<GroupId, Led> said;
    for (ShardStats& shard : stats.leads) {
      const GroupId group = shard.group;
      said[group] = {.by = node, .stats = std::move(shard)};
    }
    const std::size_t gone = std::erase_if(
        led_, [&](const auto& one) { return one.second.by == node && !said.contains(one.first); });
    news_ = news_ || gone > 0;
    for (auto& [group, led] : said) {
      Led& known = led_[group];
      news_ = news_ || known != led;
      known = std::move(led);
    }
  }
  heard_[node] = now;
}

bool ClusterWatch::Fresh(const Led& led, MonoTime now) const {
  const auto heard = heard_.find(led.by);
  return heard != heard_.end() && now - heard->second <= kSuspectAfter;
}

NodeView ClusterWatch::ViewOf(const NodeRecord& record, const gossip::Member* member,
                              MonoTime now) const {
  NodeView view;
  view.record = record;
  const auto heard = heard_.find(record.node);
  view.since = heard == heard_.end() ? began_ : heard->second;
  view.liveness = LivenessOf(member, now - view.since);
  if (member != nullptr && member->load != nullptr) {
    view.bytes_used = member->load->bytes_stored;
    view.record.disk_bytes = member->load->capacity_bytes;
  }
  return view;
}

ClusterView ClusterWatch::View(const DirectoryImage& image, const std::set<NodeId>& registered,
                               const gossip::GossipView& gossip, MonoTime now) {
  ClusterView view;
  view.now = now;
  for (const auto& [id, keyspace] : image.keyspaces()) view.keyspaces.push_back(keyspace);
  for (const auto& [id, node] : image.nodes()) {
    NodeView& one = view.nodes.emplace_back(ViewOf(node, gossip.Find(id), now));
    if (!registered.contains(id)) one.record.role = NodeRole::kDecommissioned;
  }
  for (const auto& [id, job] : image.jobs()) view.jobs.push_back(job);
  std::erase_if(led_, [&](const auto& one) { return image.Find(one.first) == nullptr; });
  std::erase_if(watched_, [&](const auto& one) { return image.Find(one.first) == nullptr; });
  for (const auto& [group, descriptor] : image.shards()) {
    ShardView& shard = view.shards.emplace_back();
    shard.descriptor = descriptor;
    const auto led = led_.find(group);
    if (led != led_.end() && Fresh(led->second, now)) {
      const ShardStats& stats = led->second.stats;
      shard.leader = led->second.by;
      shard.behind = stats.behind;
      shard.bytes = stats.bytes;
      shard.reads_per_s = stats.reads_per_s;
      shard.writes_per_s = stats.writes_per_s;
      shard.load_median = stats.load_median;
    }
    Watched& watched = watched_[group];
    if (watched.descriptor != descriptor || watched.leader != shard.leader) {
      watched = {.descriptor = descriptor, .leader = shard.leader, .changed = now};
    }
    shard.changed = watched.changed;
  }
  return view;
}

std::vector<ShardSurvey> ClusterWatch::Survey(const DirectoryImage& image) const {
  std::vector<ShardSurvey> survey;
  for (const auto& [group, descriptor] : image.shards()) {
    ShardSurvey& one = survey.emplace_back();
    one.group = group;
    const auto led = led_.find(group);
    if (led == led_.end()) continue;
    one.leader = led->second.by;
    one.bytes = led->second.stats.bytes;
    one.keys = led->second.stats.keys;
    one.reads_per_s = led->second.stats.reads_per_s;
    one.writes_per_s = led->second.stats.writes_per_s;
  }
  return survey;
}

}  // namespace flotilla
