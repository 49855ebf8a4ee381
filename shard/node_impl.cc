#include "shard/node_impl.h"

#include <rocksdb/rate_limiter.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/turn.h"

namespace flotilla {
namespace {

// An election timeout is this many ticks, so that timeouts differ between nodes.
constexpr int kTicksPerElectionTimeout = 15;
constexpr Duration kDepartedFor = std::chrono::seconds(5);
constexpr int kLooksWithoutLeaderMax = 4;
// What sizes are waited for by whoever asks how the node is.
constexpr Duration kMeasuringMax = std::chrono::milliseconds(300);
// What follows from messages to so many groups leaves together, and waits for no more of them.
constexpr int kGroupsTogether = 32;
constexpr std::int64_t kNoRate = std::int64_t{1} << 40;

}  // namespace

NodeImpl::NodeImpl(const NodeOptions& options, const World& world)
    : options_(options),
      world_(world),
      random_(world.seed),
      control_(world.executor->NewStrand("control")),
      disk_(world.executor->NewThreadStrand("disk")),
      catch_up_(world.executor->NewThreadStrand("catch-up")),
      map_({.on_change = [this] { OnDirectoryChange(); },
            .on_damage =
                [this](const Status& status) { Fatal(Annotate(status, "the directory")); }}),
      readers_(world.clock->Now()),
      tick_(std::max<Duration>(options.election_timeout / kTicksPerElectionTimeout,
                               std::chrono::milliseconds(1))),
      measuring_(world.executor->NewBlockingStrand("measuring")),
      slices_(world.executor->NewBlockingStrand("vacuum")) {
  CHECK(world_.logger != nullptr);
}

NodeImpl::~NodeImpl() {
  // What is open is answered while the parts that it goes through are still there.
  if (calls_) calls_->Stop();
  if (router_) router_->Stop();
  if (timestamps_) timestamps_->Stop();
  // A simulated node dies with work in its queues, some of which holds its replica.
  for (const std::shared_ptr<Replica>& replica : Replicas()) replica->group().Abandon();
}

void NodeImpl::Start(UniqueFunction<void(Status)> on_fatal) {
  started_ = true;
  on_fatal_ = std::move(on_fatal);
  world_.transport->SetAddressCallHandler(
      [this](std::uint32_t method, Bytes body, UniqueFunction<void(StatusOr<Bytes>)> reply) {
        AnswerAddressCall(static_cast<raft::PeerMethod>(method), std::move(body), std::move(reply));
      });
  control_->Post([this] {
    if (identity_.member()) {
      state_ = NodeState::kServing;
      BecomeMember(identity_, identity_.founding ? identity_.founding->members.records
                                                 : std::vector<MemberRecord>());
    } else {
      world_.transport->Start(ClusterId(), NodeId(), this);
      StartFormation();
    }
    Tick();
    TellRegularly();
  });
}

bool NodeImpl::Ready() const {
  if (state_.load() != NodeState::kServing) return false;
  const std::shared_ptr<Replica> directory = FindReplica(kDirectoryGroup);
  return directory && directory->leader() && !map_.image()->shards().empty();
}

bool NodeImpl::Leads(GroupId group) const {
  const std::shared_ptr<Replica> replica = FindReplica(GroupOr(group));
  return replica && replica->leads();
}

void NodeImpl::Fatal(const Status& status) {
  if (fatal_.exchange(true)) return;
  world_.logger->critical("the node cannot go on: {}", MessageOf(status));
  if (on_fatal_) on_fatal_(status);
}

// ---- what arrives ---------------------------------------------------------------------------

void NodeImpl::OnMessages(std::vector<raft::PeerMessage> messages) {
  std::optional<GatheringTurn> gathering(std::in_place);
  int gathered = 0;
  // Neighbours of one group, which is nearly all, travel together.
  GroupId group;
  std::vector<raft::Message> batch;
  const auto deliver = [&] {
    if (batch.empty()) return;
    if (const std::shared_ptr<Replica> replica = FindReplica(group)) {
      replica->Receive(std::move(batch));
    } else {
      MakeReplicaOnDemand(group);
    }
    batch.clear();
    if (++gathered % kGroupsTogether != 0) return;
    gathering.reset();
    gathering.emplace();
  };
  for (raft::PeerMessage& message : messages) {
    if (auto* call = std::get_if<raft::Call>(&message.payload)) {
      calls_->OnCall(message.from, std::move(*call));
      continue;
    }
    auto& one = std::get<raft::GroupMessage>(message.payload);
    if (one.group != group) {
      deliver();
      group = one.group;
    }
    batch.push_back(std::move(one.message));
  }
  deliver();
}

void NodeImpl::OnUnreachable(NodeId node) {
  calls_->OnUnreachable(node);
  router_->OnUnreachable(node);
  WakeFor(node, /*lost=*/true);
}

// Who followed is told by nobody who leads now.
void NodeImpl::OnReachable(NodeId node) { WakeFor(node, /*lost=*/false); }

void NodeImpl::WakeFor(NodeId node, bool lost) {
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    const bool follows = replica->leader() == node;
    if (replica->asleep() && (lost ? !follows : !replica->leads())) continue;
    replica->group().Post([replica, node, lost] {
      raft::Group& group = replica->group();
      if (lost) group.ReportUnreachable(node);
      const bool wake =
          lost ? replica->leader() == node : group.core().configuration().Contains(node);
      if (wake) group.Wake();
    });
  }
}

void NodeImpl::OnMisrouted(GroupId group, NodeId leader, std::vector<Ticket> tickets) {
  router_->OnMisrouted(group, leader, std::move(tickets));
}

void NodeImpl::OnLeader(GroupId group, NodeId leader, bool self) {
  router_->OnLeader(group, leader);
  if (self && started_.load()) control_->Post([this] { TellSoon(); });
  if (group != kDirectoryGroup) return;
  if (!self) oracle_->OnDeposed();
  timestamps_->OnLeader();
}

// Who comes is needed at once; who goes has gone only when that cannot be lost any more.
void NodeImpl::OnMembers(GroupId group, const raft::Configuration& configuration, bool settled) {
  if (group != kDirectoryGroup) return;
  const StatusOr<Members> members = DecodeMembers(configuration.context);
  if (!members.ok() || members->records.empty()) return;
  std::vector<raft::PeerAddress> peers;
  {
    std::lock_guard lock(mutex_);
    if (settled) {
      const MonoTime until = world_.clock->Now() + kDepartedFor;
      for (const auto& [node, address] : addresses_) {
        departed_.try_emplace(node, Departed{.address = address, .until = until});
      }
      const bool among = members->Find(identity_.node) != nullptr;
      if (among || addresses_.contains(identity_.node)) has_left_.store(!among);
      addresses_.clear();
      recorded_.clear();
      uuids_.clear();
    }
    for (const MemberRecord& record : members->records) {
      departed_.erase(record.node);
      met_.erase(record.node);
      const auto learned = learned_.find(record.node);
      const bool moved = learned != learned_.end() && learned->second.instead_of == record.address;
      addresses_[record.node] = moved ? learned->second.address : record.address;
      recorded_[record.node] = record.address;
      uuids_[record.uuid] = record.node;
    }
    peers = Peers();
  }
  control_->Post([this, peers = std::move(peers)] {
    if (!formation_ && !stopping_.load()) Reach(peers);
  });
}

void NodeImpl::OnReplicaFatal(GroupId group, const Status& status) {
  Fatal(Annotate(status, fmt::format("group {}", group.value())));
}

// ---- looking in -----------------------------------------------------------------------------

void NodeImpl::AddReplicaObject(GroupId group, std::shared_ptr<Replica> replica) {
  router_->SetReplica(group, replica);
  replica->SetSpaceIsLow(space_is_low_.load());
  {
    std::lock_guard lock(mutex_);
    replicas_[group] = std::move(replica);
    new_replicas_.store(true);
  }
  OnAwake(group);
}

std::shared_ptr<Replica> NodeImpl::FindReplica(GroupId group) const {
  std::lock_guard lock(mutex_);
  const auto found = replicas_.find(group);
  return found == replicas_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Replica>> NodeImpl::Replicas() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Replica>> replicas;
  replicas.reserve(replicas_.size());
  for (const auto& [group, replica] : replicas_) replicas.push_back(replica);
  return replicas;
}

std::vector<raft::PeerAddress> NodeImpl::Peers() const {
  std::vector<raft::PeerAddress> peers;
  for (const auto& [node, address] : addresses_) {
    if (node != identity_.node) peers.push_back({.node = node, .address = address});
  }
  for (const auto& [node, departed] : departed_) {
    if (node != identity_.node) peers.push_back({.node = node, .address = departed.address});
  }
  for (const auto& [node, address] : met_) {
    const bool known = addresses_.contains(node) || departed_.contains(node);
    if (!known && node != identity_.node) peers.push_back({.node = node, .address = address});
  }
  // Of the registry no more, but needed: a node that was restarted has this from the directory.
  const std::shared_ptr<const DirectoryImage> image = map_.image();
  for (const auto& [node, record] : image->nodes()) {
    const bool known = addresses_.contains(node) || departed_.contains(node) || met_.contains(node);
    if (known || node == identity_.node || !Needed(node)) continue;
    peers.push_back({.node = node, .address = record.address});
  }
  return peers;
}

bool NodeImpl::Needed(NodeId node) const {
  return std::any_of(replicas_.begin(), replicas_.end(),
                     [&](const auto& one) { return one.second->HasMember(node); });
}

// On the control strand.
void NodeImpl::ForgetDeparted() {
  std::vector<raft::PeerAddress> peers;
  {
    std::lock_guard lock(mutex_);
    const MonoTime now = world_.clock->Now();
    const std::size_t gone = std::erase_if(
        departed_, [&](const auto& one) { return one.second.until <= now && !Needed(one.first); });
    if (gone == 0) return;
    peers = Peers();
  }
  if (!formation_ && !stopping_.load()) Reach(peers);
}

void NodeImpl::LookAround() {
  bool lost = false;
  for (const auto& [group, replica] : awake_) {
    const NodeId leader = replica->leader();
    lost |= !leader || AddressOf(leader).empty();
  }
  if (!lost) looks_without_leader_ = 0;
  if (!lost || ++looks_without_leader_ < kLooksWithoutLeaderMax) return;
  looks_without_leader_ = 0;
  if (greeter_ && !stopping_.load()) greeter_->Again();
}

std::set<NodeId> NodeImpl::Registered() const {
  std::lock_guard lock(mutex_);
  std::set<NodeId> nodes;
  for (const auto& [node, address] : addresses_) nodes.insert(node);
  return nodes;
}

std::string NodeImpl::AddressOf(NodeId node) const {
  std::lock_guard lock(mutex_);
  if (const auto found = addresses_.find(node); found != addresses_.end()) return found->second;
  const auto met = met_.find(node);
  return met == met_.end() ? std::string() : met->second;
}

void NodeImpl::Info(UniqueFunction<void(NodeInfo)> done) {
  auto shared_done = std::make_shared<UniqueFunction<void(NodeInfo)>>(std::move(done));
  auto answered = std::make_shared<std::atomic<bool>>(false);
  const auto gather = [this, shared_done, answered] {
    if (!answered->exchange(true)) GatherInfo(std::move(*shared_done));
  };
  // Whoever asks because the disk hangs shall be told so.
  control_->After(kMeasuringMax, gather);
  Measure(Replicas(), gather);
}

void NodeImpl::GatherInfo(UniqueFunction<void(NodeInfo)> done) {
  struct Gathering {
    std::mutex mutex;
    NodeInfo info;
    std::size_t missing = 0;
    UniqueFunction<void(NodeInfo)> done;
  };
  auto gathering = std::make_shared<Gathering>();
  {
    std::lock_guard lock(mutex_);
    gathering->info.node = identity_.node;
    gathering->info.cluster = identity_.cluster;
    gathering->info.oldest_reader = oldest_reader_;
  }
  gathering->info.state = state_.load();
  gathering->info.address = options_.advertise_address;
  gathering->info.log = log_->Stats();
  const std::vector<std::shared_ptr<Replica>> replicas = Replicas();
  if (replicas.empty()) {
    done(std::move(gathering->info));
    return;
  }
  gathering->missing = replicas.size();
  gathering->done = std::move(done);
  for (const std::shared_ptr<Replica>& replica : replicas) {
    replica->group().Post([this, replica, gathering] {
      const raft::Core& core = replica->group().core();
      GroupInfo group;
      group.group = replica->id();
      group.core = core.Status();
      group.applied = replica->group().applied();
      group.leader_address = AddressOf(core.leader());
      group.members = DescribeMembers(core);
      for (MemberInfo& member : group.members) {
        if (member.address.empty()) member.address = AddressOf(member.node);
      }
      group.range = replica->store().range();
      group.sizes = replica->store().Sizes();
      group.counts = replica->store().Counts();
      group.versions = replica->store().Versions();
      group.safe_point = replica->store().safe_point();
      group.last_timestamp = replica->store().last_timestamp();
      group.retention_ms = replica->store().retention_ms();
      group.vacuum = vacuum_->Report(group.group);
      std::unique_lock lock(gathering->mutex);
      gathering->info.groups.push_back(std::move(group));
      if (--gathering->missing > 0) return;
      lock.unlock();
      gathering->done(std::move(gathering->info));
    });
  }
}

void NodeImpl::StateHash(
    GroupId group, UniqueFunction<void(StatusOr<std::pair<raft::Index, std::uint64_t>>)> done) {
  const std::shared_ptr<Replica> replica = FindReplica(GroupOr(group));
  if (!replica) {
    done(Error(Reason::kGroupNotFound, "no such group here"));
    return;
  }
  replica->group().PostToApply([replica, done = std::move(done)]() mutable {
    const StatusOr<std::uint64_t> hash = replica->store().StateHash();
    if (!hash.ok()) {
      done(hash.status());
    } else {
      done(std::pair(replica->store().applied(), *hash));
    }
  });
}

// ---- administration -------------------------------------------------------------------------

void NodeImpl::AddReplica(GroupId group, const std::string& address, bool promote,
                          MonoTime deadline, UniqueFunction<void(StatusOr<NodeId>)> done) {
  AdminRequest request;
  request.verb = AdminVerb::kAddAddress;
  request.group = group ? group : kDirectoryGroup;
  request.address = address;
  request.promote = promote;
  admin_->Execute(std::move(request), deadline,
                  [done = std::move(done)](const AdminResult& result) mutable {
                    if (result.status.ok()) {
                      done(result.node);
                    } else {
                      done(result.status);
                    }
                  });
}

void NodeImpl::RemoveReplica(GroupId group, NodeId node, MonoTime deadline,
                             UniqueFunction<void(Status)> done) {
  if (!group) {
    RemoveNode(node, deadline, std::move(done));
    return;
  }
  AdminRequest request;
  request.verb = AdminVerb::kRemove;
  request.group = group;
  request.node = node;
  admin_->Execute(
      std::move(request), deadline,
      [done = std::move(done)](const AdminResult& result) mutable { done(result.status); });
}

void NodeImpl::PromoteReplica(GroupId group, NodeId node, MonoTime deadline,
                              UniqueFunction<void(Status)> done) {
  AdminRequest request;
  request.verb = AdminVerb::kPromote;
  request.group = group ? group : kDirectoryGroup;
  request.node = node;
  admin_->Execute(
      std::move(request), deadline,
      [done = std::move(done)](const AdminResult& result) mutable { done(result.status); });
}

void NodeImpl::TransferLeadership(GroupId group, NodeId target, MonoTime deadline,
                                  UniqueFunction<void(StatusOr<NodeId>)> done) {
  AdminRequest request;
  request.verb = AdminVerb::kTransfer;
  request.group = GroupOr(group);
  request.node = target;
  admin_->Execute(std::move(request), deadline,
                  [done = std::move(done)](const AdminResult& result) mutable {
                    if (result.status.ok()) {
                      done(result.node);
                    } else {
                      done(result.status);
                    }
                  });
}

void NodeImpl::TriggerSnapshot(GroupId group, NodeId node, MonoTime deadline,
                               UniqueFunction<void(StatusOr<SnapshotTaken>)> done) {
  AdminRequest request;
  request.verb = AdminVerb::kSnapshot;
  request.group = GroupOr(group);
  request.node = node;
  admin_->Execute(std::move(request), deadline,
                  [done = std::move(done)](const AdminResult& result) mutable {
                    if (result.status.ok()) {
                      done(SnapshotTaken{.index = result.index, .bytes = result.bytes});
                    } else {
                      done(result.status);
                    }
                  });
}

void NodeImpl::ListMembers(MonoTime deadline,
                           UniqueFunction<void(StatusOr<std::vector<MemberInfo>>)> done) {
  AdminRequest request;
  request.verb = AdminVerb::kListMembers;
  request.group = kDirectoryGroup;
  admin_->Execute(std::move(request), deadline,
                  [done = std::move(done)](AdminResult result) mutable {
                    if (result.status.ok()) {
                      done(std::move(result.members));
                    } else {
                      done(result.status);
                    }
                  });
}

// ---- the end --------------------------------------------------------------------------------

void NodeImpl::Stop(Duration grace, Closure done) {
  if (stopping_.exchange(true)) {
    done();
    return;
  }
  state_ = NodeState::kStopping;
  StopGossip([this, grace, done = std::move(done)]() mutable {
    control_->Post(
        [this, grace, done = std::move(done)]() mutable { GiveAway(grace, std::move(done)); });
  });
}

void NodeImpl::GiveAway(Duration grace, Closure done) {
  std::vector<std::shared_ptr<Replica>> leading;
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (replica->leads()) leading.push_back(replica);
  }
  HandOver(std::move(leading), grace,
           [this, done = std::move(done)]() mutable { StopParts(std::move(done)); });
}

void NodeImpl::HandOver(std::vector<std::shared_ptr<Replica>> leading, Duration grace,
                        Closure then) {
  if (leading.empty()) {
    control_->Post(std::move(then));
    return;
  }
  auto missing = std::make_shared<std::atomic<std::size_t>>(leading.size());
  auto shared_then = std::make_shared<Closure>(std::move(then));
  const MonoTime deadline = world_.clock->Now() + grace;
  for (const std::shared_ptr<Replica>& replica : leading) {
    replica->group().Post([this, replica, deadline, missing, shared_then] {
      replica->TransferLeadership(NodeId(), deadline,
                                  [this, missing, shared_then](const StatusOr<NodeId>&) {
                                    if (--*missing > 0) return;
                                    control_->Post([shared_then] { (*shared_then)(); });
                                  });
    });
  }
}

void NodeImpl::StopParts(Closure done) {
  if (formation_) formation_->End();
  formation_ = nullptr;
  if (greeter_) greeter_->End();
  greeter_ = nullptr;
  router_->Stop();
  timestamps_->Stop();
  const std::vector<std::shared_ptr<Replica>> replicas = Replicas();
  {
    std::lock_guard lock(mutex_);
    retired_.merge(replicas_);
    replicas_.clear();
  }
  awake_.clear();
  // A vacuum's last slice need not be gentle.
  if (resources_.rate_limiter) resources_.rate_limiter->SetBytesPerSecond(kNoRate);
  for (const std::shared_ptr<Replica>& replica : replicas) replica->Stop();
  calls_->Stop();
  world_.transport->Stop();
  editor_->Stop();
  // Flows of transactions end when what they have asked for is answered, which it is.
  transactions_->Stop([this, done = std::move(done)]() mutable {
    control_->Post([this, done = std::move(done)]() mutable { StopFlows(std::move(done)); });
  });
}

void NodeImpl::StopFlows(Closure done) {
  flows_->Stop([this, done = std::move(done)]() mutable {
    snapshots_->Stop([this, done = std::move(done)]() mutable {
      log_->Stop([this, done = std::move(done)]() mutable { control_->Post(std::move(done)); });
    });
  });
}

}  // namespace flotilla
