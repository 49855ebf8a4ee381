// A store with RocksDB's own threads.

#include <gtest/gtest.h>
#include <rocksdb/env.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
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

// An entry that puts one key.
std::vector<raft::AppliedEntry> PutAt(std::uint64_t index, std::string_view value) {
  CommandBatchWriter writer(Timestamp(index << kTimestampCounterBits));
  writer.Add(EncodeCommand({.ops = {{.key = "key", .value = value}}}));
  std::vector<raft::AppliedEntry> entries(1);
  entries[0].entry = {.term = raft::Term(1),
                      .index = raft::Index(index),
                      .kind = raft::EntryKind::kCommand,
                      .payload = std::move(writer).Finish()};
  return entries;
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
  ASSERT_TRUE(disk->CreateDir("/group", {}, nullptr).ok());
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
  StoreOptions options = InGroup();
  options.memtable_bytes = 64 << 10;
  auto store = Store::Open(options, MakeStoreResources(env.get(), 1 << 20, 8 << 20));
  ASSERT_TRUE(store.ok()) << store.status();
  const std::string value(8 << 10, 'v');
  Status status;
  for (std::uint64_t index = 1; index <= 2'000 && status.ok(); ++index) {
    if (index == 2) disk->SetCapacity(disk->used_bytes() + 1'000);
    std::vector<raft::AppliedEntry> entries = PutAt(index, value);
    status = (*store)->Apply(entries);
  }
  EXPECT_EQ(ReasonOf(status), Reason::kDiskFull) << MessageOf(status);
  EXPECT_TRUE((*store)->Get(kDefaultKeyspace, "key").ok());
  store->reset();
}

// RocksDB's threads may be telling of a flush at any moment of that.
TEST(Store, IsClosedWhileItFlushes) {
  for (int round = 0; round < 100; ++round) {
    const auto disk = std::make_shared<sim::SimFileSystem>();
    ASSERT_TRUE(disk->CreateDir("/group", {}, nullptr).ok());
    const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
    auto store = Store::Open(InGroup(), MakeStoreResources(env.get(), 1 << 20, 8 << 20));
    ASSERT_TRUE(store.ok()) << store.status();
    std::vector<raft::AppliedEntry> entries = PutAt(1, "value");
    ASSERT_TRUE((*store)->Apply(entries).ok());
    std::atomic<int> told = 0;
    (*store)->Flush([&](const StatusOr<raft::Index>&) { ++told; });
    // Right after the last call that the flush makes to its disk.
    const std::uint64_t calls = disk->calls();
    while (disk->calls() < calls + static_cast<std::uint64_t>(round % 50)) {
      if (told > 0) break;
      std::this_thread::yield();
    }
    store->reset();
    EXPECT_EQ(told, 1);
  }
}

}  // namespace
}  // namespace flotilla::kv
