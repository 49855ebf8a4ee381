// Which groups have a replica on this node, and what the directory is told of them.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "kv/key_codec.h"
#include "shard/founding.h"
#include "shard/node_impl.h"

namespace flotilla {
namespace {

constexpr Duration kFullDiskPause = std::chrono::seconds(1);
constexpr Duration kRetirePause = std::chrono::milliseconds(50);
constexpr Duration kReportTimeout = std::chrono::seconds(5);
// Of a group that was split off, until it has a leader.
constexpr int kChildRounds = 50;
constexpr int kRoundsForTheFirst = 5;
constexpr Duration kCampaignPause = std::chrono::milliseconds(20);
constexpr std::uint64_t kGiB = 1 << 30;

bool Overlap(const kv::ShardRange& range, const ShardDescriptor& shard) {
  return range.start < shard.end && (range.end.empty() || shard.start < range.end);
}

// Within one keyspace; a replica that has yet to get its state may lie anywhere.
bool MayLieLeft(const kv::ShardRange& range, const kv::ShardRange& of) {
  const bool same =
      range.start.compare(0, kv::kKeyspaceBytes, of.start, 0, kv::kKeyspaceBytes) == 0;
  return range.start < of.start && (same || range.start.empty());
}

bool Has(const ShardDescriptor* shard, NodeId node) { return shard != nullptr && shard->Has(node); }

// A job is about the group that may bring it to the node, or need it there.
bool MayCome(const DirectoryImage& image, GroupId group, NodeId node) {
  const JobRecord* job = JobAbout(image, group);
  if (job == nullptr) return false;
  // What a merge takes a group away from has neither, and hears of the group no more.
  const bool left_behind = job->kind == JobKind::kMerge && image.Find(group) != nullptr &&
                           !Has(image.Find(job->group), node) && !Has(image.Find(job->other), node);
  return !left_behind;
}

// Whom a new group is to be led by, so that leaders are spread from the beginning: so many places
// on the right of `from`, in a circle. None: `from` is no voter.
NodeId FirstLeader(const std::set<NodeId>& voters, NodeId from, std::uint64_t places) {
  auto first = voters.find(from);
  if (first == voters.end()) return NodeId();
  for (places %= voters.size(); places > 0; --places) {
    if (++first == voters.end()) first = voters.begin();
  }
  return *first;
}

// It need not wait for a timeout to have a leader.
void Campaign(const std::shared_ptr<Replica>& replica) {
  replica->group().Post([replica] { replica->group().Campaign(); });
}

}  // namespace

// ---- groups that come -------------------------------------------------------------------------

void NodeImpl::FoundGroups() {
  if (!identity_.member() || stopping_.load()) return;
  std::shared_ptr<const DirectoryImage> image = map_.image();
  {
    std::lock_guard lock(mutex_);
    if (world_.clock->Now() < make_replica_not_before_ || image == founded_) return;
    founded_ = image;
  }
  for (const auto& [group, shard] : image->shards()) {
    if (shard.epoch == kFoundedEpoch && shard.voters.contains(identity_.node)) FoundHere(shard);
  }
}

// A node that has ever had a replica of the group has its votes in the log, and does not begin
// anew.
void NodeImpl::FoundHere(const ShardDescriptor& shard) {
  {
    std::lock_guard lock(mutex_);
    if (had_.contains(shard.group)) return;
    if (!making_replica_.insert(shard.group).second) {
      founded_ = nullptr;  // for others spoke first; perhaps it is opened in vain
      return;
    }
    had_.insert(shard.group);
  }
  const FoundedGroup founded = FoundGroup(shard);
  raft::LogWrite write;
  write.group = founded.group;
  write.hard_state = raft::HardState{.term = raft::Term(1), .vote = {}, .commit = {}};
  write.entries = founded.entries;
  const Status queued =
      log_->Append(std::move(write), [this, shard, founded](const Status& status) {
        if (!status.ok()) return;  // the node ends
        const std::size_t opener = shard.group.value() % openers_.size();
        openers_[opener]->Post([this, shard, founded] {
          FinishOpening(shard.group, OpenGroup(founded.group, AsRecovered(founded)));
          MadeReplica(shard.group);
          const NodeId first =
              FirstLeader(shard.voters, *shard.voters.begin(), shard.group.value());
          if (first != identity_.node) return;
          if (const auto replica = FindReplica(shard.group)) Campaign(replica);
        });
      });
  if (!queued.ok()) {
    FinishOpening(shard.group, queued);
    MadeReplica(shard.group);
  }
}

void NodeImpl::MadeReplica(GroupId group) {
  std::lock_guard lock(mutex_);
  making_replica_.erase(group);
}

raft::RecoveredGroup NodeImpl::Unlogged(GroupId group) const {
  raft::RecoveredGroup logged;
  logged.hard_state = log_->hard_state(group);
  return logged;
}

void NodeImpl::MakeReplicaOnDemand(GroupId group) {
  {
    std::lock_guard lock(mutex_);
    // It may have come since the message's receiver was looked for.
    if (!identity_.member() || making_replica_.contains(group) || replicas_.contains(group) ||
        stopping_.load() || world_.clock->Now() < make_replica_not_before_) {
      return;
    }
    making_replica_.insert(group);
  }
  control_->Post([this, group] {
    if (!MayHost(group)) {
      MadeReplica(group);
      return;
    }
    {
      std::lock_guard lock(mutex_);
      had_.insert(group);
    }
    disk_->Post([this, group] {
      FinishOpening(group, OpenGroup(group, Unlogged(group)));
      MadeReplica(group);
    });
  });
}

// A leader speaks to a group that this node does not have. It has been added here; or the group is
// to be split off from one that has yet to hear of it, and then must not be made of nothing.
bool NodeImpl::MayHost(GroupId group) const {
  if (group == kDirectoryGroup) return true;
  const std::shared_ptr<const DirectoryImage> image = map_.image();
  const ShardDescriptor* shard = image->Find(group);
  if (shard == nullptr) return false;
  const NodeId self = identity_.node;
  const bool comes = std::any_of(image->jobs().begin(), image->jobs().end(), [&](const auto& one) {
    const JobRecord& job = one.second;
    return job.group == group && job.to == self && job.kind == JobKind::kMove;
  });
  if (!comes && !shard->Has(self)) return false;
  if (Planted(Plant::kChildOfNothing)) return true;
  const std::vector<std::shared_ptr<Replica>> replicas = Replicas();
  return std::none_of(replicas.begin(), replicas.end(), [&](const auto& replica) {
    return replica->id() != kDirectoryGroup && Overlap(replica->store().range(), *shard);
  });
}

void NodeImpl::OpenChild(GroupId parent, GroupId child) {
  {
    std::lock_guard lock(mutex_);
    had_.insert(child);
    if (replicas_.contains(child) || !making_replica_.insert(child).second) return;
  }
  disk_->Post([this, parent, child] {
    FinishOpening(child, OpenGroup(child, Unlogged(child)));
    MadeReplica(child);
    control_->Post([this, parent, child] {
      LeadChild(parent, child, /*round=*/0);
      NoteWoken();
      ReportShards(/*all=*/false);
    });
  });
}

// By another node than its parent, so that the two share what was one's; or else by the parent's.
// On the other nodes it may be born somewhat later.
void NodeImpl::LeadChild(GroupId parent, GroupId child, int round) {
  const std::shared_ptr<Replica> born = FindReplica(child);
  const std::shared_ptr<Replica> from = FindReplica(parent);
  if (!born || born->leader() || !from || round == kChildRounds) return;
  const std::set<NodeId> voters = born->store().mark().configuration.voters;
  const std::uint64_t others = std::max<std::uint64_t>(voters.size(), 2) - 1;
  const NodeId first = FirstLeader(voters, from->leader(), 1 + child.value() % others);
  if (first == identity_.node || (from->leads() && round >= kRoundsForTheFirst)) Campaign(born);
  control_->After(kCampaignPause, [this, parent, child, round] {
    if (!stopping_.load()) LeadChild(parent, child, round + 1);
  });
}

void NodeImpl::FinishOpening(GroupId group, const Status& opened) {
  if (opened.ok()) return;
  const Reason reason = ReasonOf(opened);
  if (reason != Reason::kDiskFull && reason != Reason::kOverloaded) {
    Fatal(Annotate(opened, fmt::format("group {}", group.value())));
    return;
  }
  world_.logger->error("group {} cannot be opened, which is tried again: {}", group.value(),
                       MessageOf(opened));
  // Nor will its leader cease to speak to it.
  std::lock_guard lock(mutex_);
  unopened_.insert(group);
  had_.erase(group);
  founded_ = nullptr;
  make_replica_not_before_ = world_.clock->Now() + kFullDiskPause;
}

// ---- groups that go ---------------------------------------------------------------------------

void NodeImpl::RetireStrangers(bool all) {
  if (stopping_.load() || !identity_.member()) return;
  std::shared_ptr<const DirectoryImage> image = map_.image();
  if (image->shards().empty()) return;
  // Nothing has changed that could make a stranger of a replica.
  if (!new_replicas_.exchange(false) && !all && image == searched_) return;
  searched_ = image;
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (replica->id() != kDirectoryGroup && IsStranger(*image, *replica)) Retire(replica);
  }
  RemoveUnopened(*image);
}

// What was begun of a group that could not be opened, and is not to be here any more.
void NodeImpl::RemoveUnopened(const DirectoryImage& image) {
  std::vector<GroupId> gone;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(unopened_, [&](GroupId group) {
      const bool strange = JobAbout(image, group) == nullptr &&
                           group < image.counters().next_group &&
                           !Has(image.Find(group), identity_.node);
      if (replicas_.contains(group)) return true;
      if (!strange || !making_replica_.insert(group).second) return false;
      gone.push_back(group);
      return true;
    });
  }
  for (const GroupId group : gone) Remove(group);
}

// The directory is told late, never wrongly: what is newer here than there is left alone, and so is
// what a job has to do with.
bool NodeImpl::IsStranger(const DirectoryImage& image, Replica& replica) const {
  const GroupId group = replica.id();
  if (MayCome(image, group, identity_.node)) return false;
  const ShardDescriptor* shard = image.Find(group);
  if (shard == nullptr) return group < image.counters().next_group && !Awaited(image, replica);
  if (shard->Has(identity_.node)) return false;
  return shard->epoch >= replica.store().range().epoch || Planted(Plant::kRetiredByOldMap);
}

// A frozen group may have become part of one on its left, which takes all of it once more if that
// is applied again after a crash. In the directory that one has the epoch of then, or a later one.
bool NodeImpl::Awaited(const DirectoryImage& image, Replica& gone) const {
  const kv::ShardRange range = gone.store().range();
  if (!range.frozen) return false;
  std::vector<std::shared_ptr<Replica>> others = Replicas();
  {
    std::lock_guard lock(mutex_);
    for (const auto& [group, replica] : retired_) others.push_back(replica);
  }
  bool awaited = false;
  for (const std::shared_ptr<Replica>& other : others) {
    const kv::ShardRange kept = other->store().durable_range();
    if (other->id() == kDirectoryGroup || !MayLieLeft(kept, range)) continue;
    const ShardDescriptor* shard = image.Find(other->id());
    // One that is frozen itself has done all that it had to.
    if (shard != nullptr ? kept.epoch >= shard->epoch : kept.frozen) continue;
    awaited = true;
    // A change of members alone is flushed when it happens to be.
    if (shard != nullptr && other->store().range().epoch >= shard->epoch) {
      other->group().Post([other] { other->group().Compact([](const StatusOr<raft::Index>&) {}); });
    }
  }
  return awaited;
}

std::shared_ptr<kv::Store> NodeImpl::StoreOf(GroupId group) const {
  std::shared_ptr<Replica> replica = FindReplica(group);
  if (!replica && stopping_.load()) {
    std::lock_guard lock(mutex_);
    const auto found = retired_.find(group);
    if (found != retired_.end()) replica = found->second;
  }
  return replica ? std::shared_ptr<kv::Store>(replica, &replica->store()) : nullptr;
}

void NodeImpl::Retire(const std::shared_ptr<Replica>& replica) {
  const GroupId group = replica->id();
  {
    std::lock_guard lock(mutex_);
    // Nor is it made again meanwhile.
    if (!making_replica_.insert(group).second) return;
    replicas_.erase(group);
    retired_[group] = replica;
  }
  awake_.erase(group);
  measured_.erase(group);
  router_->SetReplica(group, nullptr);
  world_.logger->info("group {}: this node's replica goes", group.value());
  replica->Retire([this, group] { Remove(group); });
}

void NodeImpl::Remove(GroupId group) {
  const raft::HardState left =
      Planted(Plant::kVoteLeftBehind) ? raft::HardState() : log_->hard_state(group);
  const Status queued = log_->Append(raft::Forgetting(group, left, log_->end(group)),
                                     [this, group](const Status& forgotten) {
                                       if (forgotten.ok())
                                         disk_->Post([this, group] { RemoveFiles(group); });
                                     });
  if (queued.ok() || stopping_.load()) return;
  // A full disk, mostly. Until then no other replica of the group can come.
  world_.logger->warn("group {} cannot be forgotten yet, which is tried again: {}", group.value(),
                      MessageOf(queued));
  disk_->After(kFullDiskPause, [this, group] { Remove(group); });
}

void NodeImpl::RemoveFiles(GroupId group) {
  std::shared_ptr<Replica> last;
  {
    std::lock_guard lock(mutex_);
    const auto found = retired_.find(group);
    // A node that stops keeps it to its end.
    if (stopping_.load()) return;
    if (found != retired_.end()) {
      // Somebody had it in hand when it went.
      if (found->second.use_count() > 1) {
        disk_->After(kRetirePause, [this, group] { RemoveFiles(group); });
        return;
      }
      last = std::move(found->second);
      retired_.erase(found);
    }
  }
  last.reset();
  // One that it was about to install would keep the next replica from getting any.
  snapshots_->Discard(group);
  if (const Status removed = directory_->RemoveGroup(group); !removed.ok()) {
    world_.logger->error("the files of group {} are left behind: {}", group.value(),
                         MessageOf(removed));
  }
  MadeReplica(group);
}

// ---- what the directory is told ---------------------------------------------------------------

std::optional<ShardDescriptor> NodeImpl::DescribeShard(Replica& replica) const {
  const kv::ShardRange range = replica.store().range();
  const std::shared_ptr<const DirectoryImage> image = map_.image();
  const ShardDescriptor* known = image->Find(replica.id());
  // One that is frozen has become part of another, or will be told of when it goes on.
  if (range.frozen || (known != nullptr && known->epoch >= range.epoch)) return std::nullopt;
  const raft::SnapshotMark mark = replica.store().mark();
  // What is read apart fits together if the epoch has not changed in between.
  if (mark.configuration.joint() || replica.store().range() != range) return std::nullopt;
  const ShardDescriptor* before = image->Locate(range.start);
  if (before == nullptr || range.end.empty()) return std::nullopt;
  ShardDescriptor shard;
  shard.group = replica.id();
  shard.keyspace = before->keyspace;
  shard.start = range.start;
  shard.end = range.end;
  shard.epoch = range.epoch;
  shard.voters = mark.configuration.voters;
  shard.learners = mark.configuration.learners;
  return shard;
}

void NodeImpl::ReportShards(bool all) {
  if (flows_->stopping() || !identity_.member()) return;
  if (reporting_) {
    report_again_ = true;
    return;
  }
  bool news = false;
  std::vector<ShardDescriptor> reports;
  const auto describe = [&](Replica& replica) {
    if (replica.id() == kDirectoryGroup) return;
    std::optional<ShardDescriptor> shard = DescribeShard(replica);
    if (!shard) return;
    // A leader's word is enough; what others know completes it, as the other half of a split does.
    news |= replica.leads();
    reports.push_back(*std::move(shard));
  };
  if (all) {
    for (const std::shared_ptr<Replica>& replica : Replicas()) describe(*replica);
  } else {
    for (const auto& [group, replica] : awake_) describe(*replica);
    for (const GroupId group : unreported_) {
      if (const std::shared_ptr<Replica> replica = FindReplica(group)) describe(*replica);
    }
  }
  unreported_.clear();
  if (!news) return;
  reporting_ = true;
  DirectoryEditor::Change change = [reports = std::move(reports)](const DirectoryImage& image) {
    return TakeReports(image, reports);
  };
  flows_->Spawn(TellDirectory("shards", std::move(change), [this] {
    reporting_ = false;
    if (std::exchange(report_again_, false)) ReportShards(/*all=*/false);
  }));
}

Task<> NodeImpl::TellDirectory(std::string of, DirectoryEditor::Change change, Closure then) {
  const MonoTime deadline = world_.clock->Now() + kReportTimeout;
  const StatusOr<Timestamp> told = co_await editor_->Edit(std::move(change), deadline);
  if (!told.ok()) {
    world_.logger->debug("the directory was not told of {}, which is tried again: {}", of,
                         MessageOf(told.status()));
  }
  then();
}

// In GiB, and as before unless it differs by much. Gossip says it more exactly.
std::uint64_t NodeImpl::RoughCapacity(std::uint64_t before) const {
  const std::uint64_t exact = own_load_.capacity_bytes;
  if (exact == 0) return before;
  const std::uint64_t now = std::max(exact, kGiB) / kGiB * kGiB;
  const std::uint64_t apart = std::max(now, before) - std::min(now, before);
  return apart > before / 10 ? now : before;
}

void NodeImpl::RecordSelf() {
  if (recording_ || flows_->stopping() || !identity_.member()) return;
  const std::shared_ptr<const DirectoryImage> image = map_.image();
  const NodeRecord* known = image->Find(identity_.node);
  NodeRecord self;
  self.node = identity_.node;
  self.uuid = identity_.uuid;
  self.address = options_.advertise_address;
  self.labels = options_.labels;
  self.weight = options_.weight;
  self.disk_bytes = RoughCapacity(0);
  if (known != nullptr) {
    self.role = known->role;
    self.disk_bytes = RoughCapacity(known->disk_bytes);
    if (*known == self || known->role == NodeRole::kDecommissioned) return;
  }
  recording_ = true;
  DirectoryEditor::Change change = [self = std::move(self)](const DirectoryImage& image) {
    return RecordNode(image, self);
  };
  flows_->Spawn(TellDirectory("this node", std::move(change), [this] { recording_ = false; }));
}

}  // namespace flotilla
