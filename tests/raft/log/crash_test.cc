// One scripted run, cut at every call of the disk, with several outcomes of each cut.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/raft/log/log_harness.h"
#include "tests/raft/log/log_model.h"

namespace flotilla::raft {
namespace {

// Everything that a log does: it starts, writes, overwrites, rolls over, releases, recycles,
// rewrites, resets, removes, forgets and stops.
class Script {
 public:
  Script(LogHarness& harness, LogModel& model) : harness_(harness), model_(model) {}

  void Run() {
    for (std::uint64_t group = 1; group <= 3; ++group) {
      LogWrite write = MakeWrite(group, 1, 4, 1);
      write.hard_state = MakeHardState(1, group, 0);
      Submit(std::move(write));
    }
    Settle();
    Submit(MakeWrite(2, 3, 6, 2));
    for (std::uint64_t i = 5; i < 60 && harness_.files.powered(); ++i) {
      Submit(MakeWrite(1, i, i, 1, 900));
      if (i % 3 != 0) Settle();
      if (i % 10 == 0) {
        LogWrite commit = MakeWrite(1, MakeHardState(1, 1, i));
        commit.sync = false;
        Submit(std::move(commit));
        Release(1, i - 4);
      }
      if (i % 7 == 0) {
        LogWrite unsynced = MakeWrite(3, i / 7 + 4, i / 7 + 4, 1, 200);
        unsynced.sync = false;
        Submit(std::move(unsynced));
      }
    }
    LogWrite reset = MakeWrite(2, 101, 103, 3);
    reset.reset_to = std::pair(Index(100), Term(3));
    reset.hard_state = MakeHardState(3, 0, 100);
    Submit(std::move(reset));
    if (harness_.files.powered()) {
      model_.Remove(GroupId(3));
      harness_.log->Remove(GroupId(3));
    }
    Submit(MakeWrite(3, 1, 2, 9));
    // Group 2 goes, all but its vote, and comes back.
    Submit(Forgetting(GroupId(2), MakeHardState(4, 2, 100), {Term(4), Index(100)}));
    Submit(MakeWrite(2, 1, 2, 5));
    Settle();
    Submit(Forgetting(GroupId(2), MakeHardState(5, 3, 1), {Term(5), Index(1)}));
    Settle();
    if (harness_.files.powered()) {
      harness_.log->Stop([] {});
      Settle();
    }
  }

 private:
  void Settle() { harness_.RunAll(); }

  void Submit(LogWrite write) {
    if (!harness_.files.powered()) return;
    const GroupId group = write.group;
    const bool durable = write.sync;
    const std::uint64_t number = model_.Write(write);
    const Status accepted =
        harness_.log->Append(std::move(write), [this, group, number, durable](Status status) {
          if (status.ok() && durable) model_.Acknowledge(group, number);
        });
    if (!accepted.ok()) model_.TakeBack(group);
  }

  void Release(std::uint64_t group, std::uint64_t index) {
    if (!harness_.files.powered()) return;
    model_.Release(GroupId(group), Index(index));
    harness_.log->Release(GroupId(group), Index(index), Term(1));
  }

  LogHarness& harness_;
  LogModel& model_;
};

// The power goes again while the log is recovered, or just after.
void CutRecovery(LogHarness& harness, Random& random) {
  const std::uint64_t at = harness.files.calls() + random.Between(1, 60);
  harness.files.SetCallHook([&harness, at](const sim::DiskCall& call) {
    if (call.number < at) return rocksdb::IOStatus::OK();
    harness.files.PowerOff();
    return rocksdb::IOStatus::IOError("the power is gone");
  });
  if (harness.Open().ok()) harness.RunAll();
  harness.Crash(random);
}

TEST(LogCrash, EveryCallOfTheDisk) {
  std::uint64_t calls = 0;
  int summarized = 0;
  for (std::uint64_t at = 1; at == 1 || at <= calls; ++at) {
    for (std::uint64_t outcome = 0; outcome < 6; ++outcome) {
      LogHarness harness;
      harness.options.segment_bytes = 16 << 10;
      harness.options.live_bytes_soft_max = 48 << 10;
      LogModel model;
      Random random(at * 10 + outcome);
      const std::uint64_t before = harness.files.calls();
      if (calls > 0) {
        harness.files.SetCallHook([&](const sim::DiskCall& call) {
          if (call.number - before < at) return rocksdb::IOStatus::OK();
          harness.files.PowerOff();
          return rocksdb::IOStatus::IOError("the power is gone");
        });
      }
      if (harness.Open().ok()) {
        Script(harness, model).Run();
        if (calls == 0) EXPECT_GT(harness.log->Stats().rewritten_bytes, 0u);
      }
      if (calls == 0) calls = harness.files.calls() - before;
      harness.Crash(random);
      if (outcome >= 3) CutRecovery(harness, random);
      const std::string where = fmt::format("cut at call {} of {}, outcome {}", at, calls, outcome);
      harness.SpoilSummaries(random);
      const Status opened = harness.Open();
      ASSERT_TRUE(opened.ok()) << where << ": " << MessageOf(opened);
      if (harness.recovery.bytes_read < harness.recovery.bytes) ++summarized;
      const auto wrong = model.Check(harness.recovery, *harness.log);
      ASSERT_EQ(wrong.value_or(""), "") << where;
    }
  }
  EXPECT_GT(calls, 120u);
  EXPECT_GT(summarized, 100);
}

}  // namespace
}  // namespace flotilla::raft
