// The log under real threads: for ThreadSanitizer, and for what a hand-run strand cannot show.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/real_executor.h"
#include "tests/raft/log/log_harness.h"

namespace flotilla::raft {
namespace {

// Counts up to a number and lets one thread wait for it.
class Countdown {
 public:
  explicit Countdown(int count) : count_(count) {}
  void Down() {
    std::lock_guard lock(mutex_);
    if (--count_ == 0) zero_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    zero_.wait(lock, [this] { return count_ <= 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable zero_;
  int count_;
};

struct RunningLog {
  RunningLog(rocksdb::FileSystem& files, const std::string& directory) {
    LogOptions options;
    options.directory = directory;
    options.direct_io = &files == rocksdb::FileSystem::Default().get();
    options.segment_bytes = 64 << 10;
    options.cache_bytes = 8 << 10;
    options.live_bytes_soft_max = 512 << 10;
    Log::World world;
    world.files = &files;
    world.clock = &clock;
    world.writer = executor.NewThreadStrand("log");
    world.on_fatal = [](Status status) { ADD_FAILURE() << MessageOf(status); };
    auto opened = Log::Open(options, std::move(world), recovery);
    EXPECT_TRUE(opened.ok());
    log = *std::move(opened);
  }
  ~RunningLog() {
    Countdown stopped(1);
    log->Stop([&] { stopped.Down(); });
    stopped.Wait();
    executor.Stop();
    log.reset();
  }

  RealClock clock;
  RealExecutor executor{1};
  LogRecovery recovery;
  std::unique_ptr<Log> log;
};

// Appends, reads back and releases, as a group's strand does.
void RunGroup(Log& log, std::uint64_t group, int writes) {
  Countdown done(writes);
  std::atomic<std::uint64_t> durable{0};
  std::uint64_t last = 0;
  for (int i = 0; i < writes; ++i) {
    const std::uint64_t end = last + 3;
    ExpectOk(log.Append(MakeWrite(group, last + 1, end, 1), [&, end](Status status) {
      ExpectOk(status);
      durable.store(end);
      done.Down();
    }));
    last = end;
    if (i % 7 == 0) {
      LogWrite commit = MakeWrite(group, MakeHardState(1, 1, durable.load()));
      commit.sync = false;
      ExpectOk(log.Append(std::move(commit), {}));
    }
    if (i % 5 == 0) {
      const auto read = log.Read(GroupId(group), {Index(last - 2), Index(last + 1)}, 1 << 20);
      ASSERT_TRUE(read.ok()) << MessageOf(read.status());
      EXPECT_EQ(*read, MakeWrite(group, last - 2, last, 1).entries);
    }
    const std::uint64_t old = last / 2 + 1;
    if (i % 11 == 0 && old < last) {
      const auto read = log.Read(GroupId(group), {Index(old), Index(old + 1)}, 1);
      ASSERT_TRUE(read.ok()) << MessageOf(read.status());
      EXPECT_EQ(read->front(), MakeWrite(group, old, old, 1).entries.front());
      log.ReadCached(GroupId(group), {Index(old), Index(last)}, 1 << 20);
      log.Release(GroupId(group), Index(old - 1), Term(1));
      log.Pressure();
      log.Stats();
    }
  }
  done.Wait();
}

void RunGroups(rocksdb::FileSystem& files, const std::string& directory, int writes) {
  constexpr std::uint64_t kGroups = 4;
  {
    RunningLog running(files, directory);
    std::vector<std::thread> threads;
    for (std::uint64_t group = 1; group <= kGroups; ++group) {
      threads.emplace_back([&running, group, writes] { RunGroup(*running.log, group, writes); });
    }
    for (std::thread& thread : threads) thread.join();
  }
  RunningLog running(files, directory);
  for (std::uint64_t group = 1; group <= kGroups; ++group) {
    const RecoveredGroup& recovered = running.recovery.groups.at(GroupId(group));
    EXPECT_EQ(recovered.start_index + recovered.entries.size(),
              Index(static_cast<std::uint64_t>(3 * writes)));
    EXPECT_GT(recovered.start_index, Index(0));
  }
}

TEST(LogThreads, GroupsOnManyThreads) {
  sim::SimFileSystem files;
  RunGroups(files, "/log", 400);
}

// Past the page cache where that works, through it where not; reads see what was written either
// way.
TEST(LogThreads, GroupsOnARealDisk) {
  const std::filesystem::path directory =
      std::filesystem::path(::testing::TempDir()) / "flotilla-log-threads";
  std::filesystem::remove_all(directory);
  RunGroups(*rocksdb::FileSystem::Default(), directory, 100);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace flotilla::raft
