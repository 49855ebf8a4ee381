// The simulated executor under the contract, and what only virtual time can show.
#include "tests/base/executor_contract.h"

#include "tests/sim/sim_process.h"

namespace flotilla::sim {
namespace {

using std::chrono::seconds;

class SimWorld final : public ExecutorWorld {
 public:
  Executor& executor() override { return process_; }
  const Clock& clock() override { return process_; }
  void Await(std::latch& latch) override {
    for (int i = 0; i < 1000 && !latch.try_wait(); ++i) loop_.RunFor(milliseconds(10));
    EXPECT_TRUE(latch.try_wait()) << "it has not happened in ten virtual seconds";
  }
  void StayBusy(std::latch&) override { loop_.Charge(seconds(1)); }
  void Stop() override { process_.Stop(); }

 private:
  EventLoop loop_;
  SimProcess process_{&loop_, 1};
};

std::unique_ptr<ExecutorWorld> MakeSimWorld() { return std::make_unique<SimWorld>(); }

}  // namespace
}  // namespace flotilla::sim

namespace flotilla {
INSTANTIATE_TEST_SUITE_P(Simulated, ExecutorContract, ContractParams(&sim::MakeSimWorld),
                         ContractName);
}  // namespace flotilla

namespace flotilla::sim {
namespace {

TEST(SimStrand, OrderHoldsWhenTheStrandIsBusyWhileOthersPost) {
  EventLoop loop;
  SimProcess process(&loop, 1);
  const auto strand = process.NewStrand("busy");
  const auto other = process.NewStrand("other");
  std::vector<std::string> ran;
  strand->Post([&] {
    other->Post([&] { strand->Post([&] { ran.push_back("posted second"); }); });
    strand->Post([&] { ran.push_back("posted first"); });
    loop.Charge(seconds(1));
  });
  loop.RunFor(seconds(2));
  EXPECT_EQ(ran, (std::vector<std::string>{"posted first", "posted second"}));
}

TEST(SimStrand, ASyncThatHangsEndsWithTheHang) {
  EventLoop loop;
  const auto sync_time = std::make_shared<Duration>(seconds(60));
  SimProcess process(&loop, 1, sync_time);
  const auto log = process.NewBlockingStrand("log");
  std::vector<int> ran;
  for (int i = 0; i < 3; ++i) log->Post([&, i] { ran.push_back(i); });
  log->After(seconds(30), [&] { ran.push_back(3); });
  loop.RunFor(seconds(10));
  EXPECT_TRUE(ran.empty());
  *sync_time = seconds(1);
  process.OnSyncTime();
  loop.RunFor(seconds(2));
  EXPECT_EQ(ran, (std::vector<int>{0, 1}));
  log->Post([&] { ran.push_back(4); });
  loop.RunFor(seconds(5));
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2, 4}));
  loop.RunFor(seconds(500));
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2, 4, 3}))
      << "a timer keeps its time, and none runs twice";
}

TEST(SimStrand, ASyncThatTakesItsTimeHoldsUpItsOwnStrandInTheMidst) {
  EventLoop loop;
  const auto sync_time = std::make_shared<Duration>(seconds(60));
  SimProcess process(&loop, 1, sync_time);
  process.SyncsTakeTheirTime();
  const auto log = process.NewBlockingStrand("log");
  const auto other = process.NewStrand("other");
  std::vector<std::string> ran;
  log->Post([&] {
    ran.push_back("written");
    process.AwaitSync();
    EXPECT_TRUE(log->IsCurrent());
    ran.push_back("synced");
  });
  loop.RunFor(seconds(1));
  log->Post([&] { ran.push_back("next"); });
  other->Post([&] {
    process.AwaitSync();
    EXPECT_FALSE(log->IsCurrent());
    ran.push_back("other");
  });
  loop.RunFor(seconds(9));
  EXPECT_EQ(ran, (std::vector<std::string>{"written", "other"}));
  *sync_time = seconds(1);
  process.OnSyncTime();
  loop.RunFor(seconds(2));
  EXPECT_EQ(ran, (std::vector<std::string>{"written", "other", "synced", "next"}));
}

TEST(SimStrand, WhatWaitsForASyncGoesOnAtTheEndOfItsProcess) {
  EventLoop loop;
  SimProcess process(&loop, 1, std::make_shared<Duration>(seconds(60)));
  process.SyncsTakeTheirTime();
  const auto log = process.NewBlockingStrand("log");
  bool went_on = false;
  log->Post([&] {
    process.AwaitSync();
    process.AwaitSync();
    went_on = true;
  });
  loop.RunFor(seconds(1));
  EXPECT_FALSE(went_on);
  process.Stop();
  EXPECT_TRUE(went_on);
}

TEST(SimProcess, ItsEndTouchesNoOtherProcessAndNotItsSuccessor) {
  EventLoop loop;
  SimProcess other(&loop, 2);
  const auto others_strand = other.NewStrand("other");
  int ran = 0;
  {
    SimProcess process(&loop, 1);
    const auto strand = process.NewStrand("first life");
    strand->Post([&] { ADD_FAILURE() << "the process is dead"; });
    others_strand->Post([&] { ++ran; });
    process.Stop();
  }
  SimProcess process(&loop, 1);
  const auto strand = process.NewStrand("second life");
  strand->Post([&] { ++ran; });
  loop.RunFor(seconds(1));
  EXPECT_EQ(ran, 2);
}

TEST(SimProcess, APausedProcessRunsNothingAndThenEverythingInOrder) {
  EventLoop loop;
  SimProcess process(&loop, 1);
  const auto strand = process.NewStrand("paused");
  std::vector<int> ran;
  for (int i = 0; i < 3; ++i) strand->Post([&, i] { ran.push_back(i); });
  strand->After(seconds(1), [&] { ran.push_back(3); });
  loop.Pause(1);
  loop.RunFor(seconds(5));
  EXPECT_TRUE(ran.empty());
  loop.Resume(1, Duration(0));
  loop.RunFor(seconds(1));
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2, 3}));
}

}  // namespace
}  // namespace flotilla::sim
