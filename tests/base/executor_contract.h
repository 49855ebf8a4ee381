// The contract of base/executor.h, as one suite for every implementation of it.
//
// An implementation gives a world and instantiates the suite once for each kind of strand:
//
//   INSTANTIATE_TEST_SUITE_P(Real, ExecutorContract, ContractParams(&MakeRealWorld), ContractName);
//
// One inclusion per test program. Nothing here sleeps: a test waits for latches, which real time
// brings by itself and simulated time brings when it is made to pass.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <iterator>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/gathering_strand.h"

namespace flotilla {

// One executor with its clock, and the two things that only its kind of time can do.
class ExecutorWorld {
 public:
  virtual ~ExecutorWorld() = default;

  virtual Executor& executor() = 0;
  virtual const Clock& clock() = 0;
  // From the test: lets the world run until the latch is down.
  virtual void Await(std::latch& latch) = 0;
  // Inside a closure: keeps its strand busy until closures of others have counted the latch down.
  // They touch nothing but the latch and what is theirs: simulated ones run only after this call.
  virtual void StayBusy(std::latch& latch) = 0;
  // Stops the executor.
  virtual void Stop() = 0;
};

enum class StrandKind { kShared, kBlocking, kThread, kGathering };
using MakeExecutorWorld = std::unique_ptr<ExecutorWorld> (*)();
using ContractParam = std::pair<MakeExecutorWorld, StrandKind>;

inline auto ContractParams(MakeExecutorWorld make) {
  return ::testing::Values(
      ContractParam(make, StrandKind::kShared), ContractParam(make, StrandKind::kBlocking),
      ContractParam(make, StrandKind::kThread), ContractParam(make, StrandKind::kGathering));
}

inline std::string ContractName(const ::testing::TestParamInfo<ContractParam>& info) {
  switch (info.param.second) {
    case StrandKind::kShared:
      return "SharedStrand";
    case StrandKind::kBlocking:
      return "BlockingStrand";
    case StrandKind::kThread:
      return "ThreadStrand";
    case StrandKind::kGathering:
      return "GatheringStrand";
  }
  return "";
}

class ExecutorContract : public ::testing::TestWithParam<ContractParam> {
 protected:
  void TearDown() override { world->Stop(); }

  std::unique_ptr<Strand> NewStrand() {
    Executor& executor = world->executor();
    switch (GetParam().second) {
      case StrandKind::kShared:
        return executor.NewStrand("contract");
      case StrandKind::kBlocking:
        return executor.NewBlockingStrand("contract");
      case StrandKind::kThread:
        return executor.NewThreadStrand("contract");
      case StrandKind::kGathering:
        return std::make_unique<GatheringStrand>(executor.NewStrand("contract"));
    }
    return nullptr;
  }
  MonoTime Now() const { return world->clock().Now(); }
  // Runs it on the strand, and waits until it has run and is gone.
  void Run(Strand& on, Closure closure) {
    std::latch done(1);
    on.Post(std::move(closure));
    on.Post([&done] { done.count_down(); });
    world->Await(done);
  }

  const std::unique_ptr<ExecutorWorld> world = GetParam().first();
  const std::unique_ptr<Strand> strand = NewStrand();
  const std::unique_ptr<Strand> other = NewStrand();
};

using std::chrono::microseconds;
using std::chrono::milliseconds;

// ---- order ----------------------------------------------------------------------------------

TEST_P(ExecutorContract, ClosuresRunInOrderOfPosting) {
  constexpr int kClosures = 1000;
  std::vector<int> ran;
  std::latch done(kClosures);
  for (int i = 0; i < kClosures; ++i) {
    strand->Post([&, i] {
      ran.push_back(i);
      done.count_down();
    });
  }
  world->Await(done);
  for (int i = 0; i < kClosures; ++i) ASSERT_EQ(ran[static_cast<std::size_t>(i)], i);
}

TEST_P(ExecutorContract, PostingFromManyPlacesKeepsEachOnesOrderAndRunsOneAtATime) {
  constexpr int kPosters = 4;
  constexpr int kClosures = 500;
  constexpr std::ptrdiff_t kAll = std::ptrdiff_t{kPosters} * kClosures;
  std::vector<std::pair<int, int>> ran;  // guarded by the strand: the thread sanitizer's bait
  std::atomic<int> inside{0};
  std::atomic<int> overlaps{0};
  std::latch done(kAll);
  for (int poster = 0; poster < kPosters; ++poster) {
    world->executor().Post([&, poster] {
      for (int i = 0; i < kClosures; ++i) {
        strand->Post([&, poster, i] {
          if (inside.fetch_add(1) != 0) overlaps.fetch_add(1);
          ran.emplace_back(poster, i);
          inside.fetch_sub(1);
          done.count_down();
        });
      }
    });
  }
  world->Await(done);
  EXPECT_EQ(overlaps.load(), 0);
  int next[kPosters] = {};
  for (const auto& [poster, i] : ran) ASSERT_EQ(i, next[poster]++);
}

TEST_P(ExecutorContract, PostInsideAClosureRunsAfterItAndBehindWhatWaits) {
  std::vector<std::string> ran;
  std::latch posted(1);
  std::latch done(3);
  strand->Post([&] {
    world->StayBusy(posted);
    strand->Post([&] {
      ran.push_back("inner");
      done.count_down();
    });
    ran.push_back("outer");
    done.count_down();
  });
  strand->Post([&] {
    ran.push_back("waiting");
    done.count_down();
  });
  posted.count_down();
  world->Await(done);
  EXPECT_EQ(ran, (std::vector<std::string>{"outer", "waiting", "inner"}));
}

TEST_P(ExecutorContract, WhatIsDispatchedRunsOneAtATimeAndInOrder) {
  std::latch done(3);
  std::vector<int> order;
  strand->Post([&] {
    strand->Dispatch([&] {
      order.push_back(2);
      done.count_down();
    });
    strand->Post([&] {
      order.push_back(3);
      done.count_down();
    });
    order.push_back(1);  // its own strand is not idle: nothing ran inside this closure
    done.count_down();
  });
  world->Await(done);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST_P(ExecutorContract, WhatIsDispatchedIsInsideTheStrandThatDispatchesItIfItRunsAtOnce) {
  std::latch done(2);
  bool on_it = false;
  bool on_other = false;
  bool inside = false;
  std::atomic<bool> dispatching = true;
  other->Post([&] {
    strand->Dispatch([&, here = std::this_thread::get_id()] {
      on_it = strand->IsCurrent();
      on_other = other->IsCurrent();
      inside = std::this_thread::get_id() == here && dispatching;
      done.count_down();
    });
    dispatching = false;
    EXPECT_TRUE(other->IsCurrent());
    EXPECT_FALSE(strand->IsCurrent());
    done.count_down();
  });
  world->Await(done);
  EXPECT_TRUE(on_it);
  EXPECT_EQ(on_other, inside);
}

TEST_P(ExecutorContract, ADispatchedClosureMayDestroyItsOwnStrandUnlessItIsABlockingOne) {
  if (GetParam().second != StrandKind::kShared) return;  // its end waits for what was posted
  std::latch done(1);
  std::unique_ptr<Strand> doomed = NewStrand();
  other->Post([&] {
    doomed->Dispatch([&] {
      doomed = nullptr;
      done.count_down();
    });
  });
  world->Await(done);
  EXPECT_EQ(doomed, nullptr);
}

TEST_P(ExecutorContract, ABusyStrandHoldsUpNoOther) {
  std::vector<std::string> ran;  // the latches order the accesses
  std::latch other_ran(1);
  std::latch done(1);
  strand->Post([&] {
    world->StayBusy(other_ran);
    strand->Post([&] {
      ran.push_back("busy strand");
      done.count_down();
    });
  });
  other->Post([&] {
    ran.push_back("other strand");
    other_ran.count_down();
  });
  world->Await(done);
  EXPECT_EQ(ran, (std::vector<std::string>{"other strand", "busy strand"}));
}

TEST_P(ExecutorContract, ExecutorRunsEachClosureOnceAndOnNoStrand) {
  constexpr int kClosures = 100;
  std::atomic<int> ran{0};
  std::atomic<int> on_a_strand{0};
  std::latch done(kClosures);
  for (int i = 0; i < kClosures; ++i) {
    world->executor().Post([&] {
      ran.fetch_add(1);
      if (strand->IsCurrent()) on_a_strand.fetch_add(1);
      done.count_down();
    });
  }
  world->Await(done);
  EXPECT_EQ(ran.load(), kClosures);
  EXPECT_EQ(on_a_strand.load(), 0);
}

// ---- where and how long ---------------------------------------------------------------------

// Says where it is destroyed.
struct Witness {
  Witness(Strand* on, bool* destroyed) : strand(on), destroyed_on_strand(destroyed) {}
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;
  ~Witness() { *destroyed_on_strand = strand->IsCurrent(); }
  Strand* const strand;
  bool* const destroyed_on_strand;
};

TEST_P(ExecutorContract, IsCurrentOnlyInsideItsOwnClosures) {
  bool own = false;
  bool foreign = true;
  EXPECT_FALSE(strand->IsCurrent());
  Run(*strand, [&] {
    own = strand->IsCurrent();
    foreign = other->IsCurrent();
  });
  EXPECT_TRUE(own);
  EXPECT_FALSE(foreign);
  EXPECT_FALSE(strand->IsCurrent());
}

TEST_P(ExecutorContract, AClosureIsDestroyedOnItsStrandBeforeTheNextRuns) {
  bool destroyed_on_strand = false;
  bool gone_when_next_ran = false;
  std::latch done(1);
  auto witness = std::make_shared<Witness>(strand.get(), &destroyed_on_strand);
  strand->Post([witness = std::move(witness)] {});
  strand->Post([&] {
    gone_when_next_ran = destroyed_on_strand;
    done.count_down();
  });
  world->Await(done);
  EXPECT_TRUE(gone_when_next_ran);
}

TEST_P(ExecutorContract, ClosuresOfADestroyedStrandRunAndItsTimersDoNot) {
  auto timer_closure = std::make_shared<int>(0);
  std::atomic<bool> timer_ran{false};
  std::latch posted(1);
  std::latch done(2);
  auto doomed = NewStrand();
  doomed->Post([&] {
    world->StayBusy(posted);
    done.count_down();
  });
  doomed->Post([&] { done.count_down(); });
  doomed->After(milliseconds(1), [&timer_ran, timer_closure] { timer_ran = true; });
  posted.count_down();
  doomed = nullptr;
  EXPECT_EQ(timer_closure.use_count(), 1);
  world->Await(done);
  std::latch later(1);
  strand->After(milliseconds(3), [&] { later.count_down(); });
  world->Await(later);
  EXPECT_FALSE(timer_ran.load());
}

TEST_P(ExecutorContract, AClosureMayDestroyItsOwnStrandUnlessItIsABlockingOne) {
  std::latch posted(1);
  std::latch done(2);
  auto doomed = world->executor().NewStrand("doomed");
  doomed->Post([&] {
    world->StayBusy(posted);
    doomed = nullptr;
    done.count_down();
  });
  doomed->Post([&] { done.count_down(); });
  posted.count_down();
  world->Await(done);
}

// ---- timers ---------------------------------------------------------------------------------

TEST_P(ExecutorContract, TimersRunOnTheirStrandNotBeforeTheirTime) {
  constexpr Duration kDelays[] = {milliseconds(-5), Duration(0), Duration(1), microseconds(700),
                                  milliseconds(4)};
  std::latch done(std::size(kDelays));
  for (const Duration delay : kDelays) {
    const MonoTime start = Now();
    strand->After(delay, [&, start, delay] {
      EXPECT_GE(Now(), start + std::max(delay, Duration(0)));
      EXPECT_TRUE(strand->IsCurrent());
      done.count_down();
    });
  }
  world->Await(done);
}

TEST_P(ExecutorContract, TimersRunInOrderOfTheirTimes) {
  // When each is due: between these two, for setting one takes time, too.
  struct Due {
    MonoTime earliest{};
    MonoTime latest{};
  };
  std::vector<Due> ran;
  std::latch done(5);
  Run(*strand, [&] {
    for (const int milli : {3, 1, 5, 2, 4}) {
      auto due = std::make_shared<Due>();
      due->earliest = Now() + milliseconds(milli);
      strand->After(milliseconds(milli), [&, due] {
        ran.push_back(*due);
        done.count_down();
      });
      due->latest = Now() + milliseconds(milli);
    }
  });
  world->Await(done);
  ASSERT_EQ(ran.size(), 5u);
  for (std::size_t i = 0; i < ran.size(); ++i) {
    for (std::size_t j = i + 1; j < ran.size(); ++j) EXPECT_LE(ran[i].earliest, ran[j].latest);
  }
}

TEST_P(ExecutorContract, TimersOfOneDelayRunInOrderOfMaking) {
  constexpr int kTimers = 200;
  std::vector<int> ran;
  std::latch done(kTimers);
  Run(*strand, [&] {
    for (int i = 0; i < kTimers; ++i) {
      strand->After(milliseconds(1), [&, i] {
        ran.push_back(i);
        done.count_down();
      });
    }
  });
  world->Await(done);
  for (int i = 0; i < kTimers; ++i) ASSERT_EQ(ran[static_cast<std::size_t>(i)], i);
}

TEST_P(ExecutorContract, ATimerThatComesDueWhileItsStrandIsBusyRunsOnceAfterwards) {
  int ran = 0;
  std::latch due(1);
  std::latch done(1);
  Run(*strand, [&] {
    strand->After(milliseconds(1), [&] {
      ++ran;
      done.count_down();
    });
    other->After(milliseconds(2), [&] { due.count_down(); });
    world->StayBusy(due);
    EXPECT_EQ(ran, 0);
  });
  world->Await(done);
  Run(*strand, [&] { EXPECT_EQ(ran, 1); });
}

TEST_P(ExecutorContract, ACancelledTimerIsDestroyedAtOnceAndNeverRuns) {
  bool ran = false;
  std::latch later(1);
  Run(*strand, [&] {
    auto closure = std::make_shared<int>(0);
    const TimerId timer = strand->After(milliseconds(1), [&ran, closure] { ran = true; });
    EXPECT_NE(timer, 0u);
    EXPECT_EQ(closure.use_count(), 2);
    EXPECT_TRUE(strand->Cancel(timer));
    EXPECT_EQ(closure.use_count(), 1);
    EXPECT_FALSE(strand->Cancel(timer)) << "a second time";
    strand->After(milliseconds(3), [&] { later.count_down(); });
  });
  world->Await(later);
  EXPECT_FALSE(ran);
}

TEST_P(ExecutorContract, ATimerIsTakenBackEvenWhenItsTimeHasCome) {
  bool ran = false;
  std::latch due(1);
  std::latch later(1);
  Run(*strand, [&] {
    const TimerId timer = strand->After(milliseconds(1), [&ran] { ran = true; });
    other->After(milliseconds(3), [&] { due.count_down(); });
    world->StayBusy(due);
    EXPECT_TRUE(strand->Cancel(timer));
    strand->After(milliseconds(1), [&] { later.count_down(); });
  });
  world->Await(later);
  EXPECT_FALSE(ran);
}

TEST_P(ExecutorContract, CancelSaysWhenThereIsNothingToTakeBack) {
  TimerId timer = 0;
  bool cancelled_itself = true;
  std::latch done(1);
  Run(*strand, [&] {
    EXPECT_FALSE(strand->Cancel(0));
    EXPECT_FALSE(strand->Cancel(12345));
    timer = strand->After(Duration(0), [&] {
      cancelled_itself = strand->Cancel(timer);
      done.count_down();
    });
  });
  world->Await(done);
  EXPECT_FALSE(cancelled_itself);
  Run(*strand, [&] { EXPECT_FALSE(strand->Cancel(timer)) << "it has run"; });
}

TEST_P(ExecutorContract, TheClockNeverGoesBackFromClosureToClosure) {
  MonoTime last = Now();
  int left = 300;
  std::latch done(1);
  // Over two strands and a timer, so that every kind of step is between two looks.
  std::function<void()> look = [&] {
    const MonoTime now = Now();
    EXPECT_GE(now, last);
    last = now;
    if (--left == 0) {
      done.count_down();
    } else if (left % 3 == 0) {
      strand->After(microseconds(1), look);
    } else {
      (left % 3 == 1 ? strand : other)->Post(look);
    }
  };
  strand->Post(look);
  world->Await(done);
}

// ---- the end --------------------------------------------------------------------------------

TEST_P(ExecutorContract, NothingRunsAfterStopAndWhatWaitedIsDestroyed) {
  auto closure = std::make_shared<int>(0);
  std::atomic<int> turns{0};
  std::latch started(2);
  // Two that would go on for ever, the second on the pool.
  std::function<void()> again = [&, closure] {
    if (turns.fetch_add(1) == 0) started.count_down();
    strand->Post(again);
  };
  std::atomic<int> pool_turns{0};
  std::function<void()> again_on_pool = [&, closure] {
    if (pool_turns.fetch_add(1) == 0) started.count_down();
    world->executor().Post(again_on_pool);
  };
  other->After(std::chrono::hours(1), [closure] { ADD_FAILURE() << "an hour has passed"; });
  strand->Post(again);
  world->executor().Post(again_on_pool);
  world->Await(started);
  EXPECT_FALSE(strand->Stopped());
  world->Stop();
  const int turns_at_stop = turns.load();
  const int pool_turns_at_stop = pool_turns.load();
  EXPECT_TRUE(strand->Stopped());
  EXPECT_TRUE(other->Stopped());
  EXPECT_EQ(closure.use_count(), 3) << "this one's and the two functions'";

  strand->Post([closure] { ADD_FAILURE() << "ran after the stop"; });
  other->After(Duration(0), [closure] { ADD_FAILURE() << "ran after the stop"; });
  world->executor().Post([closure] { ADD_FAILURE() << "ran after the stop"; });
  const auto late = NewStrand();
  EXPECT_TRUE(late->Stopped());
  late->Post([closure] { ADD_FAILURE() << "ran after the stop"; });
  EXPECT_EQ(closure.use_count(), 3);
  EXPECT_EQ(turns.load(), turns_at_stop);
  EXPECT_EQ(pool_turns.load(), pool_turns_at_stop);
}

TEST_P(ExecutorContract, WhatIsDestroyedAtStopMayPost) {
  struct Poster {
    explicit Poster(Strand* on) : strand(on) {}
    Poster(const Poster&) = delete;
    Poster& operator=(const Poster&) = delete;
    ~Poster() {
      strand->Post([] { ADD_FAILURE() << "ran after the stop"; });
      strand->After(Duration(0), [] { ADD_FAILURE() << "ran after the stop"; });
    }
    Strand* const strand;
  };
  strand->After(std::chrono::hours(1), [poster = std::make_shared<Poster>(strand.get())] {});
  strand->After(std::chrono::hours(1), [poster = std::make_shared<Poster>(other.get())] {});
  Run(*strand, [] {});
  world->Stop();
  world->Stop();  // again: nothing
}

}  // namespace flotilla
