#include "tests/sim/sim_cluster.h"

#include <utility>

namespace flotilla::sim {
namespace {

// What a disk takes, in virtual time.
Duration CostOf(DiskOperation operation, std::uint64_t bytes, Duration sync) {
  switch (operation) {
    case DiskOperation::kSync:
    case DiskOperation::kSyncDirectory:
      return sync;
    case DiskOperation::kWrite:
      return Duration(static_cast<std::int64_t>(bytes / 2));
    default:
      return Duration(0);
  }
}

}  // namespace

SimCluster::SimCluster(const Options& options, EventLoop* loop, SimNetwork* network)
    : options_(options), loop_(loop), network_(network), random_(options.seed) {
  members_.resize(static_cast<std::size_t>(options_.nodes));
  for (Member& member : members_) {
    member.disk = std::make_shared<SimFileSystem>();
    member.sync_time = std::make_shared<Duration>(kSyncTime);
    member.disk->SetLatencyHook(
        [loop, sync = member.sync_time](DiskOperation operation, std::uint64_t bytes) {
          loop->Charge(CostOf(operation, bytes, *sync));
        });
  }
}

SimCluster::~SimCluster() {
  for (int node = 0; node < size(); ++node) {
    if (!running(node)) continue;
    members_[Slot(node)].disk->PowerOff();
    Destroy(members_[Slot(node)], IdOf(node));
  }
}

bool SimCluster::Start(int node) {
  Member& member = members_[Slot(node)];
  member.life = next_life_++;
  member.process = std::make_unique<SimProcess>(loop_, IdOf(node), member.sync_time);
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
  node_options.bootstrap_expect = static_cast<std::uint32_t>(size());
  auto opened = Node::Open(node_options, world);
  if (!opened.ok()) {
    failure_ = AddressOf(node) + " did not start: " + std::string(MessageOf(opened.status()));
    return false;
  }
  member.node = *std::move(opened);
  member.node->Start([this, node](const Status& status) {
    failure_ = AddressOf(node) + " gave up: " + std::string(MessageOf(status));
  });
  return true;
}

void SimCluster::Crash(int node) {
  Member& member = members_[Slot(node)];
  if (!member.node) return;
  // First the power: nothing that is destroyed now may still change the disk.
  member.disk->PowerOff();
  Destroy(member, IdOf(node));
  member.disk->PowerCut(random_);
  member.disk->PowerOn();
}

void SimCluster::Destroy(Member& member, ProcessId id) {
  member.process->Stop();
  member.node = nullptr;
  member.transport = nullptr;
  member.env = nullptr;
  loop_->Purge(id);
  member.process = nullptr;
}

SimServer SimCluster::Find(const std::string& address) const {
  for (int node = 0; node < size(); ++node) {
    if (AddressOf(node) != address || !running(node)) continue;
    return {.gateway = &members_[Slot(node)].node->gateway(),
            .process = members_[Slot(node)].process.get(),
            .life = members_[Slot(node)].life};
  }
  return {};
}

}  // namespace flotilla::sim
