// Opening a data directory: identity, log, groups.

#include <rocksdb/env.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "shard/node_impl.h"

namespace flotilla {
namespace {

// They wait for the disk most of the time.
constexpr std::size_t kOpeners = 8;

}  // namespace

StatusOr<std::unique_ptr<Node>> Node::Open(const NodeOptions& options, const World& world) {
  auto node = std::make_unique<NodeImpl>(options, world);
  const Status opened = node->OpenData();
  if (ReasonOf(opened) == Reason::kDiskFull) {
    return Annotate(opened, fmt::format("the disk of {} is full: make space there, and start the "
                                        "node again",
                                        options.data_directory));
  }
  RETURN_IF_ERROR(opened);
  return std::unique_ptr<Node>(std::move(node));
}

Status NodeImpl::OpenData() {
  ASSIGN_OR_RETURN(directory_,
                   DataDirectory::Open(world_.env->GetFileSystem(), options_.data_directory));
  RETURN_IF_ERROR(OpenIdentity());
  resources_ = kv::MakeStoreResources(
      world_.env, {.cache_bytes = options_.block_cache_bytes,
                   .write_buffer_bytes = options_.write_buffer_bytes,
                   .background_bytes_per_second_max = options_.background_bytes_per_second_max,
                   .inline_background_work = world_.inline_background_work});
  raft::LogRecovery recovery;
  RETURN_IF_ERROR(OpenLog(recovery));

  for (std::size_t i = 0; i < kOpeners; ++i) {
    openers_.push_back(world_.executor->NewBlockingStrand("open"));
  }
  const std::uint64_t first_call = random_.Next();
  calls_ = std::make_unique<raft::PeerCalls>(world_.transport, world_.clock, control_.get(),
                                             Planted(Plant::kNumberedAnew) ? 1 : first_call);
  snapshots_ = std::make_unique<raft::SnapshotTransfer>(
      raft::SnapshotTransferOptions{.bytes_per_second_max = options_.snapshot_bytes_per_second_max,
                                    .direct_io = !world_.inline_background_work,
                                    .seed = random_.Next()},
      world_.env->GetFileSystem().get(), world_.clock, calls_.get(),
      world_.executor->NewThreadStrand("snapshots"),
      [this](GroupId group) { return directory_->incoming(group); }, world_.logger);
  MakeOracle();
  const std::uint64_t first_forward = random_.Next();
  router_ = std::make_unique<RequestRouter>(
      RequestRouter::Options{.first_forward = Planted(Plant::kNumberedAnew) ? 1 : first_forward,
                             .admitted_requests_max = options_.admitted_requests_max,
                             .admitted_bytes_max = options_.admitted_bytes_max},
      world_.clock, control_.get(), calls_.get(), &map_,
      [this](MonoTime deadline, UniqueFunction<void(Status)> done) {
        RefreshDirectory(deadline, std::move(done));
      },
      timestamps_.get());
  flows_ = std::make_unique<TaskScope>(control_.get());
  editor_ = std::make_unique<DirectoryEditor>(&map_, router_.get(), world_.clock, flows_.get(),
                                              ClientId(random_.Next() | 1));
  admin_ = std::make_unique<Admin>(
      world_.clock, control_.get(), calls_.get(), world_.transport,
      [this](GroupId group) { return FindReplica(group); },
      Admin::Elsewhere{
          .strays = [this](GroupId group) { return router_->FindMember(group) == nullptr; },
          .member = [this](GroupId group) { return router_->SomeMember(group); },
          .note_leader = [this](GroupId group,
                                NodeId leader) { router_->NoteLeader(group, leader); }},
      [this](NodeId node) { return AddressOf(node); });
  MakeTransactions();
  MakeVacuum();
  jobs_ = std::make_unique<JobRunner>(
      JobRunner::World{.directory = &map_,
                       .editor = editor_.get(),
                       .admin = admin_.get(),
                       .clock = world_.clock,
                       .scope = flows_.get(),
                       .leads = [this] { return Leads(kDirectoryGroup); }});
  balancing_ = std::make_unique<Balancing>(
      options_.balancer, Balancing::World{.directory = &map_,
                                          .editor = editor_.get(),
                                          .admin = admin_.get(),
                                          .watch = &watch_,
                                          .clock = world_.clock,
                                          .scope = flows_.get(),
                                          .leads = [this] { return Leads(kDirectoryGroup); },
                                          .registered = [this] { return Registered(); },
                                          .members = [this] { return WhoVotes(); },
                                          .gossip = [this] { return GossipView(); }});
  StartTelling();
  if (!identity_.member()) return absl::OkStatus();

  // A founder's log is older than its identity; who joined may not have heard of anything yet.
  log_was_empty_ = recovery.segments_read == 0;
  if (log_was_empty_ && identity_.founding) return LogIsLost();
  calls_->SetSelf(identity_.node);
  router_->SetSelf(identity_.node);
  admin_->SetSelf(identity_.node);
  RETURN_IF_ERROR(directory_->RemoveLeavings());
  ASSIGN_OR_RETURN(const std::vector<GroupId> groups, directory_->ListGroups());
  for (const auto& [group, logged] : recovery.groups) had_.insert(group);
  had_.insert(groups.begin(), groups.end());
  if (Planted(Plant::kFoundedAnew)) had_.clear();
  // Of a group that has gone from here the log keeps the vote.
  std::erase_if(recovery.groups, [&](const auto& one) {
    return one.second.only_hard_state() && std::ranges::find(groups, one.first) == groups.end();
  });
  for (const GroupId group : groups) recovery.groups.try_emplace(group);
  RETURN_IF_ERROR(OpenGroups(recovery.groups));
  world_.logger->info(
      "node {} of cluster {:016x}: {} groups, {} MiB of log ({} read), {} torn bytes cut off",
      identity_.node.value(), identity_.cluster.value(), recovery.groups.size(),
      recovery.bytes >> 20, recovery.bytes_read >> 20, recovery.torn_bytes);
  return absl::OkStatus();
}

Status NodeImpl::LogIsLost() const {
  return Error(Reason::kDataDamaged,
               fmt::format("{} is missing or empty, but this is node {} of a cluster: a node that "
                           "lost its log must not vote again; remove it from the cluster (`kvctl "
                           "member remove {}`), empty {} and let it join anew",
                           directory_->wal(), identity_.node.value(), identity_.node.value(),
                           directory_->path()));
}

Status NodeImpl::OpenIdentity() {
  ASSIGN_OR_RETURN(std::optional<Identity> identity, directory_->LoadIdentity());
  if (identity && identity->member()) {
    identity_ = *identity;
    ASSIGN_OR_RETURN(const bool has_log, directory_->HasLog());
    if (has_log) return absl::OkStatus();
    return LogIsLost();
  }
  if (identity) {
    identity_ = *identity;
  } else {
    // The identity is the first file that a node writes.
    ASSIGN_OR_RETURN(const bool has_log, directory_->HasLog());
    if (has_log) {
      return Error(Reason::kDataDamaged,
                   fmt::format("{}/IDENTITY is missing, but {} holds a node's log: restore the "
                               "file; or remove that node from the cluster, empty {} and let it "
                               "join again as a new one",
                               directory_->path(), directory_->wal(), directory_->path()));
    }
    identity_.uuid = NodeUuid(random_.Next() | 1);
    RETURN_IF_ERROR(directory_->StoreIdentity(identity_));
  }
  // Whatever else is here was written before the node had told anybody that it founded.
  return directory_->RemoveUnfounded();
}

Status NodeImpl::OpenLog(raft::LogRecovery& recovery) {
  raft::LogOptions options = options_.log;
  options.directory = directory_->wal();
  options.direct_io = !world_.inline_background_work;
  raft::Log::World world;
  world.files = world_.env->GetFileSystem().get();
  world.clock = world_.clock;
  world.writer = world_.executor->NewThreadStrand("log");
  world.on_fatal = [this](Status status) { Fatal(status); };
  ASSIGN_OR_RETURN(log_, raft::Log::Open(options, std::move(world), recovery));
  return absl::OkStatus();
}

kv::StoreOptions NodeImpl::StoreOptionsFor(GroupId group) {
  kv::StoreOptions options = options_.store;
  options.directory = directory_->group(group);
  options.group = group;
  options.inline_background_work = world_.inline_background_work;
  options.directory_of = [this](GroupId other) { return directory_->group(other); };
  options.on_split = [this, group](GroupId child) { OpenChild(group, child); };
  options.self = identity_.node;
  options.store_of = [this](GroupId other) { return StoreOf(other); };
  if (group != kDirectoryGroup) {
    options.retention_ms = kv::kKeepAll;  // until its keyspace is known
  } else {
    options.listener = &map_;
    options.followed = kDirectoryKeyspace;
  }
  return options;
}

raft::GroupOptions NodeImpl::GroupOptionsFor(GroupId group) const {
  raft::GroupOptions options;
  options.group = group;
  options.compact_after_bytes = options_.compact_after_bytes;
  options.tick = tick_;
  options.core.self = identity_.node;
  options.core.election_timeout_ticks = static_cast<int>(options_.election_timeout / tick_);
  options.core.heartbeat_ticks = std::max(1, static_cast<int>(options_.heartbeat_interval / tick_));
  options.core.quiesce_after_ticks = static_cast<int>(options_.quiesce_after / tick_);
  options.core.leases = options_.leases;
  options.core.append_bytes_max = options_.append_bytes_max;
  options.core.seed = world_.seed ^ (identity_.node.value() * 0x9e3779b97f4a7c15ull) ^
                      group.value() ^ identity_.uuid.value();
  return options;
}

Status NodeImpl::OpenGroups(const std::map<GroupId, raft::RecoveredGroup>& groups) {
  std::mutex mutex;
  auto next = groups.begin();
  Status failed;
  const auto work = [&] {
    std::unique_lock lock(mutex);
    while (next != groups.end() && failed.ok()) {
      const auto& [group, logged] = *next++;
      lock.unlock();
      const Status opened = OpenGroup(group, logged);
      lock.lock();
      if (failed.ok()) failed = Annotate(opened, fmt::format("group {}", group.value()));
    }
  };
  if (world_.inline_background_work) {
    work();
  } else {
    std::vector<std::unique_ptr<Strand>> openers;
    for (std::size_t i = 0; i < std::min(kOpeners, groups.size()); ++i) {
      openers.push_back(world_.executor->NewBlockingStrand("open"));
      openers.back()->Post(work);
    }
    openers.clear();  // waits for them
  }
  return failed;
}

Status NodeImpl::OpenGroup(GroupId group, const raft::RecoveredGroup& logged) {
  RETURN_IF_ERROR(directory_->MakeGroup(group));
  ASSIGN_OR_RETURN(std::unique_ptr<kv::Store> store,
                   kv::Store::Open(StoreOptionsFor(group), resources_));
  if (log_was_empty_ && store->applied() > raft::Index(0)) return LogIsLost();
  bool reset_log = false;
  StatusOr<raft::RestoredState> reconciled = raft::Reconcile(group, logged, *store, reset_log);
  if (!reconciled.ok()) return Annotate(reconciled.status(), directory_->group(group));
  const raft::RestoredState restored = *std::move(reconciled);
  if (reset_log) {
    raft::LogWrite write;
    write.group = group;
    write.reset_to = std::pair(restored.snapshot.index, restored.snapshot.term);
    write.hard_state = restored.hard_state;
    RETURN_IF_ERROR(log_->Append(std::move(write), [](const Status&) {}));
  }
  Replica::World world;
  world.executor = world_.executor;
  world.clock = world_.clock;
  world.host = this;
  world.logger = world_.logger;
  if (group != kDirectoryGroup) world.timestamps = timestamps_.get();
  world.group.executor = world_.executor;
  world.group.clock = world_.clock;
  world.group.log = log_.get();
  world.group.transport = world_.transport;
  world.group.catch_up = catch_up_.get();
  world.group.snapshots = snapshots_.get();
  world.group.logger = world_.logger;
  AddReplicaObject(
      group, std::make_shared<Replica>(GroupOptionsFor(group), world, std::move(store), restored));
  return absl::OkStatus();
}

}  // namespace flotilla
