// What a node does from time to time: ticks of its groups, looks at its disk and its log.

#include <utility>

#include "shard/node_impl.h"

namespace flotilla {
namespace {

constexpr int kHousekeepingTicks = 30;
constexpr int kDiskWatchTicks = 5;
// What was not said of a shard before its group fell asleep is noticed after so many rounds.
constexpr int kRoundsUntilAll = 30;
// A disk that was slow counts as such for so many times the limit: one that is slow with every
// other sync must not flicker.
constexpr int kSlowDiskLingers = 10;

void CompactSoon(const std::shared_ptr<Replica>& replica) {
  replica->group().Post(
      [replica] { replica->group().Compact([](const StatusOr<raft::Index>&) {}); });
}

}  // namespace

void NodeImpl::Tick() {
  TickAwake();
  if (--ticks_until_housekeeping_ <= 0) {
    ticks_until_housekeeping_ = kHousekeepingTicks;
    Housekeep();
  }
  if (--ticks_until_disk_watch_ <= 0) {
    ticks_until_disk_watch_ = kDiskWatchTicks;
    WatchDisk();
    WatchSpace();
    WatchMemory();
  }
  int ticks = 1;
  {
    std::lock_guard lock(mutex_);
    if (stopping_.load() && replicas_.empty()) return;
    resting_ = awake_.empty() && woken_.empty();
    if (resting_) ticks = std::exchange(ticks_until_housekeeping_, 0);
  }
  const TimerId timer = control_->After(ticks * tick_, [this] { Tick(); });
  rare_tick_ = ticks > 1 ? timer : 0;
}

void NodeImpl::NoteWoken() {
  std::lock_guard lock(mutex_);
  for (const GroupId group : std::exchange(woken_, {})) {
    const auto found = replicas_.find(group);
    if (found != replicas_.end()) awake_.insert(*found);
  }
}

void NodeImpl::TickAwake() {
  NoteWoken();
  std::erase_if(awake_, [this](const auto& one) {
    const bool asleep = one.second->asleep();
    if (asleep) unreported_.insert(one.first);
    return asleep;
  });
  for (const auto& [group, replica] : awake_) replica->Tick();
}

void NodeImpl::OnAwake(GroupId group) {
  std::lock_guard lock(mutex_);
  woken_.push_back(group);
  if (!std::exchange(resting_, false)) return;
  control_->Post([this] {
    if (control_->Cancel(std::exchange(rare_tick_, 0))) Tick();
  });
}

void NodeImpl::Housekeep() {
  ForgetDeparted();
  NoteWhetherLeft();
  LookAround();
  FoundGroups();
  const bool all = --rounds_until_all_ <= 0;
  if (all) rounds_until_all_ = kRoundsUntilAll;
  RetireStrangers(all);
  ReportShards(all);
  RecordSelf();
  jobs_->Look();
  const std::shared_ptr<const DirectoryImage> image = map_.image();
  for (const auto& [group, replica] : awake_) {
    FollowPolicy(*image, *replica);
    replica->group().Post([replica] {
      replica->membership().PromoteWaiting();
      NoteBehind(*replica);
    });
  }
  LookAtLocks();
  for (const GroupId group : log_->Pressure()) {
    if (const std::shared_ptr<Replica> replica = FindReplica(group)) CompactSoon(replica);
  }
}

void NodeImpl::FollowPolicy(const DirectoryImage& image, Replica& replica) {
  const ShardDescriptor* const shard = image.Find(replica.id());
  const KeyspaceDescriptor* const keyspace =
      shard != nullptr ? image.Find(shard->keyspace) : nullptr;
  if (keyspace == nullptr) return;
  replica.store().SetRetention(
      std::chrono::duration_cast<std::chrono::milliseconds>(keyspace->retention));
}

// RocksDB bounds the memtables of all groups by flushing whoever writes next: where idle groups
// held most of the memory, busy ones would flush every few rows. Before it comes to that, the
// largest go.
void NodeImpl::WatchMemory() {
  if (resources_.unflushed_bytes->load() <= options_.write_buffer_bytes / 2) return;
  std::shared_ptr<Replica> largest;
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (!largest || replica->store().unflushed_bytes() > largest->store().unflushed_bytes()) {
      largest = replica;
    }
  }
  if (largest) CompactSoon(largest);
}

// A disk that hangs must not look healthy: leaderships go to nodes whose disks work.
void NodeImpl::WatchDisk() {
  const MonoTime now = world_.clock->Now();
  if (log_->Stats().io_under_way > options_.slow_disk_after) {
    disk_slow_until_ = now + kSlowDiskLingers * options_.slow_disk_after;
  }
  const bool slow = now < disk_slow_until_;
  NodeState expected = slow ? NodeState::kServing : NodeState::kSlowDisk;
  const NodeState wanted = slow ? NodeState::kSlowDisk : NodeState::kServing;
  if (state_.compare_exchange_strong(expected, wanted)) {
    if (slow) {
      world_.logger->error("the disk does not answer: giving leaderships away");
    } else {
      world_.logger->info("the disk answers again");
    }
  }
  if (!slow) return;
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (replica->leads()) replica->group().Post([replica] { replica->GiveLeadershipAway(); });
  }
}

// The last room is for what was accepted: flushes, compactions, the log of others.
void NodeImpl::WatchSpace() {
  if (options_.disk_reserve_bytes == 0) return;
  const StatusOr<std::uint64_t> asked = directory_->FreeBytes();
  if (!asked.ok()) return;
  const std::uint64_t free_bytes = *asked;
  const bool low = free_bytes < options_.disk_reserve_bytes;
  if (space_is_low_.exchange(low) != low) {
    if (low) {
      world_.logger->error(
          "{} MiB are free in {}, less than the reserve of {} MiB: writes are "
          "refused until there is space again",
          free_bytes >> 20, options_.data_directory, options_.disk_reserve_bytes >> 20);
    } else {
      world_.logger->info("there is space again in {}", options_.data_directory);
    }
    for (const std::shared_ptr<Replica>& replica : Replicas()) replica->SetSpaceIsLow(low);
  }
}

}  // namespace flotilla
