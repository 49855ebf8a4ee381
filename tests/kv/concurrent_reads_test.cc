// Reads from many threads while a writer writes: nobody who has seen a new value, by whatever way,
// meets an older one afterwards, and a scan sees a batch as a whole.

#include <gtest/gtest.h>
#include <rocksdb/env.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "kv/store.h"
#include "tests/sim/sim_file_system.h"

namespace flotilla::kv {
namespace {

// Key j and key j + kPairs get the same values at the same time.
constexpr std::size_t kPairs = 200;
constexpr std::uint64_t kEntries = 1'000;
constexpr int kReaders = 3;

std::string KeyOf(std::size_t j) { return "key" + std::to_string(1000 + j); }

class ConcurrentReads : public ::testing::Test {
 protected:
  ConcurrentReads() {
    EXPECT_TRUE(disk_->CreateDir("/group", {}, nullptr).ok());
    StoreOptions options;
    options.directory = "/group";
    options.group = GroupId(2);
    options.memtable_bytes = 64 << 10;
    options.retention_ms = 100;
    auto store = Store::Open(
        options,
        MakeStoreResources(env_.get(), {.cache_bytes = 8 << 20, .write_buffer_bytes = 1 << 20}));
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  void Write(std::uint64_t index, Random& random) {
    CommandBatchWriter writer(Timestamp(index << kTimestampCounterBits));
    const std::string value = std::to_string(index);
    for (std::uint64_t i = random.Between(1, 20); i > 0; --i) {
      const std::size_t j = random.Below(kPairs);
      const std::string one = KeyOf(j);
      const std::string other = KeyOf(j + kPairs);
      writer.Add(
          EncodeCommand({.ops = {{.key = one, .value = value}, {.key = other, .value = value}}}));
    }
    std::vector<raft::AppliedEntry> entries(1);
    entries[0].entry = {.term = raft::Term(1),
                        .index = raft::Index(index),
                        .kind = raft::EntryKind::kCommand,
                        .payload = std::move(writer).Finish()};
    ASSERT_TRUE(store_->Apply(entries).ok());
  }

  using Values = std::array<std::uint64_t, 2 * kPairs>;
  Values Seen() const {
    Values values;
    for (std::size_t j = 0; j < values.size(); ++j) values[j] = seen_[j].load();
    return values;
  }
  // `before`: what somebody had seen before the read began.
  void See(std::size_t j, std::uint64_t value, const Values& before) {
    if (value < before[j]) ++went_back_;
    std::uint64_t known = seen_[j].load();
    while (known < value && !seen_[j].compare_exchange_weak(known, value)) {
    }
  }

  void Get(Random& random) {
    const Values before = Seen();
    const std::size_t j = random.Below(2 * kPairs);
    const auto result = store_->Get(kDefaultKeyspace, KeyOf(j));
    ASSERT_TRUE(result.ok());
    See(j, result->found ? std::stoull(result->value) : 0, before);
  }

  void Scan(Random& random) {
    const Values before = Seen();
    ScanRequest request;
    // All, or some.
    const bool all = random.Chance(0.3);
    if (!all) request.start = KeyOf(random.Below(2 * kPairs));
    request.limit = static_cast<std::uint32_t>(all ? 1000 : random.Between(1, 150));
    request.reverse = random.Chance(0.2);
    const auto page = store_->Scan(request);
    ASSERT_TRUE(page.ok());
    Values values{};
    for (const ScanRow& row : page->rows) {
      const std::size_t j = std::stoull(row.key.substr(3)) - 1000;
      values[j] = std::stoull(row.value);
      if (!all) See(j, values[j], before);
    }
    if (!all) return;
    for (std::size_t j = 0; j < values.size(); ++j) See(j, values[j], before);
    for (std::size_t j = 0; j < kPairs; ++j) {
      if (values[j] != values[j + kPairs]) ++torn_;
    }
    ++whole_;
  }

  std::shared_ptr<sim::SimFileSystem> disk_ = std::make_shared<sim::SimFileSystem>();
  std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(disk_);
  std::unique_ptr<Store> store_;
  std::array<std::atomic<std::uint64_t>, 2 * kPairs> seen_{};
  std::atomic<int> went_back_ = 0;
  std::atomic<int> torn_ = 0;
  std::atomic<int> whole_ = 0;
};

TEST_F(ConcurrentReads, NeverGoBack) {
  std::atomic<bool> ended = false;
  std::vector<std::thread> readers;
  for (int reader = 0; reader < kReaders; ++reader) {
    readers.emplace_back([this, reader, &ended] {
      Random random(static_cast<std::uint64_t>(reader) + 1);
      while (!ended.load()) {
        if (random.Chance(0.5)) {
          Get(random);
        } else {
          Scan(random);
        }
      }
    });
  }
  Random random(99);
  for (std::uint64_t index = 1; index <= kEntries; ++index) Write(index, random);
  ended = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(went_back_.load(), 0);
  EXPECT_EQ(torn_.load(), 0);
  EXPECT_GT(whole_.load(), 20);
}

}  // namespace
}  // namespace flotilla::kv
