// The epoch of a group's range grows with its members as well.

#include <gtest/gtest.h>

#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

raft::Configuration Members(std::set<NodeId> voters) {
  raft::Configuration members;
  members.voters = std::move(voters);
  return members;
}

void LogMembers(Machine& machine, const raft::Configuration& members) {
  machine.Log(kParent, raft::EntryKind::kConfiguration, Bytes(raft::EncodeConfiguration(members)));
}

Epoch EpochWith(Machine& machine, const raft::Configuration& members) {
  LogMembers(machine, members);
  EXPECT_TRUE(machine.Replay(kParent).ok());
  return machine.store().range().epoch;
}

TEST(Epoch, GrowsWithEachChangeOfMembersButTheFirst) {
  Machine machine;
  raft::Configuration members = Members({NodeId(1), NodeId(2)});
  EXPECT_EQ(EpochWith(machine, members), Epoch(1));
  EXPECT_EQ(EpochWith(machine, members), Epoch(1)) << "nothing has changed";
  members.learners = {NodeId(3)};
  EXPECT_EQ(EpochWith(machine, members), Epoch(2));
  members = Members({NodeId(1), NodeId(2), NodeId(3)});
  members.outgoing = {NodeId(1), NodeId(2)};
  EXPECT_EQ(EpochWith(machine, members), Epoch(3));
  members.outgoing.clear();
  EXPECT_EQ(EpochWith(machine, members), Epoch(4));
  members.context = "addresses";
  EXPECT_EQ(EpochWith(machine, members), Epoch(5));
  // Whoever saw the old members splits nothing.
  const ControlResult late = machine.Control(kParent, SplitAt("k"), Epoch(4));
  EXPECT_EQ(late.outcome, ControlOutcome::kEpochDiffers);
  EXPECT_EQ(machine.Control(kParent, SplitAt("k"), Epoch(5)).outcome, ControlOutcome::kApplied);
  EXPECT_EQ(machine.store(kParent).range().epoch, Epoch(6));
  EXPECT_EQ(machine.store(kChild).range().epoch, Epoch(6));
}

TEST(Epoch, GrowsInAFrozenGroupToo) {
  Machine machine;
  EpochWith(machine, Members({NodeId(1)}));
  machine.Control(kParent, Freeze{});
  EXPECT_EQ(EpochWith(machine, Members({NodeId(1), NodeId(2)})), Epoch(3));
  EXPECT_TRUE(machine.store().range().frozen);
}

// It is part of the state: wherever a crash or the grouping of entries cuts, the same entries lead
// to the same epoch.
TEST(Epoch, IsTheSameHoweverTheLogIsApplied) {
  Machine whole;
  const std::string value(4000, 'v');  // some are flushed on the way
  for (std::uint64_t i = 1; i <= 12; ++i) {
    const std::string key = "k" + std::to_string(i);
    LogMembers(whole, Members({NodeId(1), NodeId(1 + i % 3)}));
    whole.LogWrite(kParent, {CommandView{.ops = {Put(key, value)}}});
    if (i % 4 == 0) whole.LogWrite(kParent, {CommandView{.ops = {Delete(key)}}});
  }
  ASSERT_TRUE(whole.Replay(kParent).ok());
  EXPECT_EQ(whole.store().range().epoch, Epoch(12));
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Machine apart;
    apart.TakeLogs(whole);
    apart.CutAt(seed * 5);
    if (!apart.Replay(kParent, 1 + seed % 4).ok()) apart.PowerCut(seed);
    apart.CutAt(0);
    ASSERT_TRUE(apart.Replay(kParent, 1 + seed % 5).ok());
    EXPECT_EQ(apart.store().range(), whole.store().range());
    EXPECT_EQ(apart.Hash(), whole.Hash());
  }
}

}  // namespace
}  // namespace flotilla::kv
