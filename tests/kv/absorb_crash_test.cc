// An absorption, and what a power cut or a full disk leaves of it at any call of the disk.

#include <gtest/gtest.h>

#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

Session Numbered(std::uint64_t sequence) {
  return {.client = ClientId(5), .sequence = sequence, .acknowledged_below = 1, .since = {}};
}

// A log that ends with an absorption, which nobody has applied.
void Prepare(Machine& machine) {
  for (int i = 0; i < 12; ++i) {
    machine.Write(kParent, Put("k" + std::to_string(10 + i), std::to_string(i), 1'000'000));
  }
  machine.Control(kParent, SplitAt("k16"));
  machine.Write(kChild, Put("k20", std::string(70 << 10, 'b')), Numbered(1));
  machine.store(kChild).Flush([](const StatusOr<raft::Index>&) {});
  machine.Write(kChild, Delete("k21"), Numbered(2));
  machine.Write(kChild, Delete("k17"));
  machine.Write(kParent, Put("k11", "new"), Numbered(3));
  const Absorb absorb = machine.FreezeFor(kChild);
  machine.LogControl(kParent, Epoch(2), absorb);
}

// All of it is there, and goes on without the right group.
void ExpectOne(Machine& machine, std::uint64_t hash) {
  EXPECT_EQ(machine.Hash(), hash);
  ASSERT_EQ(machine.store().durable_range().epoch, Epoch(4));
  EXPECT_FALSE(machine.disk().FileExists("/groups/2/taking", {}, nullptr).ok());
  machine.Remove(kChild);
  EXPECT_EQ(machine.All(kParent).size(), 10u);
  EXPECT_EQ(machine.Write(kParent, Delete("k21"), Numbered(2)).affected, 1u);
  EXPECT_EQ(machine.Write(kParent, Put("k20", "new"), Numbered(4)).outcome, WriteOutcome::kApplied);
  const std::uint64_t later = machine.Hash();
  machine.PowerCut(7);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(machine.Hash(), later);
  EXPECT_EQ(machine.Get(kParent, "k20"), "new");
  EXPECT_EQ(machine.Get(kParent, "k17"), std::nullopt);
}

std::uint64_t HashOfWhole() {
  Machine whole;
  Prepare(whole);
  EXPECT_TRUE(whole.Replay(kParent).ok());
  const std::uint64_t hash = whole.Hash();
  ExpectOne(whole, hash);
  return hash;
}

TEST(AbsorbCrash, APowerCutAtAnyCallLeavesOneGroupInTheEnd) {
  const std::uint64_t hash = HashOfWhole();
  int before = 0;
  int after = 0;
  bool done = false;
  for (std::uint64_t at = 1; !done; ++at) {
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      SCOPED_TRACE(testing::Message() << "cut at call " << at << ", seed " << seed);
      Machine machine;
      Prepare(machine);
      machine.CutAt(at);
      done = machine.Replay(kParent).ok();
      machine.PowerCut(at * 2 + seed);
      ASSERT_TRUE(machine.store(kChild).range().frozen);
      ++(machine.store().range().epoch == Epoch(2) ? before : after);
      ASSERT_TRUE(machine.Replay(kParent).ok());
      ExpectOne(machine, hash);
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(before, 20);
  EXPECT_GT(after, 0);
}

TEST(AbsorbCrash, AFullDiskHoldsItUpAtAnyStep) {
  const std::uint64_t hash = HashOfWhole();
  int held_up = 0;
  for (std::uint64_t full_at = 1;; ++full_at) {
    SCOPED_TRACE(full_at);
    Machine machine;
    Prepare(machine);
    const std::uint64_t before = machine.disk().calls();
    bool met = false;
    machine.disk().SetCallHook([&](const sim::DiskCall& call) {
      using sim::DiskOperation;
      const auto what = call.operation;
      // But for flushes of the left: those are of store_test.cc.
      const bool takes_room =
          what == DiskOperation::kLink ||
          (!call.path.starts_with("/groups/2/db") &&
           (what == DiskOperation::kCreate || what == DiskOperation::kWrite ||
            what == DiskOperation::kSync || what == DiskOperation::kSyncDirectory));
      if (!takes_room || call.number - before < full_at || met) return rocksdb::IOStatus::OK();
      met = true;
      return rocksdb::IOStatus::NoSpace("no room");
    });
    const Status status = machine.Replay(kParent);
    machine.disk().SetCallHook(nullptr);
    if (!met) break;
    if (!status.ok()) {
      ++held_up;
      EXPECT_EQ(ReasonOf(status), Reason::kDiskFull) << MessageOf(status);
      const Status again = machine.Replay(kParent);
      ASSERT_TRUE(again.ok()) << MessageOf(again);
    }
    machine.store().Flush([](const StatusOr<raft::Index>&) {});
    ExpectOne(machine, hash);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(held_up, 10);
}

// A disk that fails stops the node, and what it was given may be read all the same.
TEST(AbsorbCrash, ASyncThatFailsIsGotOverByTheNextProcess) {
  const std::uint64_t hash = HashOfWhole();
  int failed = 0;
  for (int fail_at = 1;; ++fail_at) {
    SCOPED_TRACE(fail_at);
    Machine machine;
    Prepare(machine);
    int syncs = 0;
    machine.disk().SetCallHook([&](const sim::DiskCall& call) {
      const bool fails = call.operation == sim::DiskOperation::kSync && ++syncs == fail_at;
      return fails ? rocksdb::IOStatus::IOError("the disk failed") : rocksdb::IOStatus::OK();
    });
    failed += !machine.Replay(kParent).ok();
    if (syncs < fail_at) break;
    machine.Kill();
    if (testing::Test::HasFailure()) return;
    ASSERT_TRUE(machine.Replay(kParent).ok());
    ExpectOne(machine, hash);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(failed, 3);
}

}  // namespace
}  // namespace flotilla::kv
