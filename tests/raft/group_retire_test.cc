// A group that goes while its node lives on: with writes, flushes and reads under way, on threads.

#include <gtest/gtest.h>
#include <spdlog/sinks/null_sink.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/real_executor.h"
#include "raft/group.h"
#include "tests/sim/sim_file_system.h"

namespace flotilla::raft {
namespace {

// Counts its way, and flushes on a thread of its own.
class Counting final : public StateMachine {
 public:
  explicit Counting(Executor* executor) : flusher_(executor->NewThreadStrand("flusher")) {
    mark_.configuration.voters = {NodeId(1)};
  }
  Status Apply(std::vector<AppliedEntry>& entries) override {
    applied_.store(entries.back().entry.index.value());
    return absl::OkStatus();
  }
  Index applied() const override { return Index(applied_.load()); }
  Index durable() const override { return Index(); }
  SnapshotMark mark() const override { return mark_; }
  void Flush(UniqueFunction<void(StatusOr<Index>)> done) override {
    flusher_->Post([this, done = std::move(done)]() mutable { done(applied()); });
  }
  StatusOr<SnapshotInfo> TakeSnapshot() override { return SnapshotInfo(); }
  void DropSnapshot(const SnapshotInfo&) override {}
  Status InstallSnapshot(const std::string&, const SnapshotMark&) override {
    return absl::OkStatus();
  }

 private:
  std::atomic<std::uint64_t> applied_{0};
  SnapshotMark mark_;
  const std::unique_ptr<Strand> flusher_;
};

class Silent final : public Transport {
 public:
  void Start(ClusterId, NodeId, TransportHandler*) override {}
  void SetPeers(const std::vector<PeerAddress>&) override {}
  void Send(std::vector<PeerMessage>) override {}
  void CallAddress(const std::string&, std::uint32_t, Bytes, Duration,
                   UniqueFunction<void(StatusOr<Bytes>)>) override {}
  void SetAddressCallHandler(AddressCallHandler) override {}
  void Stop() override {}
};

class Waiting final : public Proposal {
 public:
  explicit Waiting(std::atomic<int>* open) : open_(open) { ++*open_; }
  ~Waiting() override { --*open_; }
  void Fail(const Status&) override {}

 private:
  std::atomic<int>* const open_;
};

// Proposes whenever it may, and asks for flushes.
class Busy final : public GroupListener {
 public:
  void OnRun() override {
    if (group == nullptr || group->core().role() != Role::kLeader) return;
    for (int i = 0; i < 3; ++i) {
      std::unique_ptr<Proposal> proposal = std::make_unique<Waiting>(&open);
      group->Propose(Bytes(std::string(2000, 'x')), proposal);
    }
    group->Compact([](const StatusOr<Index>&) {});
  }
  void OnLeadership(const LeadershipChange&) override {}
  void OnApplied(Index index) override { applied.store(index.value()); }
  void OnAwake() override {}
  void OnReadConfirmed(const ReadConfirmed&) override {}
  void OnReadRefused(const ReadRefused&) override {}
  void OnConfiguration(const Configuration&) override {}
  void OnFatal(const Status& status) override { ADD_FAILURE() << status; }

  Group* group = nullptr;
  std::atomic<int> open{0};
  std::atomic<std::uint64_t> applied{0};
};

TEST(GroupRetire, NothingIsUnderWayAfterwards) {
  RealExecutor executor(3);
  RealClock clock;
  sim::SimFileSystem files;
  Silent transport;
  Log::World log_world;
  log_world.files = &files;
  log_world.clock = &clock;
  log_world.writer = executor.NewThreadStrand("log");
  log_world.on_fatal = [](const Status& status) { ADD_FAILURE() << status; };
  LogRecovery recovery;
  LogOptions log_options;
  log_options.directory = "/log";
  log_options.segment_bytes = 1 << 20;
  auto log = Log::Open(log_options, std::move(log_world), recovery);
  ASSERT_TRUE(log.ok()) << log.status();
  const std::unique_ptr<Strand> catch_up = executor.NewThreadStrand("catch-up");
  for (std::uint64_t round = 1; round <= 60; ++round) {
    Busy listener;
    auto machine = std::make_unique<Counting>(&executor);
    GroupOptions options;
    options.group = GroupId(round);
    options.core.self = NodeId(1);
    Group::World world;
    world.executor = &executor;
    world.clock = &clock;
    world.log = log->get();
    world.transport = &transport;
    world.catch_up = catch_up.get();
    world.machine = machine.get();
    world.listener = &listener;
    world.logger =
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::null_sink_mt>());
    RestoredState restored;
    restored.snapshot = machine->mark();
    auto group = std::make_unique<Group>(options, world, restored);
    group->Post([&] { listener.group = group.get(); });
    const MonoTime end = clock.Now() + std::chrono::seconds(20);
    while (listener.applied.load() < 1 + round % 7) {
      ASSERT_LT(clock.Now(), end) << "the group does nothing";
      group->Tick();
      std::this_thread::yield();
    }
    std::promise<void> gone;
    group->Retire([&] { gone.set_value(); });
    group->Tick();
    ASSERT_EQ(gone.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
    EXPECT_EQ(group->Hold(), nullptr);
    group = nullptr;
    machine = nullptr;
    EXPECT_EQ(listener.open, 0) << "a proposal has no answer";
    // All but its vote goes with it.
    ASSERT_TRUE(
        (*log)
            ->Append(Forgetting(options.group, (*log)->hard_state(options.group), {}), nullptr)
            .ok());
    EXPECT_GT((*log)->hard_state(options.group).term, Term());
  }
  executor.Stop();
}

}  // namespace
}  // namespace flotilla::raft
