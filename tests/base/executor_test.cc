// The real executor under the contract, and what only it promises.
#include <cctype>
#include <latch>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/gathering_strand.h"
#include "base/real_executor.h"
#include "base/turn.h"
#include "tests/base/executor_contract.h"

namespace flotilla {
namespace {

class RealWorld final : public ExecutorWorld {
 public:
  Executor& executor() override { return executor_; }
  const Clock& clock() override { return clock_; }
  void Await(std::latch& latch) override { latch.wait(); }
  void StayBusy(std::latch& latch) override { latch.wait(); }
  void Stop() override { executor_.Stop(); }

 private:
  RealClock clock_;
  RealExecutor executor_{4};
};

std::unique_ptr<ExecutorWorld> MakeRealWorld() { return std::make_unique<RealWorld>(); }

INSTANTIATE_TEST_SUITE_P(Real, ExecutorContract, ContractParams(&MakeRealWorld), ContractName);

TEST(GatheringStrand, WhatATurnPostsRunsInOneTurn) {
  RealExecutor executor(1);
  GatheringStrand strand(executor.NewStrand("flows"));
  std::string ran;
  std::latch done(1);
  executor.Post([&] {
    const GatheringTurn turn;
    for (const char name : {'a', 'b', 'c'}) {
      strand.Post([&ran, name] {
        ran += name;
        GatheringTurn::AtEnd([&ran, name] { ran += static_cast<char>(std::toupper(name)); });
      });
    }
    GatheringTurn::AtEnd([&strand, &done] { strand.Post([&done] { done.count_down(); }); });
  });
  done.wait();
  strand.Post([] {});
  executor.Stop();
  EXPECT_EQ(ran, "abcABC");
}

TEST(RealExecutor, DestroyingABlockingStrandWaitsForWhatWasPosted) {
  RealExecutor executor(1);
  for (const auto make : {&RealExecutor::NewBlockingStrand, &RealExecutor::NewThreadStrand}) {
    int ran = 0;  // no lock: the strand's end orders the accesses
    auto strand = (executor.*make)("disk");
    for (int i = 0; i < 500; ++i) strand->Post([&ran] { ++ran; });
    strand = nullptr;
    EXPECT_EQ(ran, 500);
  }
}

TEST(RealExecutor, BlockingStrandsShareThreadsAndAFewThatAreStuckHoldUpNoOther) {
  constexpr std::size_t kStrands = 10 * RealExecutor::kBlockingThreads;
  RealExecutor executor(1);
  std::vector<std::unique_ptr<Strand>> strands;
  for (std::size_t i = 0; i < kStrands; ++i) strands.push_back(executor.NewBlockingStrand("one"));
  std::latch go_on(1);
  std::latch stuck(RealExecutor::kBlockingThreads - 1);
  for (std::size_t i = 0; i + 1 < RealExecutor::kBlockingThreads; ++i) {
    strands[i]->Post([&] {
      stuck.count_down();
      go_on.wait();
    });
  }
  stuck.wait();
  std::latch ran(kStrands - RealExecutor::kBlockingThreads);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  for (std::size_t i = RealExecutor::kBlockingThreads; i < kStrands; ++i) {
    strands[i]->Post([&] {
      {
        std::lock_guard lock(mutex);
        threads.insert(std::this_thread::get_id());
      }
      ran.count_down();
    });
  }
  ran.wait();
  EXPECT_EQ(threads.size(), 1u) << "all but one are stuck";
  go_on.count_down();
  executor.Stop();
}

TEST(RealExecutor, AThreadIsAddedThoughAnIdleOneWasJustWoken) {
  for (int round = 0; round < 100; ++round) {
    RealExecutor executor(1);
    const auto first = executor.NewBlockingStrand("first");
    const auto second = executor.NewBlockingStrand("second");
    std::latch one_thread(1);
    first->Post([&] { one_thread.count_down(); });
    one_thread.wait();
    for (int i = 0; i < 100; ++i) std::this_thread::yield();  // most likely it is idle by now
    // Each is stuck until the other runs.
    std::latch both(2);
    std::latch done(2);
    for (Strand* const strand : {first.get(), second.get()}) {
      strand->Post([&] {
        both.arrive_and_wait();
        done.count_down();
      });
    }
    done.wait();
    executor.Stop();
  }
}

TEST(RealExecutor, AnIdleStrandRunsWhatIsDispatchedInsideTheCall) {
  RealExecutor executor(1);
  const std::unique_ptr<Strand> strand = executor.NewStrand("idle");
  bool ran = false;
  strand->Dispatch([&] { ran = strand->IsCurrent(); });
  EXPECT_TRUE(ran);
  EXPECT_FALSE(strand->IsCurrent());
  executor.Stop();
  strand->Dispatch([&] { ran = false; });
  EXPECT_TRUE(ran) << "after the stop nothing runs";
}

TEST(RealExecutor, AHurriedThreadOnlyPosts) {
  RealExecutor executor(1);
  const std::unique_ptr<Strand> strand = executor.NewStrand("hurried");
  std::latch done(1);
  const std::thread::id here = std::this_thread::get_id();
  std::thread::id there;
  {
    const HurriedTurn hurried;
    strand->Dispatch([&] {
      there = std::this_thread::get_id();
      done.count_down();
    });
  }
  done.wait();
  EXPECT_NE(there, here);
  executor.Stop();
}

TEST(RealExecutor, StopWaitsForWhatWasDispatched) {
  RealExecutor executor(1);
  const std::unique_ptr<Strand> strand = executor.NewStrand("dispatched");
  std::latch inside(1);
  std::latch go_on(1);
  std::atomic<bool> ended = false;
  std::jthread caller([&] {
    strand->Dispatch([&] {
      inside.count_down();
      go_on.wait();
      ended = true;
    });
  });
  inside.wait();
  std::jthread release([&] { go_on.count_down(); });
  executor.Stop();
  EXPECT_TRUE(ended);
}

TEST(RealExecutor, TheEndOfABlockingStrandWaitsForWhatWasDispatched) {
  RealExecutor executor(1);
  std::unique_ptr<Strand> strand = executor.NewBlockingStrand("dispatched");
  std::latch inside(1);
  std::atomic<bool> ended = false;
  std::jthread caller([&, face = strand.get()] {
    face->Dispatch([&] {
      inside.count_down();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ended = true;
    });
  });
  inside.wait();
  strand = nullptr;
  EXPECT_TRUE(ended);
  executor.Stop();
}

TEST(RealExecutor, AStrandLetsOthersHaveTheThreadFromTimeToTime) {
  RealExecutor executor(1);
  const auto hog = executor.NewStrand("hog");
  const auto other = executor.NewStrand("other");
  std::latch done(1);
  std::atomic<bool> end{false};
  std::function<void()> again = [&] {
    if (!end) hog->Post(again);
  };
  hog->Post(again);
  other->Post([&] {
    end = true;
    done.count_down();
  });
  done.wait();
  executor.Stop();
}

TEST(RealExecutor, TwoThreadsOfThePoolRunAtTheSameTime) {
  RealExecutor executor(2);
  const auto one = executor.NewStrand("one");
  const auto two = executor.NewStrand("two");
  std::latch both(2);
  std::latch done(2);
  for (Strand* const strand : {one.get(), two.get()}) {
    strand->Post([&] {
      both.arrive_and_wait();
      done.count_down();
    });
  }
  done.wait();
  executor.Stop();
}

}  // namespace
}  // namespace flotilla
