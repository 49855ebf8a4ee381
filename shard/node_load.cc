// What this node tells the directory's leader of the shards that it leads, and all nodes of itself;
// and, where it leads the directory, what it hears of others and makes of it.

#include <utility>

#include "shard/node_impl.h"

namespace flotilla {
namespace {

constexpr Duration kPeriod = std::chrono::seconds(1);
constexpr Duration kSoon = std::chrono::milliseconds(200);
// Sizes of shards that nobody writes to are looked up so many periods apart.
constexpr int kSizesEvery = 10;
// Entries by which a member may lag and still count as one that has caught up.
constexpr std::uint64_t kBehindMin = 1024;

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
  control_->After(kPeriod, [this] { TellRegularly(); });
  MeasureLoad();
  own_load_ = OwnLoad();
  if (const auto gossip = FindGossip()) gossip->SetLoad(own_load_);
  Tell();
}

// Who leads, or what the directory holds, has changed: the balancer's next step need not wait.
void NodeImpl::TellSoon() {
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
    if (options_.balance) balancing_->Look();
  } else if (directory && directory->leader()) {
    calls_->Notify(directory->leader(), raft::PeerMethod::kNodeStats, 0,
                   Bytes(EncodeNodeStats(stats)));
  }
}

void NodeImpl::MeasureLoad() {
  ++periods_;
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (replica->id() == kDirectoryGroup) continue;
    const LoadMeter::Load load = replica->load().Take(kPeriod);
    ShardStats& known = told_[replica->id()];
    const bool busy = load.writes_per_s >= 1;
    const auto turn = static_cast<int>(replica->id().value() % kSizesEvery);
    if (busy || !known.group || periods_ % kSizesEvery == turn) {
      const kv::StoreStats sizes = replica->store().Stats();
      known.bytes = sizes.disk_bytes + sizes.memtable_bytes;
      known.keys = sizes.keys_estimate;
    }
    known.reads_per_s = load.reads_per_s;
    known.writes_per_s = load.writes_per_s;
    known.load_median = load.median;
  }
}

NodeStats NodeImpl::OwnStats() {
  NodeStats stats;
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (replica->id() == kDirectoryGroup) continue;
    ShardStats& known = told_[replica->id()];
    known.group = replica->id();
    // In a group that sleeps everybody has everything.
    known.behind = replica->asleep() ? std::set<NodeId>() : replica->behind();
    if (replica->serving_leader()) stats.leads.push_back(known);
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
