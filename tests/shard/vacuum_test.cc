// Old versions go by themselves, on all nodes, and transactions keep what they read, for a while.

#include <chrono>

#include "tests/shard/transacting.h"

namespace flotilla {
namespace {

using std::chrono::seconds;

class Vacuuming : public Transacting {
 public:
  Vacuuming() : Transacting(Eager()) {
    Keep(seconds(1));
    world_.RunFor(seconds(6));  // nodes listen for readers before anything goes
  }

  static NodeOptions Eager() {
    NodeOptions options = ByHand();
    options.quiesce_after = std::chrono::milliseconds(300);
    options.vacuum.versions_min = 50;
    options.vacuum.unheard_max = seconds(4);
    options.vacuum.hold_max = seconds(60);
    return options;
  }
  void Keep(Duration retention) {
    const DirectoryAnswer altered =
        Change(0, AlterKeyspaceCall{.name = "default", .retention = retention});
    EXPECT_TRUE(altered.status.ok()) << altered.status;
  }
  // What is in memory alone is no matter of the collector's.
  void Overwrite(const std::string& key, int times) {
    for (int i = 0; i < times; ++i) PutPlain(key, std::to_string(i));
    for (int node = 0; node < 3; ++node) EXPECT_TRUE(Run(node).ok());
  }
  NodeInfo InfoOfNode(int node) {
    auto slot = std::make_shared<std::optional<NodeInfo>>();
    world_.node(node).Info([slot](NodeInfo info) { *slot = std::move(info); });
    return Wait(slot);
  }
  GroupInfo GroupOf(int node) {
    for (GroupInfo& group : InfoOfNode(node).groups) {
      if (group.group == kFirstDataGroup) return std::move(group);
    }
    ADD_FAILURE() << "node " << node << " has no replica";
    return {};
  }
  StatusOr<VacuumReport> Run(int node, GroupId group = kFirstDataGroup) {
    auto slot = std::make_shared<std::optional<StatusOr<VacuumReport>>>();
    world_.node(node).RunVacuum(group, Soon(seconds(60)), [slot](StatusOr<VacuumReport> report) {
      *slot = std::move(report);
    });
    return Wait(slot);
  }
  bool AwaitCollected(int node, std::uint64_t versions, Duration within = seconds(90)) {
    return world_.Await([&] { return GroupOf(node).counts.versions_collected >= versions; },
                        within);
  }
};

TEST_F(Vacuuming, WhatAnIdleGroupHasOfOldVersionsGoesOnAllNodes) {
  Overwrite("key", 100);
  // Nobody writes any more, nor asks how the nodes are: time moves, reaches the disk, and is seen
  // to have done so, for the sake of this alone.
  world_.RunFor(seconds(40));
  for (int node = 0; node < 3; ++node) {
    const GroupInfo group = GroupOf(node);
    EXPECT_GE(group.vacuum.runs, 2u) << node;
    EXPECT_EQ(group.vacuum.versions_dropped, 99u) << node;
    EXPECT_EQ(group.vacuum.failure, absl::OkStatus());
    EXPECT_EQ(group.versions.dead, 0u) << node;
  }
  EXPECT_EQ(Read("key"), "99");
}

TEST_F(Vacuuming, AnIdleGroupWithoutOldVersionsSleeps) {
  Overwrite("key", 10);
  world_.RunFor(seconds(30));
  EXPECT_EQ(GroupOf(0).versions.dead, 9u);
  const raft::Index applied = GroupOf(0).applied;
  world_.RunFor(seconds(60));
  EXPECT_EQ(GroupOf(0).applied, applied);
  EXPECT_TRUE(GroupOf(0).core.quiescent);
}

TEST_F(Vacuuming, ALongReaderOnAnyNodeKeepsWhatItReads) {
  PutPlain("key", "old");
  const int reader = (world_.AwaitLeader() + 1) % 3;
  const Txn txn = Begin(reader, {.read_only = true, .timeout = seconds(300)});
  EXPECT_EQ(Get(txn, "key"), "old");
  Overwrite("key", 100);
  world_.RunFor(seconds(30));
  EXPECT_EQ(Get(txn, "key"), "old");
  for (int node = 0; node < 3; ++node) {
    const OldestReader expected{
        .reads_at = txn->start(), .txn = txn->id(), .node = world_.IdentityOf(reader)};
    EXPECT_EQ(InfoOfNode(node).oldest_reader, expected) << node;
    EXPECT_EQ(GroupOf(node).counts.versions_collected, 0u) << node;
  }
  ASSERT_TRUE(Commit(txn).ok());
  // At once, and not when it would hold up nobody any more.
  for (int node = 0; node < 3; ++node) EXPECT_TRUE(AwaitCollected(node, 90, seconds(20))) << node;
  EXPECT_EQ(InfoOfNode(0).oldest_reader, std::nullopt);
}

TEST_F(Vacuuming, AReaderThatHoldsItUpForTooLongIsEnded) {
  PutPlain("key", "old");
  const Txn txn = Begin(1, {.timeout = seconds(300)});
  EXPECT_EQ(Get(txn, "key"), "old");
  Overwrite("key", 100);
  EXPECT_TRUE(AwaitCollected(0, 90, seconds(120)));
  EXPECT_TRUE(AwaitCollected(1, 90, seconds(120)));
  EXPECT_TRUE(AwaitCollected(2, 90, seconds(120)));
  EXPECT_EQ(Get(txn, "key"), "TXN_ABORTED");
  EXPECT_EQ(CommitReason(txn), "TXN_ABORTED");
  // One that is begun with a time of its own is told that this is too old.
  const Txn named = Begin(1, {.read_only = true, .read_timestamp = txn->start()});
  EXPECT_EQ(Get(named, "key"), "TIMESTAMP_TOO_OLD");
}

TEST_F(Vacuuming, ARestartedNodeHearsOfReadersFirst) {
  PutPlain("key", "old");
  const int leader = world_.AwaitLeader();
  const int reader = (leader + 1) % 3;
  const int other = (leader + 2) % 3;
  const Txn txn = Begin(reader, {.read_only = true, .timeout = seconds(300)});
  Overwrite("key", 100);
  world_.RunFor(seconds(10));
  world_.cluster().Crash(other);
  world_.Part(reader, other);
  EXPECT_TRUE(world_.cluster().Start(other));
  // Before it is told, and ever after.
  for (int i = 0; i < 500; ++i) {
    if (i == 100) world_.network().HealAll();
    PutPlain("key", "new");
    world_.RunFor(std::chrono::milliseconds(20));
    for (const GroupInfo& group : InfoOfNode(other).groups) {
      if (group.group == kFirstDataGroup) ASSERT_LE(group.safe_point, txn->start()) << i;
    }
  }
  EXPECT_EQ(Get(txn, "key"), "old");
}

TEST_F(Vacuuming, IsRunOnDemand) {
  Overwrite("key", 40);
  EXPECT_EQ(GroupOf(0).counts.versions_collected, 0u);
  // What is younger than the retention stays.
  const StatusOr<VacuumReport> early = Run(0);
  ASSERT_TRUE(early.ok()) << early.status();
  EXPECT_EQ(early->versions_dropped, 0u);
  world_.RunFor(seconds(10));
  for (int node = 0; node < 3; ++node) {
    const StatusOr<VacuumReport> report = Run(node);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->versions_dropped, 39u) << node;
    EXPECT_EQ(GroupOf(node).versions.dead, 0u) << node;
  }
  EXPECT_EQ(ReasonOf(Run(0, GroupId(77)).status()), Reason::kGroupNotFound);
}

}  // namespace
}  // namespace flotilla
