#include "tests/sim/sim_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/check.h"

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kSupervise = 50;
// Until whoever watches over the processes starts one again.
constexpr Duration kRestartAfter = std::chrono::milliseconds(300);

// What a disk takes, in virtual time.
Duration CostOf(DiskOperation operation, std::uint64_t bytes, Duration sync) {
  switch (operation) {
    case DiskOperation::kSync:
    case DiskOperation::kSyncDirectory:
      // Of a sync that hangs, those beside the log's feel only a part: they are made one after
      // another, while the log's are counted once.
      return std::min<Duration>(sync, std::chrono::milliseconds(150));
    case DiskOperation::kWrite:
      return Duration(static_cast<std::int64_t>(bytes / 2));
    default:
      return Duration(0);
  }
}

}  // namespace

SimCluster::SimCluster(const Options& options, EventLoop* loop, SimNetwork* network)
    : options_(options), loop_(loop), network_(network), random_(options.seed) {
  members_.resize(static_cast<std::size_t>(options_.founders + options_.spares));
  for (Member& member : members_) {
    member.sync_time = std::make_shared<Duration>(kSyncTime);
    GiveDisk(member);
  }
}

SimCluster::~SimCluster() { CrashAll(); }

void SimCluster::CrashAll() {
  for (int node = 0; node < size(); ++node) {
    if (!running(node)) continue;
    members_[Slot(node)].disk->PowerOff();
    Destroy(members_[Slot(node)], IdOf(node));
  }
}

void SimCluster::GiveDisk(Member& member) const {
  member.disk = std::make_shared<SimFileSystem>();
  member.disk->SetLatencyHook(
      [loop = loop_, sync = member.sync_time](DiskOperation operation, std::uint64_t bytes) {
        loop->Charge(CostOf(operation, bytes, *sync));
      });
  if (options_.syncs_take_their_time) {
    member.disk->SetSyncHook([&member] {
      if (member.process) member.process->AwaitSync();
    });
  }
  if (std::FILE* const file = loop_->trace_file(); file != nullptr) {
    const auto number = &member - members_.data() + 1;
    member.disk->SetObserver([file, number](const DiskCall& call) {
      fmt::print(file, "disk of n{}: call {}, operation {}, {}, {} bytes\n", number, call.number,
                 static_cast<int>(call.operation), call.path, call.bytes);
    });
  }
  member.faults_before = 0;
  member.short_of_room = false;
}

bool SimCluster::Start(int node) {
  Member& member = members_[Slot(node)];
  if (member.node) return true;
  member.in_use = true;
  member.life = next_life_++;
  member.faults_before = member.disk->faults_met();
  member.process = std::make_unique<SimProcess>(loop_, IdOf(node), member.sync_time);
  member.process->SetDrift(member.drift);
  member.process->SetWallOffset(member.wall_offset);
  if (options_.syncs_take_their_time) member.process->SyncsTakeTheirTime();
  if (options_.apply_stalls > 0) {
    member.process->StallApply(Random(options_.seed + member.life), options_.apply_stalls);
  }
  member.env = std::make_unique<kv::InlineEnv>(member.disk, member.process.get());
  member.transport =
      std::make_unique<SimTransport>(network_, member.process.get(), AddressOf(node));
  World world;
  world.executor = member.process.get();
  world.clock = member.process.get();
  world.transport = member.transport.get();
  world.env = member.env.get();
  world.logger = options_.logger;
  world.seed = random_.Next();
  world.inline_background_work = true;
  NodeOptions node_options = options_.node;
  node_options.data_directory = "/data";
  node_options.advertise_address = AddressOf(node);
  for (int other = 0; other < size(); ++other) node_options.join.push_back(AddressOf(other));
  if (node < options_.founders && !member.replaced) {
    node_options.bootstrap_expect = static_cast<std::uint32_t>(options_.founders);
  }
  auto opened = Node::Open(node_options, world);
  if (!opened.ok()) {
    const bool excused = !member.disk->powered() ||
                         (troubled(node) && ReasonOf(opened.status()) != Reason::kDataDamaged);
    if (!excused) {
      failure_ = AddressOf(node) + " did not start: " + std::string(MessageOf(opened.status()));
    }
    Destroy(member, IdOf(node));
    return false;
  }
  member.node = *std::move(opened);
  if (options_.before_gateway) {
    member.before_gateway = options_.before_gateway(&member.node->gateway());
  }
  member.node->Start([this, node](const Status& status) { OnFatal(node, status); });
  if (options_.on_start) options_.on_start(node);
  return true;
}

// In the midst of an event of the node's own: it ends after it.
void SimCluster::OnFatal(int node, const Status& status) {
  Member& member = members_[Slot(node)];
  if (!member.disk->powered()) return;
  const bool failed_calls = member.disk->faults_met() > member.faults_before;
  if (!failed_calls) {
    failure_ = AddressOf(node) + " gave up: " + std::string(MessageOf(status));
    return;
  }
  ++stopped_themselves_;
  // A process alone may end, too: what the system has in memory since a sync failed is read again.
  Renew(node, member.life % 2 == 0);
}

void SimCluster::Renew(int node, bool power_goes) {
  loop_->At(loop_->now(), kNoProcess, kSupervise,
            [this, node, power_goes, life = members_[Slot(node)].life] {
              Member& member = members_[Slot(node)];
              if (member.life != life || (!running(node) && member.disk->powered())) return;
              if (power_goes) {
                Crash(node);
              } else {
                EndProcess(member, IdOf(node));
              }
              member.disk->ClearFaults();
              loop_->At(loop_->now() + kRestartAfter, kNoProcess, kSupervise, [this, node] {
                if (in_use(node)) Start(node);
              });
            });
}

void SimCluster::CutInMidst(int node, Midst midst) {
  SimFileSystem& disk = *members_[Slot(node)].disk;
  disk.SetCallHook([this, node, midst, begun = false](const DiskCall& call) mutable {
    const bool names =
        call.operation == DiskOperation::kSyncDirectory ||
        call.operation == DiskOperation::kRename || call.operation == DiskOperation::kLink ||
        call.operation == DiskOperation::kDelete || call.operation == DiskOperation::kCreate;
    if (midst.names_only && !names) return rocksdb::IOStatus::OK();
    if ((midst.installs_only || midst.splits_only) && !begun) {
      begun = midst.installs_only
                  ? call.operation == DiskOperation::kRename && call.path.ends_with("/db")
                  : call.operation == DiskOperation::kLink &&
                        call.path.find("/child/") != std::string::npos;
      if (!begun) return rocksdb::IOStatus::OK();
    }
    if (midst.skip-- > 0) return rocksdb::IOStatus::OK();
    members_[Slot(node)].disk->PowerOff();
    Renew(node, true);
    return rocksdb::IOStatus::IOError("the power is gone");
  });
}

void SimCluster::Crash(int node) {
  Member& member = members_[Slot(node)];
  if (member.node) {
    // First the power: nothing that is destroyed now may still change the disk.
    member.disk->PowerOff();
    Destroy(member, IdOf(node));
  }
  // What a process that was killed before left in memory goes, too.
  member.disk->SetCallHook(nullptr);
  member.disk->PowerCut(random_);
  member.disk->PowerOn();
}

void SimCluster::Kill(int node) {
  Member& member = members_[Slot(node)];
  if (!member.node) return;
  if (troubled(node)) {
    // What the system still has of a failed sync must not be read again.
    Crash(node);
    return;
  }
  EndProcess(member, IdOf(node));
}

void SimCluster::EndProcess(Member& member, ProcessId id) {
  member.disk->Kill();
  Destroy(member, id);
  member.disk->PowerOn();
}

void SimCluster::Retire(int node) {
  LoseDisk(node);
  members_[Slot(node)].in_use = false;
}

void SimCluster::LoseDisk(int node) {
  Crash(node);
  Member& member = members_[Slot(node)];
  GiveDisk(member);
  member.replaced = true;
}

void SimCluster::Destroy(Member& member, ProcessId id) {
  member.process->Stop();
  member.before_gateway = nullptr;
  member.node = nullptr;
  member.transport = nullptr;
  member.env = nullptr;
  loop_->Purge(id);
  member.process = nullptr;
}

void SimCluster::SetSyncTime(int node, Duration time) {
  Member& member = members_[Slot(node)];
  *member.sync_time = time;
  if (member.process) member.process->OnSyncTime();
}

void SimCluster::SetDrift(int node, std::int64_t parts_per_million) {
  Member& member = members_[Slot(node)];
  member.drift = parts_per_million;
  if (member.process) member.process->SetDrift(parts_per_million);
}

void SimCluster::SetWallOffset(int node, std::chrono::microseconds offset) {
  Member& member = members_[Slot(node)];
  member.wall_offset = offset;
  if (member.process) member.process->SetWallOffset(offset);
}

void SimCluster::SetRoom(int node, std::optional<std::uint64_t> bytes) {
  Member& member = members_[Slot(node)];
  member.short_of_room = bytes.has_value();
  member.disk->SetCapacity(bytes ? member.disk->used_bytes() + *bytes : UINT64_MAX);
}

bool SimCluster::troubled(int node) const {
  const Member& member = members_[Slot(node)];
  return member.short_of_room || member.disk->faults_met() > member.faults_before;
}

int SimCluster::MachineAt(const std::string& address) const {
  int node = 0;
  while (AddressOf(node) != address) ++node;
  CHECK_LT(node, size());
  return node;
}

SimServer SimCluster::Find(const std::string& address) const {
  for (int node = 0; node < size(); ++node) {
    if (AddressOf(node) != address || !running(node)) continue;
    const Member& member = members_[Slot(node)];
    return {
        .gateway = member.before_gateway ? member.before_gateway.get() : &member.node->gateway(),
        .process = member.process.get(),
        .life = member.life};
  }
  return {};
}

}  // namespace flotilla::sim
