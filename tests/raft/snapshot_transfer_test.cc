// Two nodes, one sends the other a snapshot: virtual time, simulated disks, a wire that loses what
// the test tells it to.
#include "raft/snapshot_transfer.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/logger.h"
#include "base/random.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_process.h"

namespace flotilla::raft {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr GroupId kGroup{7};
constexpr std::size_t kPart = 1000;

// What a test sees of the wire, and decides about: false loses the message.
using Filter = std::function<bool(const Call&)>;

class Wire final : public Transport {
 public:
  Wire(sim::SimProcess* process, const Filter* filter) : process_(process), filter_(filter) {}
  void Connect(sim::SimProcess* peer, PeerCalls* calls) {
    peer_ = peer;
    peer_calls_ = calls;
  }

  void Start(ClusterId, NodeId, TransportHandler*) override {}
  void SetPeers(const std::vector<PeerAddress>&) override {}
  void Send(std::vector<PeerMessage> messages) override {
    for (PeerMessage& message : messages) {
      auto call = std::get<Call>(std::move(message.payload));
      if (*filter_ && !(*filter_)(call)) continue;
      process_->loop().At(process_->Now() + milliseconds(1), peer_->id(), sim::kFirstPeerEvent,
                          [this, from = message.from, call = std::move(call)]() mutable {
                            peer_calls_->OnCall(from, std::move(call));
                          });
    }
  }
  void CallAddress(const std::string&, std::uint32_t, Bytes, Duration,
                   UniqueFunction<void(StatusOr<Bytes>)>) override {}
  void SetAddressCallHandler(AddressCallHandler) override {}
  void Stop() override {}

 private:
  sim::SimProcess* const process_;
  const Filter* const filter_;
  sim::SimProcess* peer_ = nullptr;
  PeerCalls* peer_calls_ = nullptr;
};

struct Node {
  Node(sim::EventLoop* loop, std::uint32_t number, const SnapshotTransferOptions& options,
       const Filter* filter)
      : process(loop, number), wire(&process, filter) {
    disk.CreateDir("/snapshot", {}, nullptr).PermitUncheckedError();
    calls.SetSelf(NodeId(number));
    transfer = std::make_unique<SnapshotTransfer>(
        options, &disk, &process, &calls, process.NewBlockingStrand("snapshots"),
        [](GroupId) { return "/incoming"; }, NullLogger());
  }

  sim::SimProcess process;
  sim::SimFileSystem disk;
  Wire wire;
  std::unique_ptr<Strand> control = process.NewStrand("control");
  PeerCalls calls{&wire, &process, control.get()};
  std::unique_ptr<SnapshotTransfer> transfer;
};

class SnapshotTransferTest : public ::testing::Test {
 protected:
  void Start() {
    sender = std::make_unique<Node>(&loop, 1, options, &filter);
    receiver = std::make_unique<Node>(&loop, 2, options, &filter);
    sender->wire.Connect(&receiver->process, &receiver->calls);
    receiver->wire.Connect(&sender->process, &sender->calls);
  }
  void TearDown() override {
    for (const std::unique_ptr<Node>* node : {&sender, &receiver}) {
      if (*node) (*node)->process.Stop();
    }
  }

  SnapshotInfo MakeSnapshot(const std::vector<std::size_t>& sizes) {
    SnapshotInfo snapshot;
    snapshot.mark.index = Index(40);
    snapshot.mark.term = Term(3);
    snapshot.directory = "/snapshot";
    for (const std::size_t bytes : sizes) {
      std::string text(bytes, '\0');
      for (char& c : text) c = static_cast<char>(random.Next());
      const std::string name = "file" + std::to_string(snapshot.files.size());
      std::unique_ptr<rocksdb::FSWritableFile> file;
      EXPECT_TRUE(sender->disk.NewWritableFile("/snapshot/" + name, {}, &file, nullptr).ok());
      EXPECT_TRUE(file->Append(text, {}, nullptr).ok());
      EXPECT_TRUE(file->Close({}, nullptr).ok());
      snapshot.files.push_back({.name = name, .bytes = bytes});
      contents[name] = std::move(text);
    }
    return snapshot;
  }

  void Send(const SnapshotInfo& snapshot, GroupId group = kGroup) {
    sender->transfer->Send(
        group, NodeId(2), snapshot, [this] { return wanted; },
        [this](Status status) {
          results.push_back(std::move(status));
          ended = sender->process.Now();
        });
  }

  void ExpectArrived(const SnapshotInfo& snapshot) {
    const auto directory = receiver->transfer->Received(kGroup, snapshot.mark);
    ASSERT_TRUE(directory.has_value());
    for (const auto& [name, text] : contents) {
      std::unique_ptr<rocksdb::FSRandomAccessFile> file;
      ASSERT_TRUE(
          receiver->disk.NewRandomAccessFile(*directory + "/" + name, {}, &file, nullptr).ok());
      std::string scratch(text.size() + 1, '\0');
      rocksdb::Slice read;
      ASSERT_TRUE(file->Read(0, scratch.size(), {}, &read, scratch.data(), nullptr).ok());
      EXPECT_TRUE(read == rocksdb::Slice(text)) << name;
    }
  }

  static bool IsPart(const Call& call) {
    return !call.answer && call.method == static_cast<std::uint32_t>(PeerMethod::kSnapshotPart);
  }
  static bool IsOpen(const Call& call) {
    return !call.answer && call.method == static_cast<std::uint32_t>(PeerMethod::kSnapshotOpen);
  }
  static bool IsPartAnswer(const Call& call) {
    return call.answer && call.method == static_cast<std::uint32_t>(PeerMethod::kSnapshotPart);
  }

  sim::EventLoop loop;
  Random random{1};
  SnapshotTransferOptions options{.part_bytes = kPart};
  Filter filter;
  std::unique_ptr<Node> sender;
  std::unique_ptr<Node> receiver;
  std::map<std::string, std::string> contents;
  bool wanted = true;
  std::vector<Status> results;
  std::optional<MonoTime> ended;
};

TEST_F(SnapshotTransferTest, EveryFileArrivesWholeAndNothingIsAnnouncedBefore) {
  int parts = 0;
  SnapshotInfo snapshot;
  filter = [&](const Call& call) {
    EXPECT_FALSE(receiver->transfer->Received(kGroup, snapshot.mark).has_value() &&
                 results.empty() && IsPart(call));
    parts += IsPart(call);
    return true;
  };
  Start();
  snapshot = MakeSnapshot({0, 1, 2 * kPart, 2 * kPart + 1, 0});
  Send(snapshot);
  loop.RunFor(seconds(5));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_TRUE(results[0].ok()) << MessageOf(results[0]);
  EXPECT_EQ(parts, 1 + 2 + 3 + 1) << "the last says that all were sent";
  ExpectArrived(snapshot);
  SnapshotMark other = snapshot.mark;
  other.index = Index(41);
  EXPECT_FALSE(receiver->transfer->Received(kGroup, other).has_value());
}

// Whose reads are of whole pages, wherever a part begins and ends.
TEST_F(SnapshotTransferTest, EveryFileArrivesWholeFromDirectReads) {
  options.direct_io = true;
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({0, 1, 2 * kPart, 4096, 5 * kPart + 1, 12'289, 0});
  Send(snapshot);
  loop.RunFor(seconds(5));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_TRUE(results[0].ok()) << MessageOf(results[0]);
  ExpectArrived(snapshot);
}

TEST_F(SnapshotTransferTest, GoesOnWhereItBroke) {
  int parts = 0;
  int opens = 0;
  filter = [&](const Call& call) {
    opens += IsOpen(call);
    return !IsPart(call) || ++parts != 3;
  };
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({5 * kPart});
  Send(snapshot);
  loop.RunFor(seconds(60));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_TRUE(results[0].ok()) << MessageOf(results[0]);
  EXPECT_EQ(opens, 2);
  EXPECT_EQ(parts, 6 + 1) << "the lost one alone is sent again";
  ExpectArrived(snapshot);
}

// A second sync that succeeds says nothing of what the first one lost.
TEST_F(SnapshotTransferTest, AFileWhoseSyncFailedIsSentAgain) {
  Start();
  receiver->disk.AddFault({.operation = sim::DiskOperation::kSync, .path_contains = "file0"});
  const SnapshotInfo snapshot = MakeSnapshot({2 * kPart, kPart});
  Send(snapshot);
  loop.RunFor(seconds(60));
  ASSERT_EQ(results.size(), 1u);
  ASSERT_TRUE(results[0].ok()) << MessageOf(results[0]);
  ExpectArrived(snapshot);
  std::unique_ptr<rocksdb::FSDirectory> root;
  ASSERT_TRUE(receiver->disk.NewDirectory("/", {}, &root, nullptr).ok());
  ASSERT_TRUE(root->Fsync({}, nullptr).ok());
  receiver->disk.PowerCut(random);
  receiver->disk.PowerOn();
  ExpectArrived(snapshot);
}

// RocksDB's files of one index differ in their bytes from checkpoint to checkpoint, though not in
// their names and sizes.
TEST_F(SnapshotTransferTest, TwoCheckpointsOfOneIndexNeverMix) {
  int parts = 0;
  bool broken = true;
  filter = [&](const Call& call) { return !IsPart(call) || !broken || ++parts <= 3; };
  Start();
  Send(MakeSnapshot({5 * kPart}));
  loop.RunFor(seconds(300));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_FALSE(results[0].ok());
  broken = false;
  contents.clear();
  const SnapshotInfo again = MakeSnapshot({5 * kPart});
  Send(again);
  loop.RunFor(seconds(60));
  ASSERT_EQ(results.size(), 2u);
  EXPECT_TRUE(results[1].ok()) << MessageOf(results[1]);
  ExpectArrived(again);
}

TEST_F(SnapshotTransferTest, APartWhoseAnswerWasLostIsNotSentAgain) {
  int answers = 0;
  int parts = 0;
  filter = [&](const Call& call) {
    parts += IsPart(call);
    return !IsPartAnswer(call) || ++answers != 2;
  };
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({3 * kPart});
  Send(snapshot);
  loop.RunFor(seconds(60));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_TRUE(results[0].ok()) << MessageOf(results[0]);
  EXPECT_EQ(parts, 4);
  ExpectArrived(snapshot);
}

TEST_F(SnapshotTransferTest, GivesUpAfterFailuresInARowWithGrowingPauses) {
  filter = [](const Call&) { return false; };
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({kPart});
  const MonoTime start = loop.now();
  Send(snapshot);
  loop.RunFor(seconds(100));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(ReasonOf(results[0]), Reason::kDeadlineExceeded);
  const Duration expected = 5 * options.part_timeout + milliseconds(200 + 400 + 600 + 800);
  EXPECT_GE(*ended - start, expected);
  EXPECT_LT(*ended - start, expected + milliseconds(10));
}

TEST_F(SnapshotTransferTest, EndsWhenItIsNotWantedAnyMore) {
  int parts = 0;
  filter = [&](const Call& call) {
    if (IsPart(call) && ++parts == 3) wanted = false;
    return true;
  };
  Start();
  Send(MakeSnapshot({10 * kPart}));
  loop.RunFor(seconds(1));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(ReasonOf(results[0]), Reason::kNotLeader);
  EXPECT_EQ(parts, 3);
}

TEST_F(SnapshotTransferTest, APartThatArrivesStartsTheCountOfFailuresAnew) {
  int parts = 0;
  filter = [&](const Call& call) { return !IsPart(call) || ++parts % 2 == 0; };
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({20 * kPart});
  Send(snapshot);
  loop.RunFor(seconds(1000));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_TRUE(results[0].ok()) << MessageOf(results[0]);
  ExpectArrived(snapshot);
}

TEST_F(SnapshotTransferTest, AFileThatCannotBeReadEndsTheTransferAtOnce) {
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({kPart, kPart});
  ASSERT_TRUE(sender->disk.DeleteFile("/snapshot/file1", {}, nullptr).ok());
  const MonoTime start = loop.now();
  Send(snapshot);
  loop.RunFor(seconds(60));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(ReasonOf(results[0]), Reason::kInternal) << MessageOf(results[0]);
  EXPECT_NE(MessageOf(results[0]).find("/snapshot/file1"), std::string_view::npos);
  EXPECT_LT(*ended - start, milliseconds(100));
}

TEST_F(SnapshotTransferTest, TransfersShareOneRate) {
  options.bytes_per_second_max = 10 * kPart;
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({10 * kPart});
  const MonoTime start = loop.now();
  Send(snapshot);
  Send(snapshot, GroupId(8));
  // Both groups are received in one directory here; only the time matters.
  loop.RunFor(seconds(60));
  ASSERT_EQ(results.size(), 2u);
  EXPECT_GE(*ended - start, milliseconds(1900));
  EXPECT_LT(*ended - start, milliseconds(2300));
}

TEST_F(SnapshotTransferTest, StopGivesUpWhatIsUnderWayAndWhatComesLater) {
  options.bytes_per_second_max = kPart;
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({100 * kPart});
  Send(snapshot);
  loop.RunFor(seconds(5));
  EXPECT_TRUE(results.empty());
  bool stopped = false;
  sender->transfer->Stop([&] { stopped = true; });
  loop.RunFor(milliseconds(1));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(ReasonOf(results[0]), Reason::kNodeStopping);
  EXPECT_TRUE(stopped);
  Send(snapshot);
  loop.RunFor(milliseconds(1));
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(ReasonOf(results[1]), Reason::kNodeStopping);
}

TEST_F(SnapshotTransferTest, StopWaitsForTheCallThatIsUnderWay) {
  filter = [](const Call& call) { return !IsPart(call); };
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({kPart});
  Send(snapshot);
  loop.RunFor(seconds(1));
  bool stopped = false;
  sender->transfer->Stop([&] { stopped = true; });
  loop.RunFor(seconds(1));
  EXPECT_FALSE(stopped) << "the part may still be on its way";
  sender->calls.Stop();
  loop.RunFor(milliseconds(1));
  EXPECT_TRUE(stopped);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(ReasonOf(results[0]), Reason::kNodeStopping);
}

TEST_F(SnapshotTransferTest, AProcessMayDieUnderATransfer) {
  filter = [](const Call& call) { return !IsPart(call); };
  Start();
  const SnapshotInfo snapshot = MakeSnapshot({kPart});
  Send(snapshot);
  loop.RunFor(seconds(1));
  sender->process.Stop();
  sender->transfer = nullptr;  // with the call under way
  sender->calls.Stop();
  EXPECT_TRUE(results.empty());
}

}  // namespace
}  // namespace flotilla::raft
