// The real executor under the contract, and what only it promises.
#include "base/real_executor.h"
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

TEST(RealExecutor, DestroyingABlockingStrandWaitsForWhatWasPosted) {
  RealExecutor executor(1);
  int ran = 0;  // no lock: the strand's end orders the accesses
  auto strand = executor.NewBlockingStrand("disk");
  for (int i = 0; i < 500; ++i) strand->Post([&ran] { ++ran; });
  strand = nullptr;
  EXPECT_EQ(ran, 500);
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
