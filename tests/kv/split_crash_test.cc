// A split, and what a power cut or a full disk leaves of it at any call of the disk.

#include <gtest/gtest.h>

#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

Session Numbered(std::uint64_t sequence) {
  return {.client = ClientId(5), .sequence = sequence, .acknowledged_below = 1, .since = {}};
}

// A log that ends with a split, which nobody has applied.
void Prepare(Machine& machine) {
  for (int i = 0; i < 12; ++i) {
    machine.Write(kParent, Put("k" + std::to_string(10 + i), std::to_string(i), 1'000'000));
  }
  machine.Write(kParent, Put("k20", std::string(70 << 10, 'b')), Numbered(1));
  machine.store().Flush([](const StatusOr<raft::Index>&) {});
  machine.Write(kParent, Delete("k11"));
  machine.Write(kParent, Delete("k21"), Numbered(2));
  machine.LogControl(kParent, Epoch(1), SplitAt("k16"));
}

struct Hashes {
  std::uint64_t parent = 0;
  std::uint64_t child = 0;
  bool operator==(const Hashes&) const = default;
};

Hashes HashesOf(Machine& machine) { return {machine.Hash(kParent), machine.Hash(kChild)}; }

// Both sides are there, whole, and go on.
void ExpectSplit(Machine& machine, const Hashes& hashes) {
  ASSERT_TRUE(machine.Has(kChild));
  EXPECT_EQ(HashesOf(machine), hashes);
  EXPECT_EQ(machine.store(kChild).applied(), raft::Index(1));
  EXPECT_FALSE(machine.disk().FileExists("/groups/2/child", {}, nullptr).ok());
  EXPECT_EQ(machine.Write(kChild, Delete("k21"), Numbered(2)).affected, 1u);
  EXPECT_EQ(machine.Write(kChild, Put("k20", "new"), Numbered(3)).outcome, WriteOutcome::kApplied);
  EXPECT_EQ(machine.Write(kParent, Put("k10", "new"), Numbered(3)).outcome, WriteOutcome::kApplied);
  const Hashes later = HashesOf(machine);
  machine.PowerCut(7);
  for (const GroupId group : machine.groups()) ASSERT_TRUE(machine.Replay(group).ok());
  EXPECT_EQ(HashesOf(machine), later);
  EXPECT_EQ(machine.Get(kChild, "k20"), "new");
}

TEST(SplitCrash, APowerCutAtAnyCallLeavesOneSplitInTheEnd) {
  Hashes hashes;
  {
    Machine whole;
    Prepare(whole);
    ASSERT_TRUE(whole.Replay(kParent).ok());
    hashes = HashesOf(whole);
    ExpectSplit(whole, hashes);
  }
  int without_child = 0;
  int with_child = 0;
  bool done = false;
  for (std::uint64_t at = 1; !done; ++at) {
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      SCOPED_TRACE(testing::Message() << "cut at call " << at << ", seed " << seed);
      Machine machine;
      Prepare(machine);
      machine.CutAt(at);
      done = machine.Replay(kParent).ok();
      machine.PowerCut(at * 2 + seed);
      ++(machine.Has(kChild) ? with_child : without_child);
      ASSERT_TRUE(machine.Replay(kParent).ok());
      ExpectSplit(machine, hashes);
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(without_child, 10);
  EXPECT_GT(with_child, 10);
}

void CutWhenTheChildIsTouched(Machine& machine) {
  machine.disk().SetCallHook([&](const sim::DiskCall& call) {
    if (!call.path.starts_with("/groups/3/")) return rocksdb::IOStatus::OK();
    machine.disk().PowerOff();
    return rocksdb::IOStatus::IOError("the power is gone");
  });
  EXPECT_FALSE(machine.Replay(kParent).ok());
}

// The child's part of it: whoever opens it is cut short, again and again.
TEST(SplitCrash, APowerCutAtAnyCallOfTheChildsBirthIsMadeGood) {
  Machine whole;
  Prepare(whole);
  ASSERT_TRUE(whole.Replay(kParent).ok());
  const Hashes hashes = HashesOf(whole);
  int unfinished = 0;
  for (std::uint64_t at = 1;; ++at) {
    SCOPED_TRACE(at);
    Machine machine;
    Prepare(machine);
    CutWhenTheChildIsTouched(machine);
    if (machine.TryPowerCut(at, at)) break;
    ++unfinished;
    machine.PowerCut(at);
    ASSERT_TRUE(machine.Replay(kParent).ok());
    ExpectSplit(machine, hashes);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(unfinished, 30);
}

TEST(SplitCrash, AFullDiskHoldsUpASplitAtAnyStep) {
  Machine whole;
  Prepare(whole);
  ASSERT_TRUE(whole.Replay(kParent).ok());
  const Hashes hashes = HashesOf(whole);
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
      // But for flushes of the parent: those are of store_test.cc.
      const bool takes_room = what == DiskOperation::kLink ||
                              (!call.path.starts_with("/groups/2/db") &&
                               (what == DiskOperation::kCreate || what == DiskOperation::kWrite ||
                                what == DiskOperation::kSync || what == DiskOperation::kRename ||
                                what == DiskOperation::kSyncDirectory));
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
    ExpectSplit(machine, hashes);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(held_up, 10);
}

// The parent has not flushed the split when the power goes; its child has lived meanwhile.
TEST(SplitCrash, AChildThatHasGoneOnIsNotTakenForANewOne) {
  Machine machine;
  Prepare(machine);
  machine.disk().SetCallHook([&](const sim::DiskCall& call) {
    if (call.operation == sim::DiskOperation::kRename && call.path == "/groups/2/child") {
      machine.disk().SetCapacity(machine.disk().used_bytes());
    }
    return rocksdb::IOStatus::OK();
  });
  // The parent goes on without a flush, and for the child there is no room yet.
  EXPECT_EQ(ReasonOf(machine.Replay(kParent)), Reason::kDiskFull);
  machine.disk().SetCallHook(nullptr);
  machine.disk().SetCapacity(UINT64_MAX);
  EXPECT_EQ(machine.store().range().epoch, Epoch(2));
  EXPECT_LT(machine.store().durable(), machine.store().applied());
  ASSERT_TRUE(machine.OpenAll().ok());
  machine.Write(kChild, Put("k20", "of its own"), Numbered(3));
  machine.store(kChild).Flush([](const StatusOr<raft::Index>&) {});
  const std::uint64_t child = machine.Hash(kChild);
  const std::uint64_t parent = machine.Hash(kParent);
  const int births = machine.Births(kChild);
  machine.PowerCut(1);
  EXPECT_EQ(machine.store().range().epoch, Epoch(1));
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(machine.Births(kChild), births + 1);
  EXPECT_EQ(machine.Hash(kChild), child);
  EXPECT_EQ(machine.Hash(kParent), parent);
  EXPECT_EQ(machine.store(kChild).applied(), raft::Index(2));
  EXPECT_EQ(machine.Get(kChild, "k20"), "of its own");
  EXPECT_FALSE(machine.disk().FileExists("/groups/3/birth", {}, nullptr).ok());
}

// What it has of its own is in its log alone when the power goes, and so is its birth.
TEST(SplitCrash, ABirthIsRepeatedUntilItIsFlushed) {
  Machine machine;
  Prepare(machine);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  machine.Write(kChild, Put("k20", "of its own"), Numbered(3));
  const Hashes hashes = HashesOf(machine);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    machine.PowerCut(seed);
    EXPECT_EQ(machine.store(kChild).applied(), raft::Index(1));
    EXPECT_TRUE(machine.disk().FileExists("/groups/3/birth", {}, nullptr).ok());
    for (const GroupId group : machine.groups()) ASSERT_TRUE(machine.Replay(group).ok());
    EXPECT_EQ(HashesOf(machine), hashes);
  }
  machine.store(kChild).Flush([](const StatusOr<raft::Index>&) {});
  machine.PowerCut(4);
  EXPECT_EQ(machine.store(kChild).applied(), raft::Index(2));
  EXPECT_FALSE(machine.disk().FileExists("/groups/3/birth", {}, nullptr).ok());
}

// A copy of its files would still be the parent's.
TEST(SplitCrash, ASnapshotOfAChildHasItsBirth) {
  Machine machine;
  Prepare(machine);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  const Hashes hashes = HashesOf(machine);
  const auto snapshot = machine.store(kChild).TakeSnapshot();
  ASSERT_TRUE(snapshot.ok());
  EXPECT_EQ(snapshot->mark.index, raft::Index(1));
  const Status installed =
      machine.store(kChild).InstallSnapshot(snapshot->directory, snapshot->mark);
  ASSERT_TRUE(installed.ok()) << MessageOf(installed);
  EXPECT_EQ(HashesOf(machine), hashes);
  machine.PowerCut(1);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(HashesOf(machine), hashes);
}

TEST(SplitCrash, ADamagedBirthIsNotTakenForAGroup) {
  Machine machine;
  Prepare(machine);
  machine.disk().SetCallHook([&](const sim::DiskCall& call) {
    if (!call.path.starts_with("/groups/3/")) return rocksdb::IOStatus::OK();
    return rocksdb::IOStatus::IOError("not now");
  });
  EXPECT_FALSE(machine.Replay(kParent).ok());
  machine.disk().SetCallHook(nullptr);
  machine.disk().FlipBits("/groups/3/birth", 9, 1);
  EXPECT_EQ(ReasonOf(machine.OpenAll()), Reason::kDataDamaged);
}

}  // namespace
}  // namespace flotilla::kv
