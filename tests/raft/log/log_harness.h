// A log on a simulated disk, with a strand that the test runs by hand.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/log/log.h"
#include "tests/sim/sim_file_system.h"

namespace flotilla::raft {

// Runs closures only when asked to. Timers run when everything else has.
class ManualStrand final : public Strand {
 public:
  struct Queue {
    std::deque<Closure> closures;
    std::map<TimerId, Closure> timers;
    TimerId next_timer = 1;
  };
  explicit ManualStrand(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}

  void Post(Closure closure) override { queue_->closures.push_back(std::move(closure)); }
  TimerId After(Duration, Closure closure) override {
    queue_->timers.emplace(queue_->next_timer, std::move(closure));
    return queue_->next_timer++;
  }
  bool Cancel(TimerId timer) override { return queue_->timers.erase(timer) > 0; }
  bool IsCurrent() const override { return true; }
  bool Stopped() const override { return false; }

 private:
  std::shared_ptr<Queue> queue_;
};

// Every look at it takes a microsecond.
class SteppingClock final : public Clock {
 public:
  MonoTime Now() const override { return MonoTime(Duration(1000 * ++steps_)); }
  std::chrono::microseconds WallNow() const override { return std::chrono::microseconds(++steps_); }

 private:
  mutable std::int64_t steps_ = 0;
};

class LogHarness {
 public:
  LogHarness() {
    options.directory = "/node/log";
    options.segment_bytes = 64 << 10;
    options.cache_bytes = 16 << 10;
    options.live_bytes_soft_max = 1 << 20;
    files.CreateDir("/node", {}, nullptr).PermitUncheckedError();
    std::unique_ptr<rocksdb::FSDirectory> root;
    files.NewDirectory("/", {}, &root, nullptr).PermitUncheckedError();
    root->Fsync({}, nullptr).PermitUncheckedError();
  }

  Status Open() {
    CHECK(log == nullptr);
    queue = std::make_shared<ManualStrand::Queue>();
    fatal.reset();
    Log::World world;
    world.files = &files;
    world.clock = &clock;
    world.writer = std::make_unique<ManualStrand>(queue);
    world.on_fatal = [this](Status status) {
      EXPECT_FALSE(fatal.has_value()) << "on_fatal ran twice";
      fatal = std::move(status);
    };
    auto opened = Log::Open(options, std::move(world), recovery);
    if (!opened.ok()) return opened.status();
    log = *std::move(opened);
    return absl::OkStatus();
  }

  // Runs what was posted, and what that posts; with `timers`, also those that are set now.
  void RunAll(bool timers = false) {
    if (timers) {
      auto due = std::exchange(queue->timers, {});
      for (auto& [id, closure] : due) queue->closures.push_back(std::move(closure));
    }
    for (int i = 0; i < 1'000'000 && !queue->closures.empty(); ++i) {
      Closure closure = std::move(queue->closures.front());
      queue->closures.pop_front();
      closure();
    }
    EXPECT_TRUE(queue->closures.empty()) << "the log never comes to rest";
  }

  void Stop() {
    bool stopped = false;
    log->Stop([&] { stopped = true; });
    RunAll();
    EXPECT_TRUE(stopped);
    log.reset();
  }

  // The end of the process, then of its memory, with and without loss of power.
  void Crash(Random& random) {
    files.PowerCut(random);
    log.reset();
    files.SetCallHook(nullptr);
    files.PowerOn();
  }
  void Kill() {
    files.Kill();
    log.reset();
    files.SetCallHook(nullptr);
    files.PowerOn();
  }

  // Appends and runs until it is done.
  Status Write(LogWrite write) {
    Status result = Error(Reason::kInternal, "the completion did not run");
    Status accepted = log->Append(std::move(write), [&](Status status) { result = status; });
    if (!accepted.ok()) return accepted;
    RunAll();
    return result;
  }

  std::vector<std::string> Segments() { return Names(".log"); }
  std::vector<std::string> Summaries() { return Names(".summary"); }
  // Some are lost, some decay: nothing may depend on them.
  void SpoilSummaries(Random& random) {
    for (const std::string& name : Summaries()) {
      const std::string path = options.directory + "/" + name;
      std::uint64_t bytes = 0;
      files.GetFileSize(path, {}, &bytes, nullptr).PermitUncheckedError();
      if (random.Chance(0.2)) {
        files.DeleteFile(path, {}, nullptr).PermitUncheckedError();
      } else if (bytes > 0 && random.Chance(0.2)) {
        files.FlipBits(path, random.Below(bytes), 1);
      }
    }
  }

  std::vector<std::string> Names(const std::string& suffix) {
    std::vector<std::string> names;
    files.GetChildren(options.directory, {}, &names, nullptr).PermitUncheckedError();
    std::erase_if(names, [&](const std::string& name) { return !name.ends_with(suffix); });
    return names;
  }

  sim::SimFileSystem files;
  SteppingClock clock;
  LogOptions options;
  std::shared_ptr<ManualStrand::Queue> queue;
  std::unique_ptr<Log> log;
  LogRecovery recovery;
  std::optional<Status> fatal;
};

inline Entry MakeEntry(std::uint64_t index, std::uint64_t term, std::string payload) {
  return {Term(term), Index(index), EntryKind::kCommand, Bytes(std::move(payload))};
}

inline HardState MakeHardState(std::uint64_t term, std::uint64_t vote, std::uint64_t commit) {
  return {Term(term), NodeId(vote), Index(commit)};
}

// Entries first..last of one term, each with a payload that tells them apart.
inline LogWrite MakeWrite(std::uint64_t group, std::uint64_t first, std::uint64_t last,
                          std::uint64_t term, std::size_t bytes = 100) {
  LogWrite write;
  write.group = GroupId(group);
  for (std::uint64_t i = first; i <= last; ++i) {
    std::string payload =
        std::to_string(group) + ":" + std::to_string(i) + ":" + std::to_string(term) + ":";
    if (payload.size() < bytes) payload.resize(bytes, static_cast<char>('a' + (i + term) % 26));
    write.entries.push_back(MakeEntry(i, term, std::move(payload)));
  }
  return write;
}

inline LogWrite MakeWrite(std::uint64_t group, const HardState& hard_state) {
  LogWrite write;
  write.group = GroupId(group);
  write.hard_state = hard_state;
  return write;
}

inline void ExpectOk(const Status& status) { EXPECT_TRUE(status.ok()) << MessageOf(status); }

}  // namespace flotilla::raft
