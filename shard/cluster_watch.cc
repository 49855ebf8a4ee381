#include "shard/cluster_watch.h"

#include <utility>

namespace flotilla {

void ClusterWatch::Begin(MonoTime now) {
  began_ = now;
  heard_.clear();
  led_.clear();
  watched_.clear();
}

void ClusterWatch::Note(NodeId node, NodeStats stats, MonoTime now) {
  for (ShardStats& shard : stats.leads) {
    const GroupId group = shard.group;
    led_[group] = {.by = node, .at = now, .stats = std::move(shard)};
  }
  stats.leads.clear();
  heard_[node] = {.at = now, .stats = std::move(stats)};
}

NodeView ClusterWatch::ViewOf(const NodeRecord& record, MonoTime now) const {
  NodeView view;
  view.record = record;
  const auto heard = heard_.find(record.node);
  const MonoTime last = heard == heard_.end() ? began_ : heard->second.at;
  view.since = last;
  if (now - last > kDeadAfter) {
    view.liveness = Liveness::kDead;
  } else if (now - last > kSuspectAfter) {
    view.liveness = Liveness::kSuspect;
  }
  if (heard != heard_.end()) {
    view.bytes_used = heard->second.stats.bytes_used;
    view.record.disk_bytes = heard->second.stats.disk_bytes;
  }
  return view;
}

ClusterView ClusterWatch::View(const DirectoryImage& image, const std::set<NodeId>& registered,
                               MonoTime now) {
  ClusterView view;
  view.now = now;
  for (const auto& [id, keyspace] : image.keyspaces()) view.keyspaces.push_back(keyspace);
  for (const auto& [id, node] : image.nodes()) {
    NodeView& one = view.nodes.emplace_back(ViewOf(node, now));
    if (!registered.contains(id)) one.record.role = NodeRole::kDecommissioned;
  }
  for (const auto& [id, job] : image.jobs()) view.jobs.push_back(job);
  std::erase_if(led_, [&](const auto& one) { return image.Find(one.first) == nullptr; });
  std::erase_if(watched_, [&](const auto& one) { return image.Find(one.first) == nullptr; });
  for (const auto& [group, descriptor] : image.shards()) {
    ShardView& shard = view.shards.emplace_back();
    shard.descriptor = descriptor;
    const auto led = led_.find(group);
    if (led != led_.end() && now - led->second.at <= kSuspectAfter) {
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
