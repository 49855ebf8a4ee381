// A group that goes while its node lives on, with writes, flushes and reads under way, on threads;
// and one whose state machine cannot write any more.

#include <gtest/gtest.h>
#include <spdlog/sinks/null_sink.h>

#include <atomic>
#include <functional>
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
    flusher_->Post([this, done = std::move(done)]() mutable {
      if (flushes.ok()) {
        done(applied());
      } else {
        done(flushes);
      }
    });
  }
  StatusOr<SnapshotInfo> TakeSnapshot() override { return SnapshotInfo(); }
  void DropSnapshot(const SnapshotInfo&) override {}
  Status InstallSnapshot(const std::string&, const SnapshotMark&) override {
    return absl::OkStatus();
  }

  Status flushes;  // what a flush answers

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
  void OnFatal(const Status& status) override {
    if (!fatal_expected) ADD_FAILURE() << status;
    fatal.store(true);
  }

  Group* group = nullptr;
  bool fatal_expected = false;
  std::atomic<bool> fatal{false};
  std::atomic<int> open{0};
  std::atomic<std::uint64_t> applied{0};
};

// A node with a log and nobody to talk to.
class GroupRetire : public testing::Test {
 protected:
  GroupRetire() {
    Log::World world;
    world.files = &files_;
    world.clock = &clock;
    world.writer = executor.NewThreadStrand("log");
    world.on_fatal = [](const Status& status) { ADD_FAILURE() << status; };
    LogRecovery recovery;
    LogOptions options;
    options.directory = "/log";
    options.segment_bytes = 1 << 20;
    log = Log::Open(options, std::move(world), recovery).value();
  }
  ~GroupRetire() override { executor.Stop(); }

  std::unique_ptr<Group> MakeGroup(GroupId id, Counting& machine, Busy& listener) {
    GroupOptions options;
    options.group = id;
    options.core.self = NodeId(1);
    Group::World world;
    world.executor = &executor;
    world.clock = &clock;
    world.log = log.get();
    world.transport = &transport_;
    world.catch_up = catch_up_.get();
    world.machine = &machine;
    world.listener = &listener;
    world.logger =
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::null_sink_mt>());
    RestoredState restored;
    restored.snapshot = machine.mark();
    auto group = std::make_unique<Group>(options, world, restored);
    group->Post([&listener, group = group.get()] { listener.group = group; });
    return group;
  }

  // Ticks until `reached`.
  testing::AssertionResult Await(Group& group, const std::function<bool()>& reached) {
    const MonoTime end = clock.Now() + std::chrono::seconds(20);
    while (!reached()) {
      if (clock.Now() > end) return testing::AssertionFailure() << "the group does nothing";
      group.Tick();
      std::this_thread::yield();
    }
    return testing::AssertionSuccess();
  }

  static testing::AssertionResult Retire(Group& group) {
    std::promise<void> gone;
    group.Retire([&] { gone.set_value(); });
    group.Tick();
    if (gone.get_future().wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      return testing::AssertionFailure() << "the group does not go";
    }
    return testing::AssertionSuccess();
  }

  RealExecutor executor{3};
  RealClock clock;
  std::unique_ptr<Log> log;

 private:
  sim::SimFileSystem files_;
  Silent transport_;
  const std::unique_ptr<Strand> catch_up_ = executor.NewThreadStrand("catch-up");
};

TEST_F(GroupRetire, NothingIsUnderWayAfterwards) {
  for (std::uint64_t round = 1; round <= 60; ++round) {
    const GroupId id(round);
    Busy listener;
    Counting machine(&executor);
    std::unique_ptr<Group> group = MakeGroup(id, machine, listener);
    ASSERT_TRUE(Await(*group, [&] { return listener.applied.load() >= 1 + round % 7; }));
    ASSERT_TRUE(Retire(*group));
    EXPECT_EQ(group->Hold(), nullptr);
    group = nullptr;
    EXPECT_EQ(listener.open, 0) << "a proposal has no answer";
    // All but its vote goes with it.
    ASSERT_TRUE(log->Append(Forgetting(id, log->hard_state(id), {}), nullptr).ok());
    EXPECT_GT(log->hard_state(id).term, Term());
  }
}

// The listener asks for flushes; an idle group would otherwise never hear of its broken disk.
TEST_F(GroupRetire, AFlushThatFailsIsFatalUnlessTheDiskIsFull) {
  for (const Reason reason : {Reason::kInternal, Reason::kDiskFull}) {
    const GroupId id(reason == Reason::kInternal ? 1 : 2);
    Busy listener;
    listener.fatal_expected = reason == Reason::kInternal;
    Counting machine(&executor);
    machine.flushes = Error(reason, "flushing");
    std::unique_ptr<Group> group = MakeGroup(id, machine, listener);
    if (listener.fatal_expected) {
      ASSERT_TRUE(Await(*group, [&] { return listener.fatal.load(); }));
    } else {
      ASSERT_TRUE(Await(*group, [&] { return listener.applied.load() >= 20; }));
    }
    ASSERT_TRUE(Retire(*group));
  }
}

}  // namespace
}  // namespace flotilla::raft
