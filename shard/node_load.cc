// What this node tells the directory's leader of the shards that it leads, and all nodes of itself;
// and, where it leads the directory, what it hears of others and makes of it.

#include <cmath>
#include <utility>

#include "shard/node_impl.h"

namespace flotilla {
namespace {

constexpr Duration kPeriod = std::chrono::seconds(1);
// While everything sleeps; shorter than a silence that is suspicious (ClusterWatch).
constexpr Duration kRestingPeriod = std::chrono::seconds(2);
static_assert(2 * kRestingPeriod <= ClusterWatch::kSuspectAfter);
constexpr Duration kSoon = std::chrono::milliseconds(200);
// Sizes of shards that nobody writes to are looked up so many periods apart, for the next one.
constexpr int kSizesEvery = 10;
constexpr int kSizesEveryAsleep = 60;
// Reports that say that nothing has changed, before one that says all.
constexpr int kSameMax = 5;
// The balancer looks so often after the last news, and then every so many periods.
constexpr int kQuietLooks = 10;
constexpr int kSeldom = 10;
// Entries by which a member may lag and still count as one that has caught up.
constexpr std::uint64_t kBehindMin = 1024;
// Measurements that wait for a disk that does not answer.
constexpr int kMeasurementsMax = 16;

}  // namespace

void NodeImpl::StartTelling() {
  calls_->Handle(raft::PeerMethod::kGossip,
                 [this](NodeId from, std::uint64_t, Bytes body, const raft::PeerCalls::Reply&) {
                   if (const auto gossip = FindGossip()) gossip->OnMessage(from, std::move(body));
                 });
  calls_->Handle(raft::PeerMethod::kNodeStats, [this](NodeId from, std::uint64_t, const Bytes& body,
                                                      const raft::PeerCalls::Reply&) {
    StatusOr<NodeStats> stats = DecodeNodeStats(body.view());
    if (!stats.ok()) return;
    control_->Post([this, from, stats = *std::move(stats)]() mutable {
      watch_.Note(from, std::move(stats), world_.clock->Now());
    });
  });
}

void NodeImpl::TellRegularly() {
  if (stopping_.load()) return;
  // Who leads the directory may have something to balance.
  const bool rests = awake_.empty() && (!watching_ || quiet_looks_ > kQuietLooks);
  const Duration before = std::exchange(tell_period_, rests ? kRestingPeriod : kPeriod);
  control_->After(tell_period_, [this] { TellRegularly(); });
  MeasureLoad(before);
  TellReaders();
  vacuum_->Look();
  if (const auto gossip = FindGossip()) gossip->SetLoad(own_load_);
  Tell();
}

// Who leads, or what the directory holds, has changed: the balancer's next step need not wait.
void NodeImpl::TellSoon() {
  quiet_looks_ = 0;
  if (stopping_.load() || std::exchange(tells_soon_, true)) return;
  control_->After(kSoon, [this] {
    tells_soon_ = false;
    Tell();
  });
}

void NodeImpl::Tell() {
  if (stopping_.load() || !identity_.member()) return;
  const bool leads = Leads(kDirectoryGroup);
  const MonoTime now = world_.clock->Now();
  if (leads && !watching_) watch_.Begin(now);
  watching_ = leads;
  NodeStats stats = OwnStats();
  const std::shared_ptr<Replica> directory = FindReplica(kDirectoryGroup);
  if (leads) {
    watch_.Note(identity_.node, std::move(stats), now);
    if (options_.balance && WorthALook()) balancing_->Look();
  } else if (directory && directory->leader()) {
    TellLeader(directory->leader(), std::move(stats));
  }
}

// Of a cluster in which nothing happens little is said, and seldom all.
void NodeImpl::TellLeader(NodeId leader, NodeStats stats) {
  stats.same = std::exchange(told_to_, leader) == leader && stats.leads == last_told_.leads &&
               ++told_the_same_ < kSameMax;
  calls_->Notify(leader, raft::PeerMethod::kNodeStats, 0, Bytes(EncodeNodeStats(stats)));
  if (stats.same) return;
  told_the_same_ = 0;
  last_told_ = std::move(stats);
}

DirectoryMembers NodeImpl::WhoVotes() const {
  const std::shared_ptr<Replica> directory = FindReplica(kDirectoryGroup);
  if (!directory) return {};
  const raft::Configuration now = directory->configuration();
  if (now.joint()) return {};
  DirectoryMembers members{.voters = now.voters, .learners = now.learners, .behind = {}};
  if (!directory->asleep()) members.behind = directory->behind();
  return members;
}

// Time alone makes the balancer act, too, but not to the second.
bool NodeImpl::WorthALook() {
  const std::shared_ptr<const DirectoryImage> image = map_.image();
  const bool news = watch_.TakeNews() || std::exchange(looked_at_, image) != image;
  if (news) quiet_looks_ = 0;
  return ++quiet_looks_ <= kQuietLooks || quiet_looks_ % kSeldom == 0;
}

// Of all replicas, of which there may be thousands, all asleep.
void NodeImpl::MeasureLoad(Duration since_last) {
  ++periods_;
  own_load_ = {};
  const std::shared_ptr<const DirectoryImage> image = map_.image();
  double requests_per_s = 0;
  std::vector<std::shared_ptr<Replica>> to_measure;
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (replica->id() == kDirectoryGroup) continue;
    const LoadMeter::Load load = replica->load().Take(since_last);
    ShardStats& known = measured_[replica->id()];
    const bool busy = load.writes_per_s >= 1;
    const int every = replica->asleep() ? kSizesEveryAsleep : kSizesEvery;
    const auto turn = static_cast<int>(replica->id().value() % static_cast<std::uint64_t>(every));
    if (busy || periods_ % every == turn) {
      to_measure.push_back(replica);
      FollowPolicy(*image, *replica);
    }
    const kv::StoreSizes sizes = replica->store().Sizes();
    known.bytes = sizes.disk_bytes + sizes.memtable_bytes;
    known.keys = sizes.keys_estimate;
    known.reads_per_s = load.reads_per_s;
    known.writes_per_s = load.writes_per_s;
    known.load_median = load.median;
    own_load_.bytes_stored += known.bytes;
    requests_per_s += known.reads_per_s + known.writes_per_s;
    ++own_load_.replicas;
    if (replica->serving_leader()) ++own_load_.leaders;
    if (replica->Overslept()) replica->group().Post([replica] { replica->group().Wake(); });
  }
  if (!to_measure.empty()) Measure(to_measure, nullptr);
  own_load_.requests_per_second = static_cast<std::uint64_t>(std::llround(requests_per_s));
  const StatusOr<std::uint64_t> free_bytes = directory_->FreeBytes();
  if (free_bytes.ok()) own_load_.capacity_bytes = own_load_.bytes_stored + *free_bytes;
}

void NodeImpl::Measure(const std::vector<std::shared_ptr<Replica>>& replicas, Closure done) {
  if (measurements_waiting_.load() >= kMeasurementsMax) return;
  ++measurements_waiting_;
  std::vector<std::weak_ptr<Replica>> open(replicas.begin(), replicas.end());
  measuring_->Post([this, open = std::move(open), done = std::move(done)]() mutable {
    for (const std::weak_ptr<Replica>& replica : open) {
      if (const std::shared_ptr<Replica> there = replica.lock()) there->store().MeasureSizes();
    }
    --measurements_waiting_;
    if (done) done();
  });
}

NodeStats NodeImpl::OwnStats() const {
  NodeStats stats;
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (replica->id() == kDirectoryGroup || !replica->serving_leader()) continue;
    const auto known = measured_.find(replica->id());
    ShardStats& shard = stats.leads.emplace_back();
    if (known != measured_.end()) shard = known->second;
    shard.group = replica->id();
    // In a group that sleeps everybody has everything.
    if (!replica->asleep()) shard.behind = replica->behind();
  }
  return stats;
}

// On the raft strand of a leader.
void NodeImpl::NoteBehind(Replica& replica) {
  const raft::CoreStatus status = replica.group().core().Status();
  std::set<NodeId> behind;
  for (const raft::FollowerProgress& follower : status.followers) {
    if (!follower.recently_active || follower.match + kBehindMin < status.commit) {
      behind.insert(follower.node);
    }
  }
  replica.SetBehind(std::move(behind));
}

}  // namespace flotilla
