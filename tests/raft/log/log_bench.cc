// How long an append takes on a real disk, alone and in company, and what it costs.
//
//   build/bin/raft_log_bench [DIRECTORY] [SECONDS PER ROW]
//
// The first rows are the floor: a plain write and fdatasync of 4 KiB, on blocks that exist and on a
// growing file. The others go through the log, with so many writes of one entry of 256 bytes
// outstanding, each of a group of its own.
#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/file_system.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/real_executor.h"
#include "raft/log/log.h"

namespace flotilla::raft {
namespace {

constexpr std::size_t kEntryBytes = 256;

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Row {
  std::string name;
  std::vector<double> latencies_us;
  double seconds = 0;
  double cpu_seconds = 0;
  double writes_per_sync = 1;
};

void Print(Row& row) {
  std::sort(row.latencies_us.begin(), row.latencies_us.end());
  const auto at = [&](double quantile) {
    if (row.latencies_us.empty()) return 0.0;
    const auto i = static_cast<std::size_t>(quantile * (row.latencies_us.size() - 1));
    return row.latencies_us[i];
  };
  const auto count = static_cast<double>(row.latencies_us.size());
  fmt::print("{:32} {:>10.0f} {:>9.1f} {:>9.1f} {:>9.1f} {:>10.1f} {:>9.2f}\n", row.name,
             count / row.seconds, at(0.5), at(0.99), at(0.999), row.writes_per_sync,
             row.cpu_seconds * 1e6 / count);
}

// Writes of a page each, one after the other, into one file.
Row PlainWrites(const RealClock& clock, const std::string& path, bool exists, double seconds) {
  Row row;
  row.name = exists ? "write + fdatasync, overwriting" : "write + fdatasync, growing";
  constexpr int kPages = 8192;
  const std::string page(4096, 'x');
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
  for (int i = 0; exists && i < kPages; ++i) {
    if (pwrite(file, page.data(), page.size(), i * 4096) != 4096) std::abort();
  }
  fsync(file);
  const MonoTime began = clock.Now();
  const double cpu = CpuSeconds();
  for (int i = 0; i < kPages; ++i) {
    const MonoTime start = clock.Now();
    if (std::chrono::duration<double>(start - began).count() > seconds) break;
    if (pwrite(file, page.data(), page.size(), i * 4096) != 4096) std::abort();
    if (fdatasync(file) != 0) std::abort();
    row.latencies_us.push_back(
        std::chrono::duration<double, std::micro>(clock.Now() - start).count());
  }
  row.seconds = std::chrono::duration<double>(clock.Now() - began).count();
  row.cpu_seconds = CpuSeconds() - cpu;
  close(file);
  return row;
}

// Keeps a number of writes outstanding until the time is over.
class Load {
 public:
  Load(Log& log, const RealClock& clock, std::uint64_t first_group, int outstanding, double seconds)
      : log_(log),
        clock_(clock),
        first_group_(first_group),
        outstanding_(outstanding),
        seconds_(seconds) {}

  Row Run() {
    Row row;
    row.name = fmt::format("log, {} outstanding", outstanding_);
    const LogStats before = log_.Stats();
    const double cpu = CpuSeconds();
    began_ = clock_.Now();
    last_.assign(outstanding_, Index());
    running_ = outstanding_;
    for (int i = 0; i < outstanding_; ++i) Submit(i);
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_ == 0; });
    row.seconds = std::chrono::duration<double>(clock_.Now() - began_).count();
    row.cpu_seconds = CpuSeconds() - cpu;
    const LogStats after = log_.Stats();
    row.writes_per_sync =
        static_cast<double>(after.writes - before.writes) /
        static_cast<double>(std::max<std::uint64_t>(after.syncs - before.syncs, 1));
    row.latencies_us = std::move(latencies_us_);
    return row;
  }

 private:
  void Submit(int i) {
    const GroupId group(first_group_ + static_cast<std::uint64_t>(i));
    LogWrite write;
    write.group = group;
    ++last_[i];
    write.entries.push_back(
        {Term(1), last_[i], EntryKind::kCommand, Bytes(std::string(kEntryBytes, 'e'))});
    const MonoTime start = clock_.Now();
    const Status accepted = log_.Append(std::move(write), [this, i, group, start](Status status) {
      if (!status.ok()) std::abort();
      const MonoTime now = clock_.Now();
      latencies_us_.push_back(std::chrono::duration<double, std::micro>(now - start).count());
      if (last_[i].value() % 256 == 0) log_.Release(group, last_[i], Term(1));
      if (std::chrono::duration<double>(now - began_).count() < seconds_) return Submit(i);
      log_.Release(group, last_[i], Term(1));
      std::lock_guard lock(mutex_);
      if (--running_ == 0) idle_.notify_one();
    });
    if (!accepted.ok()) std::abort();
  }

  Log& log_;
  const RealClock& clock_;
  const std::uint64_t first_group_;
  const int outstanding_;
  const double seconds_;
  MonoTime began_;
  // Of the writer strand, once it runs.
  std::vector<Index> last_;
  std::vector<double> latencies_us_;
  std::mutex mutex_;
  std::condition_variable idle_;
  int running_ = 0;
};

class OpenedLog {
 public:
  OpenedLog(const std::string& directory, const RealClock& clock) : executor_(1) {
    LogOptions options;
    options.directory = directory + "/log";
    Log::World world;
    world.files = rocksdb::FileSystem::Default().get();
    world.clock = &clock;
    world.writer = executor_.NewThreadStrand("log");
    world.on_fatal = [](Status status) { fmt::print("fatal: {}\n", MessageOf(status)); };
    LogRecovery recovery;
    const MonoTime began = clock.Now();
    auto opened = Log::Open(options, std::move(world), recovery);
    if (!opened.ok()) {
      fmt::print("{}\n", MessageOf(opened.status()));
      std::exit(1);
    }
    log_ = *std::move(opened);
    fmt::print("opened in {:.1f} ms, {} MiB and {} groups read\n",
               std::chrono::duration<double, std::milli>(clock.Now() - began).count(),
               recovery.bytes_read >> 20, recovery.groups.size());
  }
  ~OpenedLog() {
    std::mutex mutex;
    std::condition_variable stopped;
    bool done = false;
    log_->Stop([&] {
      std::lock_guard lock(mutex);
      done = true;
      stopped.notify_one();
    });
    {
      std::unique_lock lock(mutex);
      stopped.wait(lock, [&] { return done; });
    }
    executor_.Stop();
    log_.reset();
  }

  Log& operator*() { return *log_; }
  Log* operator->() { return log_.get(); }

 private:
  RealExecutor executor_;
  std::unique_ptr<Log> log_;
};

// Leaves a log of so many bytes behind, in entries of the usual size.
void Fill(Log& log, std::size_t bytes) {
  constexpr std::uint64_t kEntriesAWrite = 4096;
  std::mutex mutex;
  std::condition_variable idle;
  int under_way = 0;
  const std::uint64_t writes = bytes / (kEntriesAWrite * kEntryBytes);
  for (std::uint64_t i = 0; i < writes; ++i) {
    LogWrite write;
    write.group = GroupId(100'000 + i % 8);
    for (std::uint64_t k = 1; k <= kEntriesAWrite; ++k) {
      write.entries.push_back({Term(1), Index(i / 8 * kEntriesAWrite + k), EntryKind::kCommand,
                               Bytes(std::string(kEntryBytes, 'f'))});
    }
    std::unique_lock lock(mutex);
    idle.wait(lock, [&] { return under_way < 16; });
    ++under_way;
    const Status accepted = log.Append(std::move(write), [&](Status) {
      std::lock_guard inner(mutex);
      --under_way;
      idle.notify_one();
    });
    if (!accepted.ok()) std::abort();
  }
  std::unique_lock lock(mutex);
  idle.wait(lock, [&] { return under_way == 0; });
}

void Main(const std::string& directory, double seconds) {
  RealClock clock;
  std::filesystem::remove_all(directory + "/log");
  std::filesystem::create_directories(directory);
  fmt::print("{:32} {:>10} {:>9} {:>9} {:>9} {:>10} {:>9}\n", "", "writes/s", "p50 us", "p99 us",
             "p99.9 us", "per sync", "CPU us");
  for (const bool exists : {true, false}) {
    Row row = PlainWrites(clock, directory + "/plain", exists, seconds);
    Print(row);
  }
  std::filesystem::remove(directory + "/plain");
  {
    OpenedLog log(directory, clock);
    std::uint64_t first_group = 1;
    for (const int outstanding : {1, 16, 64, 256, 1000, 1, 64}) {
      Row row = Load(*log, clock, first_group, outstanding, seconds).Run();
      first_group += 1000;
      Print(row);
    }
    const LogStats stats = log->Stats();
    fmt::print("{} segments, {} spare, {} MiB appended, {} MiB rewritten\n", stats.segments,
               stats.spare_segments, stats.appended_bytes >> 20, stats.rewritten_bytes >> 20);
    Fill(*log, 1ull << 30);
  }
  OpenedLog again(directory, clock);
}

}  // namespace
}  // namespace flotilla::raft

int main(int argc, char** argv) {
  const std::string directory = argc > 1 ? argv[1] : "/tmp/raft_log_bench";
  flotilla::raft::Main(directory, argc > 2 ? std::atof(argv[2]) : 2.0);
  std::filesystem::remove_all(directory);
  return 0;
}
