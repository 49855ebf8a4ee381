#include "tests/sim/shards_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace flotilla::sim {
namespace {

constexpr Duration kAnswersWithin = std::chrono::milliseconds(100);

using Infos = std::map<int, NodeInfo>;  // by machine

Infos AskAll(EventLoop& loop, SimCluster& cluster) {
  auto infos = std::make_shared<Infos>();
  for (int node = 0; node < cluster.size(); ++node) {
    if (!cluster.running(node)) continue;
    cluster.node(node)->Info([infos, node](const NodeInfo& info) { (*infos)[node] = info; });
  }
  loop.RunFor(kAnswersWithin);
  return *infos;
}

// Of one replica.
std::string FindDisorder(const ShardDescriptor& shard, const GroupInfo& group) {
  if (group.range.start != shard.start || group.range.end != shard.end ||
      group.range.epoch != shard.epoch || group.range.frozen) {
    return fmt::format("has another range, of epoch {}", group.range.epoch.value());
  }
  const raft::Configuration& members = group.core.configuration;
  if (members.joint() || members.voters != shard.voters || members.learners != shard.learners) {
    return "has other members";
  }
  return {};
}

// What a node has beside what it should have.
std::string FindLeftover(const DirectoryImage& image, NodeId node, SimFileSystem& disk) {
  std::vector<std::string> names;
  disk.GetChildren("/data/groups", {}, &names, nullptr).PermitUncheckedError();
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    const bool number =
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    const GroupId group(number ? std::stoull(name) : 0);
    if (group == kDirectoryGroup) continue;
    const ShardDescriptor* shard = image.Find(group);
    if (shard == nullptr || !shard->Has(node)) return "/data/groups/" + name;
  }
  return {};
}

}  // namespace

std::string FindDisorder(const DirectoryImage& image, EventLoop& loop, SimCluster& cluster) {
  if (const Status tiled = image.CheckTiling(); !tiled.ok()) return std::string(MessageOf(tiled));
  const Infos infos = AskAll(loop, cluster);
  std::map<GroupId, int> leaders;
  std::map<GroupId, std::set<NodeId>> replicas;
  for (const auto& [machine, info] : infos) {
    for (const GroupInfo& group : info.groups) {
      if (group.group == kDirectoryGroup) continue;
      const ShardDescriptor* shard = image.Find(group.group);
      const std::string who =
          fmt::format("node {}'s replica of group {}", info.node.value(), group.group.value());
      if (shard == nullptr) return who + " belongs to no shard";
      if (const std::string what = FindDisorder(*shard, group); !what.empty()) {
        return who + " " + what;
      }
      replicas[group.group].insert(info.node);
      leaders[group.group] += cluster.Leads(machine, group.group);
    }
    const std::string left = FindLeftover(image, info.node, cluster.disk(machine));
    if (!left.empty()) return fmt::format("node {} has {} left", info.node.value(), left);
  }
  for (const auto& [group, shard] : image.shards()) {
    const std::vector<NodeId> members = shard.Members();
    const std::set<NodeId> wanted(members.begin(), members.end());
    if (replicas[group] != wanted) {
      return fmt::format("group {} has {} replicas, not {}, or elsewhere", group.value(),
                         replicas[group].size(), wanted.size());
    }
    if (leaders[group] != 1) {
      return fmt::format("group {} has {} leaders", group.value(), leaders[group]);
    }
  }
  return {};
}

}  // namespace flotilla::sim
