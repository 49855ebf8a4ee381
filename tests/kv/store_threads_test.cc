// A store with RocksDB's own threads.

#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/rate_limiter.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kv/store.h"
#include "tests/sim/sim_file_system.h"

namespace flotilla::kv {
namespace {

StoreOptions InGroup() {
  StoreOptions options;
  options.directory = "/group";
  options.group = GroupId(2);
  return options;
}

raft::Entry EntryAt(std::uint64_t index, const WriteOp& op) {
  CommandBatchWriter writer(Timestamp(index << kTimestampCounterBits));
  writer.Add(EncodeCommand({.ops = {op}}));
  return {.term = raft::Term(1),
          .index = raft::Index(index),
          .kind = raft::EntryKind::kCommand,
          .payload = std::move(writer).Finish()};
}

// An entry that puts one key.
std::vector<raft::AppliedEntry> PutAt(std::uint64_t index, std::string_view value,
                                      std::uint64_t ttl_ms = 0) {
  std::vector<raft::AppliedEntry> entries(1);
  entries[0].entry = EntryAt(index, {.key = "key", .value = value, .ttl_ms = ttl_ms});
  return entries;
}

struct Opened {
  Opened(const StoreOptions& options, const std::shared_ptr<sim::SimFileSystem>& disk)
      : env(rocksdb::NewCompositeEnv(disk)) {
    EXPECT_TRUE(disk->CreateDir("/group", {}, nullptr).ok());
    resources =
        MakeStoreResources(env.get(), {.cache_bytes = 1 << 20, .write_buffer_bytes = 8 << 20});
    auto opened = Store::Open(options, resources);
    EXPECT_TRUE(opened.ok()) << opened.status();
    store = *std::move(opened);
  }
  std::uint64_t unflushed_of_all() const { return resources.unflushed_bytes->load(); }
  void Apply(std::vector<raft::AppliedEntry> entries) { EXPECT_TRUE(store->Apply(entries).ok()); }

  const std::unique_ptr<rocksdb::Env> env;
  StoreResources resources;
  std::shared_ptr<Store> store;
};

TEST(Store, WhatIsNotFlushedIsCountedUntilAFlushHasBegun) {
  Opened opened(InGroup(), std::make_shared<sim::SimFileSystem>());
  for (std::uint64_t i = 1; i <= 10; ++i) opened.Apply(PutAt(i, std::string(1'000, 'v')));
  EXPECT_GT(opened.store->unflushed_bytes(), 10'000u);
  EXPECT_EQ(opened.unflushed_of_all(), opened.store->unflushed_bytes());
  std::promise<Status> flushed;
  opened.store->Flush([&](const StatusOr<raft::Index>& to) { flushed.set_value(to.status()); });
  ASSERT_TRUE(flushed.get_future().get().ok());
  EXPECT_EQ(opened.store->unflushed_bytes(), 0u);
  opened.Apply(PutAt(11, std::string(1'000, 'v')));
  EXPECT_GT(opened.unflushed_of_all(), 1'000u);
  opened.store = nullptr;
  EXPECT_EQ(opened.unflushed_of_all(), 0u);
}

TEST(Store, OnlyWhatReadsNothingIsAppliedAtOnce) {
  Opened opened(InGroup(), std::make_shared<sim::SimFileSystem>());
  const auto at_once = [&](std::uint64_t index, const WriteOp& op) {
    return opened.store->AppliesAtOnce({EntryAt(index, op)});
  };
  EXPECT_TRUE(at_once(1, {.key = "key", .value = "v"}));
  EXPECT_FALSE(at_once(1, {.kind = WriteKind::kDelete, .key = "key"}));
  EXPECT_FALSE(at_once(1, {.key = "key", .value = "v", .condition = ConditionKind::kAbsent}));
  raft::Entry control = EntryAt(1, {.key = "key"});
  control.kind = raft::EntryKind::kControl;
  EXPECT_FALSE(opened.store->AppliesAtOnce({control}));
  EXPECT_FALSE(opened.store->AppliesAtOnce({EntryAt(1, {.key = "key"}), control}));
  opened.Apply(PutAt(1, "brief", 10));
  EXPECT_TRUE(at_once(2, {.key = "key", .value = "v"}));
  EXPECT_FALSE(at_once(100, {.key = "key", .value = "v"})) << "a key's time has come";
}

TEST(Store, NothingIsAppliedAtOnceWhileWritersAreHeldUp) {
  const auto disk = std::make_shared<sim::SimFileSystem>();
  std::atomic<bool> stuck = true;
  disk->SetCallHook([&](const sim::DiskCall& call) {
    while (stuck && call.operation == sim::DiskOperation::kWrite && call.path.ends_with(".sst")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return rocksdb::IOStatus::OK();
  });
  StoreOptions options = InGroup();
  options.memtable_bytes = 64 << 10;
  Opened opened(options, disk);
  const std::string value(8 << 10, 'v');
  std::uint64_t index = 1;
  while (index < 2'000 && opened.store->AppliesAtOnce({PutAt(index, value)[0].entry})) {
    opened.Apply(PutAt(index++, value));
  }
  stuck = false;
  EXPECT_LT(index, 2'000u);
  // Writers go on, and so does this.
  for (int i = 0; i < 100; ++i) opened.Apply(PutAt(index++, value));
  for (int waits = 0; waits < 10'000; ++waits) {
    if (opened.store->AppliesAtOnce({PutAt(index, value)[0].entry})) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ADD_FAILURE() << "for ever";
}

// RocksDB's threads try failed flushes again: it lets writers wait for that. The
// disk is slow, too, so that the memtables are full when the first flush fails.
TEST(Store, AFullDiskHoldsNeitherTheWriterNorAShutdown) {
  const auto disk = std::make_shared<sim::SimFileSystem>();
  std::mutex mutex;
  std::condition_variable never;
  disk->SetCallHook([&](const sim::DiskCall& call) {
    if (call.operation == sim::DiskOperation::kWrite && call.path.ends_with(".sst")) {
      std::unique_lock lock(mutex);
      never.wait_for(lock, std::chrono::milliseconds(50));
    }
    return rocksdb::IOStatus::OK();
  });
  StoreOptions options = InGroup();
  options.memtable_bytes = 64 << 10;
  Opened opened(options, disk);
  const std::string value(8 << 10, 'v');
  Status status;
  for (std::uint64_t index = 1; index <= 2'000 && status.ok(); ++index) {
    if (index == 2) disk->SetCapacity(disk->used_bytes() + 1'000);
    std::vector<raft::AppliedEntry> entries = PutAt(index, value);
    status = opened.store->Apply(entries);
  }
  EXPECT_EQ(ReasonOf(status), Reason::kDiskFull) << MessageOf(status);
  EXPECT_TRUE(opened.store->Get(kDefaultKeyspace, "key").ok());
  opened.store = nullptr;
}

TEST(Store, FlushesOfAllGroupsShareOneBound) {
  const auto disk = std::make_shared<sim::SimFileSystem>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
  const StoreResources resources = MakeStoreResources(
      env.get(), {.cache_bytes = 1 << 20, .background_bytes_per_second_max = 1 << 30});
  std::int64_t written = 0;
  for (const char* const directory : {"/a", "/b"}) {
    ASSERT_TRUE(disk->CreateDir(directory, {}, nullptr).ok());
    StoreOptions options = InGroup();
    options.directory = directory;
    auto store = Store::Open(options, resources);
    ASSERT_TRUE(store.ok()) << store.status();
    std::vector<raft::AppliedEntry> entries = PutAt(1, std::string(32 << 10, 'v'));
    ASSERT_TRUE((*store)->Apply(entries).ok());
    std::latch flushed(1);
    (*store)->Flush([&](const StatusOr<raft::Index>& index) {
      EXPECT_TRUE(index.ok()) << index.status();
      flushed.count_down();
    });
    flushed.wait();
    const std::int64_t before =
        std::exchange(written, resources.rate_limiter->GetTotalBytesThrough());
    EXPECT_GE(written, before + (32 << 10));
  }
}

// Beside writes, flushes, other compactions, and snapshots that take the state away under it.
TEST(Store, AVacuumIsInNobodysWay) {
  const auto disk = std::make_shared<sim::SimFileSystem>();
  StoreOptions options = InGroup();
  options.memtable_bytes = 64 << 10;
  options.retention_ms = 5;
  Opened opened(options, disk);
  Store& store = *opened.store;
  std::atomic<bool> done = false;
  std::atomic<std::uint64_t> slices = 0;
  const auto vacuum = [&] {
    VacuumPass pass;
    pass.thorough = true;
    for (StatusOr<bool> more = true; more.ok() && *more;) {
      more = store.CollectSlice(pass);
      const Reason reason = ReasonOf(more.status());
      EXPECT_TRUE(more.ok() || reason == Reason::kShardBusy || reason == Reason::kNotReady)
          << more.status();
      store.MeasureSizes();
    }
    slices += pass.slices;
  };
  std::thread vacuums([&] {
    while (!done) vacuum();
  });
  const std::string value(500, 'v');
  std::uint64_t index = 1;
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 600; ++i) {
      const std::string number = std::to_string(index);
      opened.Apply(PutAt(index++, number + value));
      if (i % 50 == 0) {
        EXPECT_EQ(store.Get(kDefaultKeyspace, "key")->value, number + value);
      }
    }
    const StatusOr<raft::SnapshotInfo> snapshot = store.TakeSnapshot();
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    ASSERT_TRUE(store.InstallSnapshot(snapshot->directory, snapshot->mark).ok());
    EXPECT_EQ(store.Get(kDefaultKeyspace, "key")->value, std::to_string(index - 1) + value);
  }
  done = true;
  vacuums.join();
  EXPECT_GT(slices, 0u);
  vacuum();
  EXPECT_LE(store.Versions().versions, 10u);
}

// RocksDB's threads may be telling of a flush at any moment of that.
TEST(Store, IsClosedWhileItFlushes) {
  for (int round = 0; round < 100; ++round) {
    const auto disk = std::make_shared<sim::SimFileSystem>();
    Opened opened(InGroup(), disk);
    opened.Apply(PutAt(1, "value"));
    std::atomic<int> told = 0;
    opened.store->Flush([&](const StatusOr<raft::Index>&) { ++told; });
    // Right after the last call that the flush makes to its disk.
    const std::uint64_t calls = disk->calls();
    while (disk->calls() < calls + static_cast<std::uint64_t>(round % 50)) {
      if (told > 0) break;
      std::this_thread::yield();
    }
    opened.store = nullptr;
    EXPECT_EQ(told, 1);
  }
}

}  // namespace
}  // namespace flotilla::kv
