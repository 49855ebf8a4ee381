// Which thread applies what, and that the order stays what it is.
#include "raft/apply_pump.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <thread>

#include "base/real_executor.h"
#include "tests/raft/idle_log.h"

namespace flotilla::raft {
namespace {

constexpr GroupId kGroup{2};
constexpr Term kTerm{1};

// Has every entry in its cache, each of so many bytes.
class CachedLog final : public IdleLog {
 public:
  std::optional<std::vector<Entry>> ReadCached(GroupId, IndexRange range,
                                               std::size_t max) override {
    std::vector<Entry> entries;
    std::size_t bytes = 0;
    for (Index index = range.first; index < range.end; index = index.Next()) {
      if (!entries.empty() && bytes + entry_bytes > max) break;
      bytes += entry_bytes;
      entries.push_back({.term = kTerm,
                         .index = index,
                         .kind = EntryKind::kCommand,
                         .payload = Bytes(std::string(entry_bytes, 'x'))});
    }
    return entries;
  }

  std::atomic<std::size_t> entry_bytes = 100;
};

// Notes what it was given, and on which thread.
class NotingMachine final : public StateMachine {
 public:
  Status Apply(std::vector<AppliedEntry>& entries) override {
    if (before_apply) before_apply();
    std::lock_guard lock(mutex_);
    for (const AppliedEntry& one : entries) {
      EXPECT_EQ(one.entry.index, applied_.Next());
      applied_ = one.entry.index;
      thread_ = std::this_thread::get_id();
    }
    entries.clear();
    return {};
  }
  bool AppliesAtOnce(const std::vector<Entry>&) const override { return at_once; }

  Index applied() const override {
    std::lock_guard lock(mutex_);
    return applied_;
  }
  bool AppliedHere() const {
    std::lock_guard lock(mutex_);
    return thread_ == std::this_thread::get_id();
  }
  Index durable() const override { return {}; }
  SnapshotMark mark() const override { return {}; }
  void Flush(UniqueFunction<void(StatusOr<Index>)>) override {}
  StatusOr<SnapshotInfo> TakeSnapshot() override { return SnapshotInfo(); }
  void DropSnapshot(const SnapshotInfo&) override {}
  Status InstallSnapshot(const std::string&, const SnapshotMark&) override { return {}; }

  std::atomic<bool> at_once = true;
  std::function<void()> before_apply;

 private:
  mutable std::mutex mutex_;
  Index applied_;
  std::thread::id thread_;
};

class ApplyPumpTest : public testing::Test {
 protected:
  ~ApplyPumpTest() override { pump.reset(); }

  // The next so many entries are committed.
  void Enqueue(std::uint64_t count) {
    const Index first = next;
    next = Index(next.value() + count);
    pump->Enqueue({first, next}, {});
  }
  // Whatever was enqueued is applied on return.
  void Settle() {
    std::latch done(1);
    pump->Post([&] { done.count_down(); });
    done.wait();
    EXPECT_EQ(machine.applied(), next.Previous());
  }

  RealExecutor executor{2};
  CachedLog log;
  NotingMachine machine;
  Index next{1};
  std::unique_ptr<ApplyPump> pump = std::make_unique<ApplyPump>(
      kGroup, &log, &machine, executor.NewBlockingStrand("apply"),
      ApplyPump::Callbacks{.on_applied = [](Index) {}, .on_fatal = [](Status) { FAIL(); }});
};

TEST_F(ApplyPumpTest, AFewEntriesThatWaitForNothingAreAppliedByTheCaller) {
  Enqueue(3);
  EXPECT_EQ(machine.applied(), Index(3));
  EXPECT_TRUE(machine.AppliedHere());
}

TEST_F(ApplyPumpTest, WhatMayWaitIsAppliedElsewhere) {
  machine.at_once = false;
  Enqueue(3);
  Settle();
  EXPECT_FALSE(machine.AppliedHere());
}

TEST_F(ApplyPumpTest, MuchIsAppliedElsewhere) {
  log.entry_bytes = 60 << 10;
  Enqueue(1);
  Settle();
  EXPECT_FALSE(machine.AppliedHere());
  log.entry_bytes = 1000;
  Enqueue(100);
  Settle();
  EXPECT_FALSE(machine.AppliedHere());
}

TEST_F(ApplyPumpTest, NothingOvertakesWhatIsUnderWay) {
  std::latch entered(1);
  std::latch go_on(1);
  machine.at_once = false;
  machine.before_apply = [&] {
    entered.count_down();
    go_on.wait();
  };
  Enqueue(1);
  entered.wait();
  machine.at_once = true;
  Enqueue(1);  // returns, although the strand is busy
  EXPECT_EQ(machine.applied(), Index(0));
  go_on.count_down();
  Settle();
}

TEST_F(ApplyPumpTest, ManyThreadsOneAfterTheOther) {
  for (int round = 0; round < 2000; ++round) {
    machine.at_once = round % 3 != 0;
    std::thread([&] { Enqueue(1 + round % 2); }).join();
  }
  Settle();
}

}  // namespace
}  // namespace flotilla::raft
