// How much of its log a leader keeps while a learner receives a snapshot and catches up: one that
// writes on, with a learner played by the test, in virtual time.

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/logger.h"
#include "raft/group.h"
#include "raft/snapshot_wire.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_process.h"

namespace flotilla::raft {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr GroupId kGroup{7};
constexpr NodeId kSelf{1};
constexpr NodeId kLearner{2};
constexpr std::uint64_t kCompactAfter = 16 << 10;

// Has on disk what was flushed, and snapshots without files.
class Counting final : public StateMachine {
 public:
  Status Apply(std::vector<AppliedEntry>& entries) override {
    for (const AppliedEntry& one : entries) {
      mark_.index = one.entry.index;
      mark_.term = one.entry.term;
      if (one.entry.kind != EntryKind::kConfiguration) continue;
      EXPECT_TRUE(DecodeConfiguration(one.entry.payload.view(), mark_.configuration));
    }
    return absl::OkStatus();
  }
  Index applied() const override { return mark_.index; }
  Index durable() const override { return durable_; }
  SnapshotMark mark() const override { return mark_; }
  void Flush(UniqueFunction<void(StatusOr<Index>)> done) override {
    ++flushes;
    durable_ = mark_.index;
    done(durable_);
  }
  StatusOr<SnapshotInfo> TakeSnapshot() override {
    ++snapshots;
    durable_ = mark_.index;
    return SnapshotInfo{.mark = mark_, .directory = "/snapshot", .files = {}};
  }
  void DropSnapshot(const SnapshotInfo&) override {}
  Status InstallSnapshot(const std::string&, const SnapshotMark&) override {
    return absl::OkStatus();
  }

  int snapshots = 0;
  int flushes = 0;

 private:
  SnapshotMark mark_;
  Index durable_;
};

class Idle final : public GroupListener {
 public:
  void OnRun() override {}
  void OnLeadership(const LeadershipChange&) override {}
  void OnApplied(Index) override {}
  void OnAwake() override {}
  void OnReadConfirmed(const ReadConfirmed&) override {}
  void OnReadRefused(const ReadRefused&) override {}
  void OnConfiguration(const Configuration&) override {}
  void OnFatal(const Status& status) override { ADD_FAILURE() << status; }
};

class Nobody final : public Proposal {
 public:
  void Fail(const Status&) override {}
};

// The learner's node: hears, answers, and takes in what the test lets it.
class Learner final : public Transport {
 public:
  void Send(std::vector<PeerMessage> messages) override {
    for (PeerMessage& message : messages) {
      if (auto* call = std::get_if<Call>(&message.payload)) {
        Note(*call);
        if (receives) Answer(*call);
      } else if (hears) {
        Hear(std::get<GroupMessage>(message.payload).message);
      }
    }
  }
  void Start(ClusterId, NodeId, TransportHandler*) override {}
  void SetPeers(const std::vector<PeerAddress>&) override {}
  void CallAddress(const std::string&, std::uint32_t, Bytes, Duration,
                   UniqueFunction<void(StatusOr<Bytes>)>) override {}
  void SetAddressCallHandler(AddressCallHandler) override {}
  void Stop() override {}

  Group* group = nullptr;
  PeerCalls* calls = nullptr;
  bool hears = true;     // messages
  bool receives = true;  // snapshots
  bool appends = true;   // entries
  int heard_calls = 0;
  std::set<Index> opened;  // snapshots
  Index has;

 private:
  void Note(const Call& call) {
    ++heard_calls;
    const StatusOr<SnapshotOpen> open = DecodeSnapshotOpen(call.body.view());
    if (open.ok()) opened.insert(open->index);
  }
  void Answer(const Call& call) const {
    const bool opens = call.method == static_cast<std::uint32_t>(PeerMethod::kSnapshotOpen);
    calls->OnCall(kLearner,
                  {.id = call.id,
                   .answer = true,
                   .method = call.method,
                   .bulk = true,
                   .body = Bytes(EncodeSnapshotAnswer(opens ? EncodeOffsets({}) : std::string()))});
  }
  void Hear(const Message& message) {
    if (const auto* beat = std::get_if<Heartbeat>(&message.body)) {
      if (beat->read_round != 0) Reply(message.term, HeartbeatReply{beat->read_round});
    } else if (const auto* snapshot = std::get_if<SnapshotRequest>(&message.body)) {
      has = std::max(has, snapshot->mark.index);
    } else if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
      if (!appends || append->previous_index > has) return;
      has = std::max(has, append->previous_index + append->entries.size());
      AppendReply reply;
      reply.accepted = true;
      reply.match = has;
      Reply(message.term, reply);
    }
  }
  void Reply(Term term, MessageBody body) const {
    std::vector<Message> messages(1);
    messages[0] = {.from = kLearner, .to = kSelf, .term = term, .body = std::move(body)};
    group->Receive(std::move(messages));
  }
};

class GroupLog : public testing::Test {
 protected:
  // Leads alone, and has written a little. The node may have so much log, and writes on past it.
  void Start(std::size_t log_bytes_soft_max = 64 << 20) {
    Log::World disk;
    disk.files = &disk_;
    disk.clock = &process_;
    disk.writer = process_.NewBlockingStrand("log");
    disk.on_fatal = [](const Status& status) { ADD_FAILURE() << status; };
    LogOptions log_options;
    log_options.directory = "/log";
    log_options.segment_bytes = 64 << 10;
    log_options.live_bytes_soft_max = log_bytes_soft_max;
    LogRecovery recovery;
    log_ = Log::Open(log_options, std::move(disk), recovery).value();
    GroupOptions options;
    options.group = kGroup;
    options.core.self = kSelf;
    options.core.inflight_bytes_max = 4 << 10;
    options.compact_after_bytes = kCompactAfter;
    calls_.SetSelf(kSelf);
    RestoredState restored;
    restored.snapshot.configuration.voters = {kSelf};
    group_ = std::make_unique<Group>(options,
                                     Group::World{.executor = &process_,
                                                  .clock = &process_,
                                                  .log = log_.get(),
                                                  .transport = &learner,
                                                  .catch_up = catch_up_.get(),
                                                  .snapshots = &transfer_,
                                                  .machine = &machine,
                                                  .listener = &listener_,
                                                  .logger = NullLogger()},
                                     restored);
    learner.group = group_.get();
    learner.calls = &calls_;
    group_->Post([this] { group_->Campaign(); });
    Pass(milliseconds(100));
    ASSERT_EQ(group_->core().role(), Role::kLeader);
    Write(4 << 10);
  }
  void TearDown() override { process_.Stop(); }

  // The learner is to get a snapshot, which does not arrive unless the test lets it.
  void AddLearner() {
    learner.receives = false;
    Change({kLearner});
    ASSERT_EQ(machine.snapshots, 1);
    snapshot = machine.mark().index;
  }

  void Change(const std::set<NodeId>& learners) {
    group_->Post([this, learners] {
      EXPECT_EQ(group_->ProposeMembership({.voters = {kSelf}, .learners = learners, .context = {}}),
                MembershipRefusal::kNone);
    });
    Pass(milliseconds(100));
  }

  void Pass(Duration time) {
    for (const MonoTime end = loop_.now() + time; loop_.now() < end;) {
      group_->Tick();
      loop_.RunFor(milliseconds(10));
    }
  }

  void Write(std::size_t bytes) {
    for (; bytes > 0; bytes -= 1 << 10) {
      group_->Post([this] {
        std::unique_ptr<Proposal> proposal = std::make_unique<Nobody>();
        EXPECT_TRUE(group_->Propose(Bytes(std::string(1 << 10, 'x')), proposal).first);
      });
      loop_.RunFor(milliseconds(1));
    }
    Pass(seconds(1));
  }

  // It leads again at once.
  void StepDown() {
    group_->Post([this] {
      group_->StepDown();
      group_->Campaign();
    });
    Pass(milliseconds(500));
    ASSERT_EQ(group_->core().role(), Role::kLeader);
  }

  // All of it is there from here on.
  Index log_start() const { return group_->core().Status().snapshot.index; }
  Index last() const { return group_->core().last_index(); }

  Learner learner;
  Counting machine;
  Index snapshot;

 private:
  sim::EventLoop loop_;
  sim::SimProcess process_{&loop_, 1};
  sim::SimFileSystem disk_;
  const std::unique_ptr<Strand> control_ = process_.NewStrand("control");
  const std::unique_ptr<Strand> catch_up_ = process_.NewBlockingStrand("catch-up");
  PeerCalls calls_{&learner, &process_, control_.get()};
  SnapshotTransfer transfer_{{},
                             &disk_,
                             &process_,
                             &calls_,
                             process_.NewBlockingStrand("snapshots"),
                             [](GroupId) { return "/incoming"; },
                             NullLogger()};
  Idle listener_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Group> group_;
};

TEST_F(GroupLog, IsKeptFromASnapshotOnUntilItsReceiverHasCaughtUp) {
  Start();
  AddLearner();
  Write(8 * kCompactAfter);
  EXPECT_EQ(log_start(), snapshot) << "what it has not, and no more";
  learner.receives = true;
  learner.appends = false;
  Pass(seconds(15));
  EXPECT_EQ(learner.has, snapshot);
  Write(8 * kCompactAfter);
  EXPECT_EQ(log_start(), snapshot);
  learner.appends = true;
  Write(8 * kCompactAfter);
  EXPECT_EQ(learner.has, last());
  EXPECT_EQ(machine.snapshots, 1);
  EXPECT_GT(log_start() + 2 * kCompactAfter / 1024, last());
  // From then on it is a follower like any other.
  learner.appends = learner.receives = false;
  Write(8 * kCompactAfter);
  EXPECT_GT(log_start(), learner.has);
}

TEST_F(GroupLog, NothingIsFlushedForWhatStays) {
  Start();
  AddLearner();
  const int flushes = machine.flushes;
  Write(8 * kCompactAfter);
  EXPECT_EQ(machine.flushes, flushes);
  learner.receives = true;
  Pass(seconds(15));
  EXPECT_EQ(learner.has, last());
  EXPECT_GT(machine.flushes, flushes);
}

TEST_F(GroupLog, GoesAllTheSameWhenTheNodeHasTooMuch) {
  Start(256 << 10);
  AddLearner();
  Write(8 * kCompactAfter);
  EXPECT_EQ(log_start(), snapshot);
  Write(16 * kCompactAfter);
  EXPECT_GT(log_start(), snapshot);
}

TEST_F(GroupLog, IsNotKeptForATransferThatFailed) {
  Start();
  AddLearner();
  learner.hears = false;
  Write(8 * kCompactAfter);
  EXPECT_EQ(log_start(), snapshot);
  Pass(seconds(60));
  EXPECT_EQ(machine.snapshots, 1);
  Write(1 << 10);
  EXPECT_GT(log_start() + 2 * kCompactAfter / 1024, last());
}

// Who leads next sends another one, to the same place.
TEST_F(GroupLog, ASnapshotGoesNoFurtherThanItsLeadership) {
  Start();
  AddLearner();
  learner.hears = false;
  const int calls = learner.heard_calls;
  Pass(seconds(15));
  EXPECT_GT(learner.heard_calls, calls);
  StepDown();
  const int before = learner.heard_calls;
  Pass(seconds(60));
  EXPECT_EQ(learner.heard_calls, before);
}

TEST_F(GroupLog, WhoLeftAndCameBackIsSentOneSnapshotAtATime) {
  Start();
  AddLearner();
  Change({});
  Write(4 << 10);
  Change({kLearner});
  ASSERT_EQ(machine.snapshots, 2);
  learner.opened.clear();
  Pass(seconds(15));
  EXPECT_EQ(learner.opened, std::set<Index>{machine.mark().index});
}

TEST_F(GroupLog, IsNotKeptForWhoGotItsSnapshotAndWentAway) {
  Start();
  AddLearner();
  learner.appends = false;
  learner.receives = true;
  Write(8 * kCompactAfter);
  Pass(seconds(15));
  EXPECT_EQ(learner.has, snapshot);
  EXPECT_EQ(log_start(), snapshot);
  learner.hears = false;
  Write(1 << 10);
  EXPECT_GT(log_start() + 2 * kCompactAfter / 1024, last());
}

}  // namespace
}  // namespace flotilla::raft
