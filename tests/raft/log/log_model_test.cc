// Random writes, releases, removals and crashes, checked against LogModel.
#include "tests/raft/log/log_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "tests/raft/log/log_harness.h"

namespace flotilla::raft {
namespace {

// One log's life through many crashes.
class Life {
 public:
  explicit Life(std::uint64_t seed) : random_(seed) {
    harness_.options.segment_bytes = (16 << 10) << random_.Below(3);
    harness_.options.cache_bytes = random_.Chance(0.5) ? 2000 : 100'000;
    harness_.options.live_bytes_soft_max = harness_.options.segment_bytes * random_.Between(2, 8);
    harness_.options.spare_segments_max = static_cast<int>(random_.Between(1, 4));
    groups_ = random_.Between(1, 6);
  }

  // Empty, or what went wrong.
  std::string Run(int crashes) {
    for (int i = 0; i < crashes; ++i) {
      if (std::string wrong = OpenAndCheck(); !wrong.empty()) {
        return fmt::format("after crash {}: {}", i, wrong);
      }
      RunUntilCrash();
    }
    return OpenAndCheck();
  }

 private:
  std::string OpenAndCheck() {
    harness_.SpoilSummaries(random_);
    if (Status status = harness_.Open(); !status.ok()) return std::string(MessageOf(status));
    if (auto wrong = model_.Check(harness_.recovery, *harness_.log)) return *wrong;
    return "";
  }

  void RunUntilCrash() {
    // Most crashes come at some call of the disk; the others between calls.
    if (random_.Chance(0.8)) {
      const std::uint64_t at = harness_.files.calls() + random_.Between(1, 400);
      harness_.files.SetCallHook([this, at](const sim::DiskCall& call) {
        if (call.number < at) return rocksdb::IOStatus::OK();
        harness_.files.PowerOff();
        return rocksdb::IOStatus::IOError("the power is gone");
      });
    }
    full_ = false;
    faulty_ = random_.Chance(0.1);
    if (faulty_) {
      const bool sync = random_.Chance(0.5);
      harness_.files.AddFault(
          {.operation = sync ? sim::DiskOperation::kSync : sim::DiskOperation::kWrite,
           .skip = random_.Below(100)});
    }
    const std::uint64_t steps = random_.Between(1, 400);
    for (std::uint64_t i = 0; i < steps && harness_.files.powered() && !harness_.fatal; ++i) Step();
    harness_.files.ClearFaults();
    harness_.files.SetCapacity(UINT64_MAX);
    const bool dead = !harness_.files.powered() || harness_.fatal.has_value();
    const std::uint64_t how = random_.Below(4);
    if (how == 0 && !dead) {
      harness_.files.SetCallHook(nullptr);
      harness_.Stop();
    } else if (how == 1) {
      harness_.Kill();
    } else {
      harness_.Crash(random_);
    }
  }

  void Step() {
    const GroupId group(1 + random_.Below(groups_));
    const std::uint64_t what = random_.Below(100);
    if (what < 45) {
      Append(group);
    } else if (what < 50) {
      Vote(group);
    } else if (what < 60) {
      Commit(group);
    } else if (what < 75) {
      Release(group);
    } else if (what < 76) {
      Reset(group);
    } else if (what < 77) {
      if (model_.exists(group)) Submit(Forgetting(group, model_.hard_state(group), {}));
    } else if (what < 79) {
      Fill();
    } else if (what < 80) {
      if (model_.exists(group)) {
        model_.Remove(group);
        harness_.log->Remove(group);
      }
    } else if (!harness_.queue->closures.empty()) {
      Closure closure = std::move(harness_.queue->closures.front());
      harness_.queue->closures.pop_front();
      closure();
    } else {
      harness_.RunAll(true);
    }
  }

  // The disk is full for a while.
  void Fill() {
    if (std::exchange(full_, !full_)) {
      harness_.files.SetCapacity(UINT64_MAX);
      if (harness_.files.powered()) harness_.RunAll(true);
      return;
    }
    harness_.files.SetCapacity(harness_.files.used_bytes() +
                               random_.Below(3) * harness_.options.segment_bytes);
  }

  void Submit(LogWrite write) {
    const GroupId group = write.group;
    const bool durable = write.sync;
    const std::uint64_t number = model_.Write(write);
    const Status accepted =
        harness_.log->Append(std::move(write), [this, group, number, durable](Status status) {
          if (status.ok() && durable) model_.Acknowledge(group, number);
        });
    if (accepted.ok()) return;
    model_.TakeBack(group);
    if (full_) {
      EXPECT_EQ(ReasonOf(accepted), Reason::kDiskFull) << MessageOf(accepted);
    } else {
      EXPECT_TRUE(!harness_.files.powered() || harness_.fatal || faulty_) << MessageOf(accepted);
    }
  }

  void Append(GroupId group) {
    const Index start = model_.start(group);
    Index first = model_.last(group).Next();
    Term term = std::max(model_.last_term(group), Term(1));
    if (random_.Chance(0.1) && first > start.Next()) {
      first = start + random_.Between(1, first - start);
      ++term;
    }
    const std::size_t bytes = random_.Chance(0.03) ? random_.Below(60'000) : random_.Below(600);
    LogWrite write = MakeWrite(group.value(), first.value(), first.value() + random_.Below(6),
                               term.value(), bytes);
    const HardState& before = model_.hard_state(group);
    if (term > before.term) write.hard_state = HardState{term, NodeId(), before.commit};
    write.sync = random_.Chance(0.9);
    Submit(std::move(write));
  }

  void Vote(GroupId group) {
    const HardState& before = model_.hard_state(group);
    LogWrite write =
        MakeWrite(group.value(), {before.term.Next(), NodeId(1 + random_.Below(3)), before.commit});
    Submit(std::move(write));
  }

  void Commit(GroupId group) {
    if (!model_.exists(group)) return;
    HardState hard_state = model_.hard_state(group);
    hard_state.commit = std::max(hard_state.commit, model_.last(group));
    LogWrite write;
    write.group = group;
    write.hard_state = hard_state;
    write.sync = false;
    Submit(std::move(write));
  }

  void Release(GroupId group) {
    const Index start = model_.start(group);
    const Index last = model_.last(group);
    if (!model_.exists(group) || last <= start) return;
    const Index index = start + random_.Between(1, last - start);
    harness_.log->Release(group, index, model_.TermAt(group, index));
    model_.Release(group, index);
  }

  void Reset(GroupId group) {
    LogWrite write;
    const Index index(model_.last(group).value() + 10 - random_.Below(10));
    if (random_.Chance(0.5)) {
      write = MakeWrite(group.value(), index.value() + 1, index.value() + 3,
                        model_.last_term(group).value() + 1);
    }
    write.group = group;
    write.reset_to = std::pair(index, model_.last_term(group).Next());
    const HardState& before = model_.hard_state(group);
    write.hard_state = HardState{std::max(before.term, model_.last_term(group).Next()), before.vote,
                                 std::max(before.commit, index)};
    Submit(std::move(write));
  }

  Random random_;
  LogHarness harness_;
  LogModel model_;
  std::uint64_t groups_ = 1;
  bool full_ = false;
  bool faulty_ = false;  // some call may fail in this run
};

// FLOTILLA_LOG_SEEDS=A..B runs these instead.
TEST(LogModel, RandomLives) {
  std::uint64_t from = 1;
  std::uint64_t to = 400;
  if (const char* span = std::getenv("FLOTILLA_LOG_SEEDS")) {
    char* rest = nullptr;
    from = std::strtoull(span, &rest, 10);
    to = *rest == '.' ? std::strtoull(rest + 2, nullptr, 10) : from;
  }
  for (std::uint64_t seed = from; seed <= to; ++seed) {
    const std::string wrong = Life(seed).Run(12);
    ASSERT_EQ(wrong, "") << "replay with FLOTILLA_LOG_SEEDS=" << seed;
    ASSERT_FALSE(HasFailure()) << "replay with FLOTILLA_LOG_SEEDS=" << seed;
  }
}

}  // namespace
}  // namespace flotilla::raft
