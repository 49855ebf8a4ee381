#include "tests/shard/placement/placement_sim.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "base/check.h"
#include "kv/key_codec.h"
#include "shard/placement/slots.h"
#include "shard/placement/spread.h"

namespace flotilla {
namespace {

constexpr auto kTick = std::chrono::seconds(5);

std::size_t Quorum(const std::set<NodeId>& voters) { return voters.size() / 2 + 1; }

}  // namespace

PlacementSim::PlacementSim(std::uint64_t seed, BalancerOptions balancer_options)
    : random_(seed), options_(balancer_options) {
  view_.now = MonoTime(std::chrono::hours(1));
}

NodeId PlacementSim::AddNode(Labels labels, std::uint32_t weight) {
  NodeView node;
  node.record.node = NodeId(view_.nodes.size() + 1);
  node.record.labels = std::move(labels);
  node.record.weight = weight;
  node.since = view_.now;
  view_.nodes.push_back(node);
  Forget();
  return node.record.node;
}

kv::KeyspaceId PlacementSim::AddKeyspace(KeyspaceDescriptor keyspace) {
  const auto number = static_cast<std::uint32_t>(view_.keyspaces.size() + 1);
  const bool hashed = keyspace.partitioning == Partitioning::kHash;
  keyspace.id = kv::KeyspaceId(hashed ? number | kv::kHashedBit : number);
  view_.keyspaces.push_back(keyspace);
  return keyspace.id;
}

std::string PlacementSim::KeyAt(kv::KeyspaceId id, std::uint16_t position) const {
  std::string slot = kv::SlotStart(id, kv::Slot(position));
  return kv::IsHashed(id) ? slot : kv::EncodeKey(id, slot.substr(kv::kKeyspaceBytes));
}

void PlacementSim::AddShards(kv::KeyspaceId keyspace, std::uint32_t count,
                             const std::vector<std::vector<NodeId>>& voters) {
  std::string start = kv::KeyspaceStart(keyspace);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::vector<NodeId>& on = voters[i % voters.size()];
    ShardView shard;
    shard.descriptor.group = GroupId(next_group_++);
    shard.descriptor.keyspace = keyspace;
    shard.descriptor.start = start;
    start = i + 1 == count
                ? kv::KeyspaceEnd(keyspace)
                : KeyAt(keyspace, static_cast<std::uint16_t>((i + 1) * kv::kSlots / count));
    shard.descriptor.end = start;
    shard.descriptor.epoch = Epoch(1);
    shard.descriptor.voters = {on.begin(), on.end()};
    shard.leader = on.front();
    view_.shards.push_back(shard);
  }
  Sample();
}

void PlacementSim::Put(kv::KeyspaceId keyspace, std::uint16_t position, double requests_per_s,
                       std::uint64_t bytes) {
  std::string key = KeyAt(keyspace, position);
  if (key.size() == kv::kKeyspaceBytes + kv::kSlotBytes) key += "k";
  points_.push_back({keyspace, std::move(key), requests_per_s, bytes});
  std::sort(points_.begin(), points_.end(),
            [](const Point& a, const Point& b) { return a.key < b.key; });
  Sample();
  Forget();
}

NodeView& PlacementSim::node(NodeId id) { return view_.nodes.at(id.value() - 1); }

ShardView& PlacementSim::shard(GroupId group) {
  for (ShardView& shard : view_.shards) {
    if (shard.descriptor.group == group) return shard;
  }
  CHECK(false) << "no shard " << group.value();
  return view_.shards.front();
}

KeyspaceDescriptor& PlacementSim::keyspace(kv::KeyspaceId id) {
  return view_.keyspaces.at((id.value() & ~kv::kHashedBit) - 1);
}

bool PlacementSim::Healthy(const ShardView& shard, NodeId replica) {
  return node(replica).liveness == Liveness::kAlive && !shard.behind.contains(replica);
}

std::size_t PlacementSim::FitNodes(const KeyspaceDescriptor& keyspace) {
  return std::count_if(view_.nodes.begin(), view_.nodes.end(), [&](const NodeView& node) {
    return node.liveness == Liveness::kAlive && node.record.role == NodeRole::kActive &&
           node.record.weight > 0 && Satisfies(node.record, keyspace.require);
  });
}

void PlacementSim::Kill(NodeId id) {
  node(id).liveness = Liveness::kDead;
  node(id).since = view_.now;
  Elect();
  Forget();
}

void PlacementSim::Revive(NodeId id) {
  node(id).liveness = Liveness::kAlive;
  node(id).since = view_.now;
  Elect();
  Forget();
}

void PlacementSim::SetRole(NodeId id, NodeRole role) {
  node(id).record.role = role;
  Forget();
}

void PlacementSim::Forget() {
  been_.clear();
  led_.clear();
  halves_.clear();
  merged_.clear();
}

bool PlacementSim::Lost(NodeId id) {
  const NodeView& view = node(id);
  return view.liveness == Liveness::kDead && (view.record.role == NodeRole::kDecommissioned ||
                                              view_.now - view.since >= options_.dead_after);
}

std::uint32_t PlacementSim::ConflictsOf(const ShardView& shard, const std::set<NodeId>& voters) {
  std::vector<const NodeRecord*> records;
  for (const NodeId voter : voters) records.push_back(&node(voter).record);
  return Conflicts(records, keyspace(shard.descriptor.keyspace).apart);
}

void PlacementSim::Wrong(const Action& action, const std::string& why) {
  wrongs_.push_back(fmt::format("tick {}: {} ({}, {}): {}", ticks_, ActionText(action),
                                PurposeText(action.purpose), action.reason, why));
}

// ---- carrying out plans -----------------------------------------------------------------------

Plan PlacementSim::Tick() {
  view_.jobs.clear();
  for (const Work& work : work_) view_.jobs.push_back(work.job);
  Plan plan = MakePlan(view_, options_);
  for (const Action& action : plan.actions) Carry(action);
  view_.now += kTick;
  ++ticks_;
  Progress();
  Elect();
  Sample();
  return plan;
}

bool PlacementSim::Settle(std::uint32_t ticks_max) {
  const auto ripe = static_cast<std::uint32_t>(
      std::max({options_.dead_after, options_.merge_after, options_.settle_after}) / kTick + 2);
  std::uint32_t quiet = 0;
  for (std::uint32_t tick = 0; tick < ripe; ++tick) Tick();
  Forget();
  watching_ = true;
  for (std::uint32_t tick = 0; tick < ticks_max + ripe; ++tick) {
    const bool idle =
        std::all_of(work_.begin(), work_.end(), [&](const Work& work) { return Stalled(work); });
    const Plan plan = Tick();
    quiet = idle && plan.Settled() ? quiet + 1 : 0;
    if (quiet > ripe) return true;
  }
  return false;
}

void PlacementSim::Carry(const Action& action) {
  ShardView& about = shard(action.group);
  for (const Work& work : work_) {
    if (work.job.group == action.group || work.job.other == action.group) {
      Wrong(action, "a job is about it");
    }
  }
  if (action.epoch != about.descriptor.epoch) Wrong(action, "another epoch");
  if (watching_) CheckUndone(action);
  if (action.kind == ActionKind::kTransferLeader) {
    if (about.leader != action.from) Wrong(action, "another leads");
    if (!about.descriptor.voters.contains(action.to)) Wrong(action, "no voter");
    if (!Healthy(about, action.to)) Wrong(action, "to one that is not well");
    about.leader = action.to;
    about.changed = view_.now;
    return;
  }
  if (action.kind != ActionKind::kSplit && action.kind != ActionKind::kMerge) {
    CheckMembership(action, about);
  }
  StartJob(action, about);
  CheckLimits(action);
}

void PlacementSim::CheckMembership(const Action& action, const ShardView& about) {
  const KeyspaceDescriptor& policy = keyspace(about.descriptor.keyspace);
  const std::set<NodeId>& voters = about.descriptor.voters;
  std::set<NodeId> after = voters;
  if (action.from) {
    const std::set<NodeId>& of = action.learner ? about.descriptor.learners : voters;
    if (!of.contains(action.from)) Wrong(action, "has no such replica");
    after.erase(action.from);
  }
  if (action.to) {
    const NodeView& to = node(action.to);
    if (voters.contains(action.to)) Wrong(action, "is there already");
    if (to.liveness != Liveness::kAlive) Wrong(action, "to a node that is not alive");
    if (to.record.role != NodeRole::kActive) Wrong(action, "to a node that is to be empty");
    if (!Satisfies(to.record, policy.require)) Wrong(action, "to a node without the labels");
    if (!action.learner) after.insert(action.to);
  }
  if (action.learner) return;
  const auto healthy = [&](const std::set<NodeId>& of) {
    return static_cast<std::size_t>(
        std::count_if(of.begin(), of.end(), [&](NodeId voter) { return Healthy(about, voter); }));
  };
  if (healthy(voters) < Quorum(voters)) Wrong(action, "there is no quorum");
  if (healthy(after) < Quorum(after)) Wrong(action, "leaves no quorum");
  if (healthy(voters) < voters.size() && (!action.from || !Lost(action.from))) {
    Wrong(action, "changes more while a voter is not well");
  }
  const bool urgent = action.purpose == Purpose::kRepair || action.purpose == Purpose::kDrain;
  // That a replica may not be where it is comes before being apart.
  const bool fits = action.from && Satisfies(node(action.from).record, policy.require) &&
                    node(action.from).record.weight > 0;
  if (!urgent && fits && ConflictsOf(about, after) > ConflictsOf(about, voters)) {
    Wrong(action, "brings replicas together");
  }
  if (!urgent && about.descriptor.pinned) Wrong(action, "moves what is pinned");
}

void PlacementSim::CheckUndone(const Action& action) {
  switch (action.kind) {
    case ActionKind::kMoveReplica: {
      std::set<NodeId> been = std::move(been_[action.group][action.from]);
      been.insert(action.from);
      if (been.contains(action.to)) Wrong(action, "comes back");
      been_[action.group].erase(action.from);
      been_[action.group][action.to] = std::move(been);
      break;
    }
    case ActionKind::kAddReplica:
    case ActionKind::kRemoveReplica:
      been_[action.group].erase(action.to ? action.to : action.from);
      break;
    case ActionKind::kTransferLeader:
      if (led_[action.group].contains(action.to)) Wrong(action, "leads again");
      led_[action.group].insert(action.from);
      break;
    case ActionKind::kSplit:
      if (merged_.contains(action.group)) Wrong(action, "was merged before");
      break;
    case ActionKind::kReplaceVoter:  // its directory is never lost
      break;
    case ActionKind::kMerge:
      if (halves_.contains(action.group) || halves_.contains(action.other)) {
        Wrong(action, "was split before");
      }
      break;
  }
}

// With the job that the action has just started.
void PlacementSim::CheckLimits(const Action& action) {
  std::map<NodeId, std::uint32_t> of_node;
  std::map<JobKind, std::uint32_t> of_kind;
  std::uint32_t jobs = 0;
  for (const Work& work : work_) {
    if (Stalled(work)) continue;
    ++jobs;
    ++of_kind[work.job.kind];
    for (const NodeId id : work.nodes) ++of_node[id];
  }
  const JobKind kind = work_.back().job.kind;
  const std::uint32_t kind_max = kind == JobKind::kMove    ? options_.moves_max
                                 : kind == JobKind::kSplit ? options_.splits_max
                                                           : options_.merges_max;
  const bool urgent = action.purpose == Purpose::kRepair || action.purpose == Purpose::kDrain;
  const std::uint32_t kept = std::min(options_.jobs_max, options_.jobs_kept_for_repair);
  if (jobs > (urgent ? options_.jobs_max : options_.jobs_max - kept)) Wrong(action, "many jobs");
  if (of_kind[kind] > kind_max) Wrong(action, "many of its kind");
  for (const NodeId id : work_.back().nodes) {
    if (of_node[id] > options_.jobs_per_node_max && !Lost(id)) Wrong(action, "many on a node");
  }
}

// ---- jobs -------------------------------------------------------------------------------------

void PlacementSim::StartJob(const Action& action, const ShardView& about) {
  Work work{
      .job = {}, .ticks_left = static_cast<std::uint32_t>(random_.Between(1, 4)), .nodes = {}};
  work.job.id = JobId(next_job_++);
  work.job.group = action.group;
  work.job.other = action.other;
  work.job.key = action.key;
  work.job.from = action.from;
  work.job.to = action.to;
  work.nodes = about.descriptor.voters;
  if (action.kind == ActionKind::kSplit) {
    work.job.kind = JobKind::kSplit;
  } else if (action.kind == ActionKind::kMerge) {
    work.job.kind = JobKind::kMerge;
    work.nodes.merge(std::set<NodeId>(shard(action.other).descriptor.voters));
  } else {
    work.job.kind = JobKind::kMove;
    work.nodes.clear();
    if (action.from && !Lost(action.from)) work.nodes.insert(action.from);
    if (action.to) work.nodes.insert(action.to);
  }
  work_.push_back(work);
}

// A group without a quorum changes nothing.
bool PlacementSim::Stalled(const Work& work) {
  const ShardView& about = shard(work.job.group);
  const std::set<NodeId>& voters = about.descriptor.voters;
  const std::size_t well = std::count_if(voters.begin(), voters.end(),
                                         [&](NodeId voter) { return Healthy(about, voter); });
  return well < Quorum(voters);
}

void PlacementSim::Progress() {
  std::vector<JobRecord> done;
  std::erase_if(work_, [&](Work& work) {
    if (work.job.to && node(work.job.to).liveness != Liveness::kAlive) return true;  // undone
    if (Stalled(work)) return false;
    if (work.ticks_left-- > 1) return false;
    done.push_back(work.job);
    return true;
  });
  for (const JobRecord& job : done) Finish(job);
}

void PlacementSim::Finish(const JobRecord& job) {
  if (job.kind == JobKind::kSplit) return FinishSplit(job);
  if (job.kind == JobKind::kMerge) return FinishMerge(job);
  FinishMove(job);
}

void PlacementSim::FinishMove(const JobRecord& job) {
  ShardView& about = shard(job.group);
  const bool learner = about.descriptor.learners.contains(job.from);
  if (job.to) (learner ? about.descriptor.learners : about.descriptor.voters).insert(job.to);
  if (!learner) about.descriptor.learners.erase(job.to);
  about.descriptor.voters.erase(job.from);
  about.descriptor.learners.erase(job.from);
  if (about.leader == job.from) about.leader = job.to;
  ++about.descriptor.epoch;
  about.changed = view_.now;
  led_.clear();
}

void PlacementSim::FinishSplit(const JobRecord& job) {
  ShardView& left = shard(job.group);
  CHECK(job.key > left.descriptor.start && job.key < left.descriptor.end);
  ++left.descriptor.epoch;
  left.changed = view_.now;
  ShardView right = left;
  left.descriptor.end = job.key;
  right.descriptor.start = job.key;
  right.descriptor.group = GroupId(next_group_++);
  halves_.insert({left.descriptor.group, right.descriptor.group});
  view_.shards.push_back(right);
  been_.clear();
  led_.clear();
}

void PlacementSim::FinishMerge(const JobRecord& job) {
  ShardView& left = shard(job.group);
  const ShardView right = shard(job.other);
  CHECK(left.descriptor.end == right.descriptor.start);
  left.descriptor.end = right.descriptor.end;
  ++left.descriptor.epoch;
  left.changed = view_.now;
  merged_.insert(job.group);
  std::erase_if(view_.shards,
                [&](const ShardView& one) { return one.descriptor.group == job.other; });
  been_.clear();
  led_.clear();
}

// Where a leader is missing, a voter that is well takes over, if there is a quorum.
void PlacementSim::Elect() {
  for (ShardView& about : view_.shards) {
    if (about.leader && node(about.leader).liveness == Liveness::kAlive) continue;
    about.leader = NodeId();
    std::vector<NodeId> well;
    for (const NodeId voter : about.descriptor.voters) {
      if (Healthy(about, voter)) well.push_back(voter);
    }
    if (well.size() < Quorum(about.descriptor.voters)) continue;
    about.leader = well[random_.Below(well.size())];
    about.changed = view_.now;
    led_.erase(about.descriptor.group);
  }
}

// The key that parts what `measure` counts best; none when it leaves less than a tenth on a side.
template <class Measure>
std::string PlacementSim::Parting(const std::vector<const Point*>& points, Measure measure) {
  double all = 0;
  for (const Point* point : points) all += measure(*point);
  std::string best;
  double best_smaller = all / 10;
  double below = 0;
  for (const Point* point : points) {
    const double smaller = std::min(below, all - below);
    if (smaller > best_smaller) {
      best = point->key;
      best_smaller = smaller;
    }
    below += measure(*point);
  }
  return best;
}

void PlacementSim::Sample() {
  for (ShardView& about : view_.shards) {
    std::vector<const Point*> within;
    about.bytes = 0;
    about.reads_per_s = 0;
    for (const Point& point : points_) {
      if (!about.descriptor.Contains(point.key)) continue;
      within.push_back(&point);
      about.bytes += point.bytes;
      about.reads_per_s += point.requests_per_s;
    }
    about.load_median = Parting(within, [](const Point& point) { return point.requests_per_s; });
    about.bytes_median =
        Parting(within, [](const Point& point) { return static_cast<double>(point.bytes); });
  }
}

}  // namespace flotilla
