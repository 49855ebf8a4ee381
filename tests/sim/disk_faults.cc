#include "tests/sim/disk_faults.h"

#include <utility>

namespace flotilla::sim {
namespace {

struct Place {
  DiskOperation operation;
  const char* path;
};

// Where a call may fail; the log's more often, since everything rests on it.
constexpr Place kPlaces[] = {
    {DiskOperation::kWrite, "/wal/"},        {DiskOperation::kSync, "/wal/"},
    {DiskOperation::kSync, "/wal/"},         {DiskOperation::kSyncDirectory, "/wal"},
    {DiskOperation::kRename, "/wal/"},       {DiskOperation::kCreate, "/wal/"},
    {DiskOperation::kRead, "/wal/"},         {DiskOperation::kWrite, "/groups/"},
    {DiskOperation::kSync, "/groups/"},      {DiskOperation::kSyncDirectory, "/groups/"},
    {DiskOperation::kRename, "/groups/"},    {DiskOperation::kCreate, "/groups/"},
    {DiskOperation::kLink, "/checkpoints/"}, {DiskOperation::kRead, "/groups/"},
};

}  // namespace

void DiskFaults::Slow(std::function<void()> then) {
  const auto sync = std::chrono::milliseconds(random_.Between(5, 150));
  const bool all = random_.Chance(0.6);
  for (int node = 0; node < cluster_->size(); ++node) {
    if (all || random_.Chance(0.5)) cluster_->SetSyncTime(node, sync);
  }
  later_(std::chrono::seconds(2), [this, then = std::move(then)] {
    then();
    Quicken();
  });
}

void DiskFaults::Quicken() {
  for (int node = 0; node < cluster_->size(); ++node) {
    cluster_->SetSyncTime(node, SimCluster::kSyncTime);
  }
}

void DiskFaults::Hang(int node) {
  cluster_->SetSyncTime(node, std::chrono::milliseconds(random_.Between(1'000, 6'000)));
  later_(std::chrono::seconds(3),
         [this, node] { cluster_->SetSyncTime(node, SimCluster::kSyncTime); });
}

void DiskFaults::Fill() {
  const bool all = random_.Chance(0.3);
  for (int node = 0; node < cluster_->size(); ++node) {
    if (!all && !random_.Chance(0.4)) continue;
    cluster_->SetRoom(node, random_.Below(random_.Chance(0.5) ? 4'000 : 200'000));
    later_(std::chrono::seconds(6), [this, node] { cluster_->SetRoom(node, std::nullopt); });
  }
}

void DiskFaults::Fail(int node) {
  const Place& place = kPlaces[random_.Below(std::size(kPlaces))];
  const auto error =
      rocksdb::IOStatus::IOError("the medium does not answer", "simulated I/O error");
  cluster_->disk(node).AddFault({.operation = place.operation,
                                 .path_contains = place.path,
                                 .skip = random_.Below(30),
                                 .times = random_.Chance(0.7) ? 1u : 20u,
                                 .error = error});
  later_(std::chrono::seconds(4), [this, node] { cluster_->disk(node).ClearFaults(); });
}

void DiskFaults::Heal() {
  Quicken();
  for (int node = 0; node < cluster_->size(); ++node) {
    cluster_->SetRoom(node, std::nullopt);
    cluster_->disk(node).ClearFaults();
    cluster_->disk(node).SetCallHook(nullptr);
  }
}

}  // namespace flotilla::sim
