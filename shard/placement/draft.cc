#include "shard/placement/draft.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "shard/placement/spread.h"

namespace flotilla {
namespace {

bool Running(const JobRecord& job) {
  return job.state == JobState::kRunning || job.state == JobState::kCancelling;
}

}  // namespace

std::string NodeText(NodeId node) { return fmt::format("node {}", node.value()); }

std::string LostText(const Draft& draft, NodeId id) {
  const NodeState& node = draft.node(id);
  if (node.view->record.role == NodeRole::kDecommissioned) {
    return NodeText(id) + " is decommissioned and does not answer";
  }
  return fmt::format("{} has been dead for {}; the limit is {}", NodeText(id),
                     DurationText(draft.view().now - node.view->since),
                     DurationText(draft.options().dead_after));
}

std::string DurationText(Duration duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
}

Draft::Draft(const ClusterView& view, const BalancerOptions& options)
    : view_(view), options_(options) {
  AddNodes();
  AddShards();
  for (const JobRecord& job : view_.jobs) {
    if (Running(job)) ProjectJob(job);
  }
  for (const ShardState& shard : shards_) {
    for (const NodeId replica : shard.voters) Count(shard, replica);
    for (const NodeId replica : shard.learners) Count(shard, replica);
    const auto leader = nodes_.find(shard.leader);
    if (leader != nodes_.end()) ++leader->second.leaders;
  }
}

void Draft::AddNodes() {
  std::vector<NodeRecord> on_ring;
  for (const NodeView& node : view_.nodes) {
    NodeState state{.view = &node};
    state.alive = node.liveness == Liveness::kAlive;
    state.going = node.record.role == NodeRole::kDecommissioned;
    state.lost = state.going ? !state.alive
                             : node.liveness == Liveness::kDead &&
                                   view_.now - node.since >= options_.dead_after;
    state.leaving = node.record.role != NodeRole::kActive;
    state.weight = EffectiveWeight(node.record) / 100.0;
    state.takes = state.alive && !state.leaving && state.weight > 0;
    if (!state.lost && !state.leaving) on_ring.push_back(node.record);
    nodes_.emplace(node.record.node, state);
  }
  const bool any = std::any_of(
      view_.keyspaces.begin(), view_.keyspaces.end(),
      [](const KeyspaceDescriptor& one) { return one.partitioning == Partitioning::kHash; });
  if (any) ring_.emplace(on_ring);
}

void Draft::AddShards() {
  static const KeyspaceDescriptor kUnknown;
  for (const ShardView& shard : view_.shards) {
    ShardState state;
    state.view = &shard;
    state.keyspace = &kUnknown;
    state.busy = true;
    for (const KeyspaceDescriptor& keyspace : view_.keyspaces) {
      if (keyspace.id != shard.descriptor.keyspace) continue;
      state.keyspace = &keyspace;
      state.busy = keyspace.dropping;
    }
    state.voters = shard.descriptor.voters;
    state.learners = shard.descriptor.learners;
    if (node(shard.leader).alive) state.leader = shard.leader;
    shards_.push_back(std::move(state));
  }
  std::sort(shards_.begin(), shards_.end(), [](const ShardState& a, const ShardState& b) {
    const ShardDescriptor& x = a.view->descriptor;
    const ShardDescriptor& y = b.view->descriptor;
    return std::tie(x.keyspace, x.start, x.group) < std::tie(y.keyspace, y.start, y.group);
  });
}

void Draft::ProjectJob(const JobRecord& job) {
  for (ShardState& shard : shards_) {
    if (shard.group() != job.group && shard.group() != job.other) continue;
    if (job.kind != JobKind::kMove || job.state != JobState::kRunning || !HasQuorumNow(shard)) {
      shard.busy = true;
      continue;
    }
    shard.moving = true;
    const bool learner = job.from && shard.view->descriptor.learners.contains(job.from);
    if (job.to) {
      shard.learners.erase(job.to);
      (learner ? shard.learners : shard.voters).insert(job.to);
    }
    if (job.from) {
      shard.voters.erase(job.from);
      shard.learners.erase(job.from);
      if (shard.leader == job.from) shard.leader = job.to;
    }
  }
}

void Draft::Count(const ShardState& shard, NodeId replica) {
  const auto found = nodes_.find(replica);
  if (found == nodes_.end()) return;
  ++found->second.replicas;
  if (!shard.view->descriptor.Has(replica)) found->second.bytes_coming += shard.view->bytes;
}

const NodeState& Draft::node(NodeId id) const {
  static const NodeView kNobody;
  static const NodeState kStranger{.view = &kNobody};
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? kStranger : found->second;
}

bool Draft::Healthy(const ShardState& shard, NodeId replica) const {
  // One that is to come is expected to catch up.
  const bool behind =
      shard.view->behind.contains(replica) && shard.view->descriptor.voters.contains(replica);
  return node(replica).alive && !behind;
}

bool Draft::AllHealthy(const ShardState& shard) const {
  return std::all_of(shard.voters.begin(), shard.voters.end(),
                     [&](NodeId voter) { return Healthy(shard, voter); });
}

bool Draft::MostHealthy(const ShardState& shard, const std::set<NodeId>& voters) const {
  const std::size_t healthy = std::count_if(voters.begin(), voters.end(),
                                            [&](NodeId voter) { return Healthy(shard, voter); });
  return healthy > voters.size() / 2;
}

bool Draft::HasQuorum(const ShardState& shard) const { return MostHealthy(shard, shard.voters); }

bool Draft::HasQuorumNow(const ShardState& shard) const {
  return MostHealthy(shard, shard.view->descriptor.voters);
}

bool Draft::Quiet(const ShardState& shard, Duration duration) const {
  return view_.now - shard.view->changed >= duration;
}

bool Draft::Free(const ShardState& shard) const {
  return !shard.busy && !shard.moving && !shard.touched && shard.leader && AllHealthy(shard);
}

std::uint32_t Draft::ConflictsOf(const ShardState& shard, const std::set<NodeId>& voters) const {
  if (shard.keyspace->apart.empty()) return 0;
  std::vector<const NodeRecord*> records;
  for (const NodeId voter : voters) records.push_back(&node(voter).view->record);
  return Conflicts(records, shard.keyspace->apart);
}

std::uint32_t Draft::ConflictsAfter(const ShardState& shard, NodeId from, NodeId to) const {
  if (shard.keyspace->apart.empty()) return 0;
  std::set<NodeId> voters = shard.voters;
  voters.erase(from);
  if (to) voters.insert(to);
  return ConflictsOf(shard, voters);
}

bool Draft::CanTake(const ShardState& shard, NodeId id) const {
  const NodeState& to = node(id);
  if (!to.takes || shard.Has(id) || !Satisfies(to.view->record, shard.keyspace->require)) {
    return false;
  }
  const std::uint64_t disk = to.view->record.disk_bytes;
  const std::uint64_t filled = to.view->bytes_used + to.bytes_coming + shard.view->bytes;
  return disk == 0 ||
         static_cast<double>(filled) <= options_.disk_full_share * static_cast<double>(disk);
}

std::vector<NodeId> Draft::RingPlaces(const ShardState& shard) {
  CHECK(ring_.has_value());
  return ring_->PlaceShard(RingKey(shard.view->descriptor), RuleOf(*shard.keyspace));
}

bool Draft::NobodyElse(const ShardState& shard) const {
  return std::none_of(nodes_.begin(), nodes_.end(), [&](const auto& one) {
    const NodeState& node = one.second;
    return !node.lost && !node.leaving && node.weight > 0 && !shard.Has(one.first) &&
           Satisfies(node.view->record, shard.keyspace->require);
  });
}

NodeId Draft::PickTarget(const ShardState& shard, NodeId replaced) {
  if (shard.OnRing()) {
    bool later = false;
    for (const NodeId place : RingPlaces(shard)) {
      if (CanTake(shard, place)) return place;
      later = later || (!shard.Has(place) && !node(place).alive);
    }
    if (later) return NodeId();  // the ring's choice will be back, or lost, soon
  }
  NodeId best;
  std::tuple<std::uint32_t, double> best_cost;
  for (const auto& [id, state] : nodes_) {
    if (!CanTake(shard, id)) continue;
    const std::tuple<std::uint32_t, double> cost{ConflictsAfter(shard, replaced, id),
                                                 (state.replicas + 1) / state.weight};
    if (!best || cost < best_cost) {
      best = id;
      best_cost = cost;
    }
  }
  return best;
}

NodeId Draft::PickLeader(const ShardState& shard, NodeId instead_of, bool leaving_too) const {
  NodeId best;
  std::tuple<bool, double> best_cost;
  for (const NodeId voter : shard.voters) {
    const NodeState& state = node(voter);
    if (voter == instead_of || !Healthy(shard, voter) || (state.leaving && !leaving_too)) continue;
    const double weight = std::max(state.weight, kWeightMin / 100.0);
    const std::tuple<bool, double> cost{state.leaving, (state.leaders + 1) / weight};
    if (!best || cost < best_cost) {
      best = voter;
      best_cost = cost;
    }
  }
  return best;
}

Action& Draft::Append(ShardState& shard, ActionKind kind, const Cause& cause) {
  shard.touched = true;
  actions_.push_back({.kind = kind,
                      .purpose = cause.purpose,
                      .group = shard.group(),
                      .epoch = shard.view->descriptor.epoch,
                      .from = {},
                      .to = {},
                      .other = {},
                      .key = {},
                      .reason = cause.reason,
                      .waits_for = {}});
  return actions_.back();
}

void Draft::Add(ShardState& shard, NodeId to, const Cause& cause) {
  Append(shard, ActionKind::kAddReplica, cause).to = to;
  shard.voters.insert(to);
  if (shard.learners.erase(to) == 0) Count(shard, to);
}

void Draft::Move(ShardState& shard, NodeId from, NodeId to, const Cause& cause) {
  Action& action = Append(shard, ActionKind::kMoveReplica, cause);
  action.from = from;
  action.to = to;
  action.learner = shard.learners.contains(from);
  (action.learner ? shard.learners : shard.voters).insert(to);
  shard.voters.erase(from);
  shard.learners.erase(from);
  Count(shard, to);
  if (const auto found = nodes_.find(from); found != nodes_.end()) --found->second.replicas;
  if (shard.leader == from) MoveLeader(shard, to);
}

void Draft::Remove(ShardState& shard, NodeId from, const Cause& cause) {
  if (shard.leader == from) {
    if (const NodeId heir = PickLeader(shard, from, /*leaving_too=*/true)) {
      Transfer(shard, heir, {cause.purpose, cause.reason + "; its replica here is to go"});
    }
  }
  Action& action = Append(shard, ActionKind::kRemoveReplica, cause);
  action.from = from;
  action.learner = shard.learners.contains(from);
  shard.voters.erase(from);
  shard.learners.erase(from);
  if (const auto found = nodes_.find(from); found != nodes_.end()) --found->second.replicas;
}

void Draft::Transfer(ShardState& shard, NodeId to, const Cause& cause) {
  Action& action = Append(shard, ActionKind::kTransferLeader, cause);
  action.from = shard.leader;
  action.to = to;
  MoveLeader(shard, to);
}

void Draft::MoveLeader(ShardState& shard, NodeId to) {
  if (const auto found = nodes_.find(shard.leader); found != nodes_.end()) {
    --found->second.leaders;
  }
  if (const auto found = nodes_.find(to); found != nodes_.end()) ++found->second.leaders;
  shard.leader = to;
}

void Draft::Split(ShardState& shard, std::string key, const Cause& cause) {
  Append(shard, ActionKind::kSplit, cause).key = std::move(key);
}

void Draft::Merge(ShardState& left, ShardState& right, const Cause& cause) {
  Append(left, ActionKind::kMerge, cause).other = right.group();
  right.touched = true;
}

void Draft::ReplaceVoter(NodeId from, NodeId to, const Cause& cause) {
  Action action;
  action.kind = ActionKind::kReplaceVoter;
  action.purpose = cause.purpose;
  action.group = kDirectoryGroup;
  action.from = from;
  action.to = to;
  action.reason = cause.reason;
  actions_.push_back(std::move(action));
}

void Draft::Obstruct(const std::string& text, GroupId group) {
  const auto [found, fresh] = obstacle_by_text_.emplace(text, obstacles_.size());
  if (fresh) obstacles_.push_back({.text = text, .shards = 0, .example = group});
  if (group) ++obstacles_[found->second].shards;
}

}  // namespace flotilla
