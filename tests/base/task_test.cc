#include "base/task.h"

#include <gtest/gtest.h>

#include <functional>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "base/real_executor.h"
#include "base/status.h"
#include "tests/sim/sim_process.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One strand in virtual time, and a scope on it.
class TaskTest : public ::testing::Test {
 protected:
  void Run(Duration time = seconds(1)) { loop.RunFor(time); }
  void Spawn(Task<> task) {
    OnStrand([this, task = std::move(task)]() mutable { scope->Spawn(std::move(task)); });
  }
  // Stops the scope now, and notes when it answers.
  void Stop() {
    OnStrand([this] { scope->Stop([this] { stopped = process.Now(); }); });
  }
  void OnStrand(Closure closure) { strand->Post(std::move(closure)); }
  void TearDown() override {
    if (!scope) return;
    if (!scope->stopping()) Stop();
    Run(seconds(100));
    EXPECT_TRUE(stopped.has_value());
  }

  sim::EventLoop loop;
  sim::SimProcess process{&loop, 1};
  std::unique_ptr<Strand> strand = process.NewStrand("tasks");
  std::unique_ptr<Strand> elsewhere = process.NewStrand("elsewhere");
  std::unique_ptr<TaskScope> scope = std::make_unique<TaskScope>(strand.get());
  std::optional<MonoTime> stopped;
  std::vector<std::string> log;
};

// ---- values ---------------------------------------------------------------------------------

Task<int> Number(int number) { co_return number; }

Task<int> Sum(int a, int b) {
  const int first = co_await Number(a);
  const int second = co_await Number(b);
  co_return first + second;
}

Task<std::unique_ptr<std::string>> Owned(std::unique_ptr<std::string> text) {
  co_return std::move(text);
}

Task<StatusOr<int>> Half(int number) {
  if (number % 2 != 0) co_return Error(Reason::kBadRequest, "odd");
  co_return number / 2;
}

TEST_F(TaskTest, ResultsAndErrorsComeBackThroughNestedTasks) {
  static constexpr auto kFlow = [](std::vector<std::string>* log) -> Task<> {
    const int sum = co_await Sum(20, 22);
    log->push_back(std::to_string(sum));
    auto text = std::make_unique<std::string>("moved");
    const std::unique_ptr<std::string> back = co_await Owned(std::move(text));
    log->push_back(*back);
    const StatusOr<int> good = co_await Half(10);
    const StatusOr<int> bad = co_await Half(11);
    log->push_back(std::to_string(good.value()));
    log->push_back(std::string(MessageOf(bad.status())));
  };
  Spawn(kFlow(&log));
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"42", "moved", "5", "odd"}));
}

TEST_F(TaskTest, ATaskRunsWhenItIsAwaitedAndNotBefore) {
  static constexpr auto kNote = [](std::vector<std::string>* log) -> Task<> {
    log->push_back("inner");
    co_return;
  };
  static constexpr auto kFlow = [](std::vector<std::string>* log) -> Task<> {
    Task<> inner = kNote(log);
    const Task<> never = kNote(log);
    log->push_back("outer");
    co_await std::move(inner);
    log->push_back("end");
  };
  Spawn(kFlow(&log));
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"outer", "inner", "end"}));
}

TEST_F(TaskTest, SpawnStartsLaterAndOnTheStrand) {
  static constexpr auto kFlow = [](TaskTest* test, Strand* on,
                                   std::vector<std::string>* log) -> Task<> {
    log->push_back(on->IsCurrent() ? "on the strand" : "elsewhere");
    co_return;
  };
  OnStrand([this] {
    scope->Spawn(kFlow(this, strand.get(), &log));
    log.push_back("spawned");
  });
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"spawned", "on the strand"}));
}

// ---- depth ----------------------------------------------------------------------------------

Task<int> Deep(int levels) {
  if (levels == 0) co_return 0;
  const int below = co_await Deep(levels - 1);
  co_return below + 1;
}

TEST_F(TaskTest, DeepRecursionAndLongLoopsKeepTheStackFlat) {
  static constexpr auto kFlow = [](int* depth, int* sum) -> Task<> {
    *depth = co_await Deep(200'000);
    for (int i = 0; i < 300'000; ++i) {
      const int one = co_await Number(1);
      *sum += one;
    }
  };
  int depth = 0;
  int sum = 0;
  Spawn(kFlow(&depth, &sum));
  Run();
  EXPECT_EQ(depth, 200'000);
  EXPECT_EQ(sum, 300'000);
}

// ---- sleeping ------------------------------------------------------------------

Task<> SleepAndNote(Duration time, std::string name, std::vector<std::string>* log) {
  const bool go_on = co_await SleepFor(time);
  log->push_back(name + (go_on ? " slept" : " stopped"));
}

TEST_F(TaskTest, SleepTakesItsTime) {
  static constexpr auto kFlow = [](const Clock* clock, Duration* took) -> Task<> {
    const MonoTime start = clock->Now();
    const bool go_on = co_await SleepFor(milliseconds(30));
    EXPECT_TRUE(go_on);
    *took = clock->Now() - start;
  };
  Duration took{0};
  Spawn(kFlow(&process, &took));
  Run();
  EXPECT_GE(took, milliseconds(30));
  EXPECT_LT(took, milliseconds(31));
}

TEST_F(TaskTest, TasksOfAScopeTakeTurnsAtTheirAwaits) {
  Spawn(SleepAndNote(milliseconds(30), "c", &log));
  Spawn(SleepAndNote(milliseconds(10), "a", &log));
  Spawn(SleepAndNote(milliseconds(20), "b", &log));
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"a slept", "b slept", "c slept"}));
}

TEST_F(TaskTest, ASleepOfNoTimeLetsWhatWaitsRunFirst) {
  static constexpr auto kFlow = [](Strand* strand, std::vector<std::string>* log) -> Task<> {
    strand->Post([log] { log->push_back("waiting"); });
    const bool go_on = co_await SleepFor(Duration(0));
    log->push_back(go_on ? "after" : "stopped");
  };
  Spawn(kFlow(strand.get(), &log));
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"waiting", "after"}));
}

// ---- stopping -------------------------------------------------------------------------------

TEST_F(TaskTest, StopOfAnIdleScopeIsAnsweredLater) {
  OnStrand([this] {
    scope->Stop([this] { log.push_back("stopped"); });
    log.push_back("stopping");
  });
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"stopping", "stopped"}));
  scope = nullptr;
}

TEST_F(TaskTest, StopEndsSleepsEarlyInTheirOrderAndJoins) {
  Spawn(SleepAndNote(std::chrono::hours(2), "a", &log));
  Spawn(SleepAndNote(std::chrono::hours(1), "b", &log));
  Run();
  EXPECT_TRUE(log.empty());
  const MonoTime asked = process.Now();
  Stop();
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"a stopped", "b stopped"}));
  ASSERT_TRUE(stopped.has_value());
  EXPECT_LT(*stopped - asked, milliseconds(1));
  // The timers are gone: nothing happens when their time comes.
  Run(std::chrono::hours(3));
  EXPECT_EQ(log.size(), 2u);
}

TEST_F(TaskTest, AwaitsOfAStoppingScopeDoNotWaitAndSayStop) {
  static constexpr auto kFlow = [](std::vector<std::string>* log) -> Task<> {
    for (int i = 0; i < 3; ++i) {
      const bool slept = co_await SleepFor(seconds(10));
      const bool yielded = co_await SleepFor(Duration(0));
      log->push_back(std::to_string(slept) + std::to_string(yielded));
    }
  };
  Spawn(kFlow(&log));
  Run();
  const MonoTime asked = process.Now();
  Stop();
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"00", "00", "00"}));
  ASSERT_TRUE(stopped.has_value());
  EXPECT_LT(*stopped - asked, milliseconds(1));
}

TEST_F(TaskTest, StopIsAnsweredAfterTheLastTaskAndWhatItSpawned) {
  static constexpr auto kTidyUp = [](TaskTest* test, std::vector<std::string>* log) -> Task<> {
    const bool go_on = co_await SleepFor(Duration(0));
    log->push_back(go_on ? "tidied in peace" : "tidied");
  };
  static constexpr auto kFlow = [](TaskTest* test, TaskScope* scope,
                                   std::vector<std::string>* log) -> Task<> {
    co_await SleepFor(seconds(10));
    scope->Spawn(kTidyUp(test, log));
    log->push_back("ended");
  };
  Spawn(kFlow(this, scope.get(), &log));
  Run();
  OnStrand([this] {
    scope->Stop([this] {
      log.push_back("joined");
      scope = nullptr;  // allowed from here on
    });
  });
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"ended", "tidied", "joined"}));
}

// ---- callbacks ------------------------------------------------------------------------------

Task<> WaitFor(std::optional<Completion<std::string>>* slot, Strand* on,
               std::vector<std::string>* log) {
  const std::string value = co_await AwaitCallback<std::string>(
      [slot](Completion<std::string> done) { slot->emplace(std::move(done)); });
  log->push_back(value + (on->IsCurrent() ? "" : ", on the wrong strand"));
}

TEST_F(TaskTest, ACompletionResumesTheTaskOnItsStrandAndNeverInsideTheCall) {
  std::optional<Completion<std::string>> slot;
  Spawn(WaitFor(&slot, strand.get(), &log));
  Run();
  ASSERT_TRUE(slot.has_value());
  elsewhere->Post([&] {
    (*slot)("value");
    log.push_back("called");
  });
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"called", "value"}));
}

TEST_F(TaskTest, ACompletionMayComeBeforeTheCallReturns) {
  static constexpr auto kFlow = [](std::vector<std::string>* log) -> Task<> {
    const int value = co_await AwaitCallback<int>([log](Completion<int> done) {
      done(7);
      log->push_back("started");
    });
    log->push_back(std::to_string(value));
  };
  Spawn(kFlow(&log));
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"started", "7"}));
}

TEST_F(TaskTest, ACompletionGoesWhereACallbackGoes) {
  static constexpr auto kFlow = [](Strand* other, std::vector<std::string>* log) -> Task<> {
    const auto call = [other](UniqueFunction<void(StatusOr<int>)> done) {
      other->Post([done = std::move(done)]() mutable { done(Error(Reason::kOverloaded, "full")); });
    };
    const StatusOr<int> answer = co_await AwaitCallback<StatusOr<int>>(
        [&](Completion<StatusOr<int>> done) { call(std::move(done)); });
    log->push_back(std::string(MessageOf(answer.status())));
  };
  Spawn(kFlow(elsewhere.get(), &log));
  Run();
  EXPECT_EQ(log, std::vector<std::string>{"full"});
}

TEST_F(TaskTest, StopWaitsForCallbacks) {
  std::optional<Completion<std::string>> slot;
  Spawn(WaitFor(&slot, strand.get(), &log));
  Run();
  Stop();
  Run(std::chrono::hours(1));
  EXPECT_FALSE(stopped.has_value());
  (*slot)("late");
  Run();
  EXPECT_EQ(log, std::vector<std::string>{"late"});
  EXPECT_TRUE(stopped.has_value());
}

// ---- the end of the process -----------------------------------------------------------------

// Says when it is destroyed.
struct Held {
  Held(std::string text, std::vector<std::string>* to) : name(std::move(text)), log(to) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { log->push_back(name + " destroyed"); }
  const std::string name;
  std::vector<std::string>* const log;
};

Task<> HoldInside(std::optional<Completion<std::string>>* slot, Strand* on,
                  std::vector<std::string>* log) {
  const Held inner("inner", log);
  co_await WaitFor(slot, on, log);
  log->push_back("went on");
}

Task<> Hold(std::optional<Completion<std::string>>* slot, Strand* on,
            std::vector<std::string>* log) {
  const Held outer("outer", log);
  co_await HoldInside(slot, on, log);
  log->push_back("went on");
}

TEST_F(TaskTest, AKilledProcessTakesItsTasksWithItAndLateCompletionsAreDropped) {
  std::optional<Completion<std::string>> slot;
  Spawn(Hold(&slot, strand.get(), &log));
  Spawn(SleepAndNote(seconds(60), "sleeper", &log));
  Run();
  Spawn(SleepAndNote(seconds(60), "not started", &log));
  process.Stop();
  scope = nullptr;
  EXPECT_EQ(log, (std::vector<std::string>{"inner destroyed", "outer destroyed"}));
  strand = nullptr;
  (*slot)("too late");
  Run();
  EXPECT_EQ(log.size(), 2u);
}

TEST_F(TaskTest, ACompletionOnItsWayWhenTheProcessIsKilledIsDropped) {
  std::optional<Completion<std::string>> slot;
  Spawn(WaitFor(&slot, strand.get(), &log));
  Run();
  (*slot)("posted");
  process.Stop();
  scope = nullptr;
  Run();
  EXPECT_TRUE(log.empty());
}

// ---- mistakes -------------------------------------------------------------------------------

using TaskDeathTest = TaskTest;

TEST_F(TaskDeathTest, AScopeIsNotDestroyedOverLiveTasks) {
  Spawn(SleepAndNote(seconds(60), "sleeper", &log));
  Run();
  EXPECT_DEATH(scope = nullptr, "1 tasks live in a scope that is destroyed");
}

TEST_F(TaskDeathTest, NothingIsSpawnedInAScopeThatHasStopped) {
  Stop();
  Run();
  Spawn(SleepAndNote(seconds(1), "late", &log));
  EXPECT_DEATH(Run(), "the scope has stopped");
  process.Stop();
}

TEST_F(TaskDeathTest, AScopeIsUsedOnItsStrandOnly) {
  EXPECT_DEATH(scope->Spawn(SleepAndNote(seconds(1), "x", &log)), "IsCurrent");
  EXPECT_DEATH(scope->Stop([] {}), "IsCurrent");
}

TEST_F(TaskDeathTest, ACompletionIsCalledOnce) {
  std::optional<Completion<std::string>> slot;
  Spawn(WaitFor(&slot, strand.get(), &log));
  Run();
  (*slot)("once");
  EXPECT_DEATH((*slot)("twice"), "a completion is called once");
}

// ---- on threads -----------------------------------------------------------------------------

// Adds up what callbacks on the pool bring, which come back to the strand each time.
Task<> AddUp(Executor* pool, int rounds, int* sum) {
  for (int i = 0; i < rounds; ++i) {
    const int one = co_await AwaitCallback<int>([pool](Completion<int> done) {
      pool->Post([done = std::move(done)]() mutable { done(1); });
    });
    *sum += one;  // no lock: the strand's
    co_await SleepFor(Duration(0));
  }
}

TEST(TaskThreads, CompletionsFromManyThreadsComeBackToOneStrand) {
  constexpr int kTasks = 20;
  constexpr int kRounds = 200;
  RealExecutor executor(4);
  const auto strand = executor.NewStrand("tasks");
  TaskScope scope(strand.get());
  int sum = 0;
  std::latch joined(1);
  strand->Post([&] {
    for (int i = 0; i < kTasks; ++i) scope.Spawn(AddUp(&executor, kRounds, &sum));
    scope.Stop([&] { joined.count_down(); });
  });
  joined.wait();
  EXPECT_EQ(sum, kTasks * kRounds);
  executor.Stop();
}

Task<> SleepLong(std::latch* started, std::latch* ended) {
  started->count_down();
  const bool go_on = co_await SleepFor(std::chrono::hours(1));
  EXPECT_FALSE(go_on);
  ended->count_down();
}

TEST(TaskThreads, StopEndsASleepThatHasBegun) {
  RealExecutor executor(2);
  const auto strand = executor.NewBlockingStrand("tasks");
  TaskScope scope(strand.get());
  std::latch started(1);
  std::latch ended(1);
  std::latch joined(1);
  strand->Post([&] { scope.Spawn(SleepLong(&started, &ended)); });
  started.wait();
  strand->Post([&] { scope.Stop([&] { joined.count_down(); }); });
  ended.wait();
  joined.wait();
  executor.Stop();
}

TEST(TaskThreads, AnExecutorThatStopsUnderTasksTakesThemAlong) {
  std::optional<Completion<std::string>> slot;
  std::vector<std::string> log;
  std::latch waiting(1);
  RealExecutor executor(2);
  const auto strand = executor.NewStrand("tasks");
  auto scope = std::make_unique<TaskScope>(strand.get());
  strand->Post([&] {
    scope->Spawn(Hold(&slot, strand.get(), &log));
    strand->Post([&] { waiting.count_down(); });
  });
  waiting.wait();
  // While completions come from a thread that knows nothing of the stop.
  std::thread caller([&] { (*slot)("value"); });
  executor.Stop();
  scope = nullptr;
  caller.join();
  EXPECT_EQ(log.back(), "outer destroyed");
}

}  // namespace
}  // namespace flotilla
