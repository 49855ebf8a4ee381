// What a group holds: what it refuses, where, and that a refusal leaves no trace.

#include <gtest/gtest.h>

#include "kv/shard_range.h"
#include "kv/slots.h"
#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

Session Numbered(std::uint64_t sequence) {
  return {.client = ClientId(5), .sequence = sequence, .acknowledged_below = 1};
}

SetRange Between(std::string_view start, std::string_view end) {
  return {.start = start.empty() ? "" : Encoded(start), .end = end.empty() ? "" : Encoded(end)};
}

WriteOutcome OutcomeOf(Machine& machine, const WriteOp& op) { return machine.Write(op).outcome; }

Reason ScanReason(Machine& machine, std::string start, std::string end, bool reverse = false) {
  const ScanRequest request{
      .start = std::move(start), .end = std::move(end), .reverse = reverse, .limit = 0};
  return ReasonOf(machine.store().Scan(request).status());
}

TEST(ShardRange, ComesBackFromItsRow) {
  const ShardRange range{
      .start = Encoded("a"), .end = std::string("\x00\xff", 2), .epoch = Epoch(300)};
  for (const bool frozen : {false, true}) {
    ShardRange wanted = range;
    wanted.frozen = frozen;
    ShardRange read;
    ASSERT_TRUE(DecodeShardRange(EncodeShardRange(wanted), read));
    EXPECT_EQ(read, wanted);
  }
  ShardRange read;
  std::string bytes = EncodeShardRange(range);
  EXPECT_FALSE(DecodeShardRange(bytes + "x", read));
  EXPECT_FALSE(DecodeShardRange(bytes.substr(0, bytes.size() - 1), read));
  bytes[0] = 2;
  EXPECT_FALSE(DecodeShardRange(bytes, read));
}

TEST(ShardRange, CoversWhatLiesInside) {
  const ShardRange all;
  const ShardRange middle{.start = "b", .end = "d"};
  const ShardRange tail{.start = "b"};
  EXPECT_TRUE(all.Covers(middle));
  EXPECT_TRUE(all.Covers(all));
  EXPECT_TRUE(tail.Covers(middle));
  EXPECT_FALSE(middle.Covers(tail));
  EXPECT_FALSE(middle.Covers(all));
  EXPECT_FALSE(tail.Covers(all));
  EXPECT_TRUE(middle.Contains("b"));
  EXPECT_FALSE(middle.Contains("d"));
}

TEST(Control, CommandsComeBackFromTheirBytes) {
  const std::vector<decltype(ControlCommand::change)> changes{
      Between("a", ""), SplitAt("k", GroupId(1 << 20)), Freeze{}, Unfreeze{}};
  for (const auto& change : changes) {
    const ControlCommand command{.expected_epoch = Epoch(7), .change = change};
    const std::string bytes = EncodeControl(command);
    const auto read = DecodeControl(bytes);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, command);
    EXPECT_EQ(ReasonOf(DecodeControl(bytes + "x").status()), Reason::kDataDamaged);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_EQ(ReasonOf(DecodeControl(bytes.substr(0, size)).status()), Reason::kDataDamaged);
    }
  }
}

// A boundary has a key's versions on the side where the key is.
TEST(Control, ABoundaryIsAKeyOrTheBeginningOfSome) {
  const KeyspaceId hashed(9 | kHashedBit);
  const std::string slot = SlotStart(hashed, Slot(1));
  for (const std::string& good :
       {std::string(), Encoded("k"), Encoded(std::string_view("\0\0", 2)),
        Encoded("key").substr(0, 5), KeyspaceStart(hashed), KeyspaceEnd(hashed), slot,
        slot + Encoded("key").substr(kKeyspaceBytes)}) {
    EXPECT_TRUE(IsBoundary(good));
  }
  EXPECT_FALSE(IsBoundary(Encoded("key") + "x"));
  EXPECT_FALSE(IsBoundary(slot + Encoded("key").substr(kKeyspaceBytes) + "x"));
}

TEST(Range, AGroupOfOldHoldsEverything) {
  Machine machine;
  EXPECT_EQ(machine.store().range(), ShardRange());
  EXPECT_EQ(machine.store().range().epoch, Epoch(1));
  EXPECT_EQ(OutcomeOf(machine, Put("k", "v")), WriteOutcome::kApplied);
}

TEST(Range, ACommandIsRefusedAsAWhole) {
  Machine machine;
  ASSERT_EQ(machine.Control(kParent, Between("b", "d")).outcome, ControlOutcome::kApplied);
  EXPECT_EQ(OutcomeOf(machine, Put("a", "1")), WriteOutcome::kWrongShard);
  EXPECT_EQ(OutcomeOf(machine, Put("b", "1")), WriteOutcome::kApplied);
  EXPECT_EQ(OutcomeOf(machine, Put("d", "1")), WriteOutcome::kWrongShard);
  EXPECT_EQ(OutcomeOf(machine, Delete("d")), WriteOutcome::kWrongShard);
  const auto both = machine.Write(kParent, {CommandView{.ops = {Put("c", "1"), Put("d", "1")}},
                                            CommandView{.ops = {Put("b", "2")}}});
  EXPECT_EQ(both[0].outcome, WriteOutcome::kWrongShard);
  EXPECT_EQ(both[1].outcome, WriteOutcome::kApplied);
  EXPECT_EQ(machine.Get(kParent, "c"), std::nullopt);
  EXPECT_EQ(machine.Get(kParent, "b"), "2");
  // A condition that does not hold is not what is wrong with it.
  WriteOp guarded = Put("d", "1");
  guarded.condition = ConditionKind::kExists;
  EXPECT_EQ(OutcomeOf(machine, guarded), WriteOutcome::kWrongShard);
}

TEST(Range, ADeletedRangeMustLieInsideAndAScanBeginThere) {
  Machine machine;
  machine.Write(Put("b", "1"));
  machine.Write(Put("c", "1"));
  machine.Control(kParent, Between("b", "d"));
  const auto reaches_out = [&](std::string_view start, std::string_view end) {
    return OutcomeOf(machine, DeleteRange(start, end)) == WriteOutcome::kWrongShard;
  };
  EXPECT_TRUE(reaches_out("", "c"));
  EXPECT_TRUE(reaches_out("a", "c"));
  EXPECT_TRUE(reaches_out("c", "da"));
  EXPECT_TRUE(reaches_out("c", ""));
  EXPECT_TRUE(reaches_out("", ""));
  EXPECT_EQ(ScanReason(machine, "a", "c"), Reason::kWrongShard);
  EXPECT_EQ(ScanReason(machine, "", "c"), Reason::kWrongShard);
  EXPECT_EQ(ScanReason(machine, "d", "e"), Reason::kWrongShard);
  EXPECT_EQ(ScanReason(machine, "c", "da", true), Reason::kWrongShard);
  EXPECT_EQ(ScanReason(machine, "c", "", true), Reason::kWrongShard);
  EXPECT_EQ(ScanReason(machine, "a", "b", true), Reason::kWrongShard);
  EXPECT_EQ(machine.All(kParent).size(), 2u);
  EXPECT_EQ(ScanReason(machine, "b", "d"), Reason::kNone);
  EXPECT_EQ(ScanReason(machine, "b", "d", true), Reason::kNone);
  EXPECT_EQ(machine.Write(DeleteRange("b", "d")).affected, 2u);
}

TEST(Range, ReadsOfOtherKeysAreRefusedAndSayWhatIsHeld) {
  Machine machine;
  machine.Control(kParent, Between("b", ""));
  const Status refused = machine.store().Get(kDefaultKeyspace, "a").status();
  EXPECT_EQ(ReasonOf(refused), Reason::kWrongShard);
  EXPECT_EQ(
      MetadataOf(refused),
      (ErrorMetadata{
          {"group", "2"}, {"epoch", "2"}, {"range_start", "00000001620001"}, {"range_end", ""}}));
  EXPECT_EQ(ReasonOf(machine.store().BatchGet(kDefaultKeyspace, {"c", "a"}).status()),
            Reason::kWrongShard);
  EXPECT_TRUE(machine.store().BatchGet(kDefaultKeyspace, {"c", "b"}).ok());
}

TEST(Range, LongBoundsAreShownInPart) {
  const ShardRange range{.start = std::string(10'000, 'k')};
  EXPECT_LT(MetadataOf(WrongShard(GroupId(2), range))["range_start"].size(), 600u);
}

TEST(Range, ARefusedWriteLeavesItsNumberFree) {
  Machine machine;
  machine.Write(kParent, Put("b", "1"), Numbered(1));
  machine.Control(kParent, Between("b", "d"));
  const std::uint64_t sessions = machine.store().Counts().sessions;
  EXPECT_EQ(machine.Write(kParent, Put("x", "1"), Numbered(2)).outcome, WriteOutcome::kWrongShard);
  EXPECT_EQ(machine.Write(kParent, Put("x", "1"), {.client = ClientId(6), .sequence = 1}).outcome,
            WriteOutcome::kWrongShard);
  EXPECT_EQ(machine.store().Counts().sessions, sessions);
  EXPECT_EQ(machine.Write(kParent, Put("c", "2"), Numbered(2)).outcome, WriteOutcome::kApplied);
  EXPECT_EQ(machine.Get(kParent, "c"), "2");
}

// Whoever has the key now has the answer as well, and what came after it.
TEST(Range, ARepeatedWriteOfAKeyThatHasGoneIsNotAnsweredFromMemory) {
  Machine machine;
  machine.Write(kParent, Put("x", "1"), Numbered(1));
  machine.Control(kParent, Between("b", "d"));
  EXPECT_EQ(machine.Write(kParent, Put("x", "1"), Numbered(1)).outcome, WriteOutcome::kWrongShard);
}

// Nobody has all keys of a batch that a split has cut through: whoever has some still knows.
TEST(Range, ARepeatedBatchThatWasCutThroughIsAnsweredFromMemory) {
  Machine machine;
  const CommandView batch{.session = Numbered(1), .ops = {Put("b", "1"), Put("x", "1")}};
  const CommandView doomed{.session = Numbered(2), .ops = {DeleteRange("w", "z")}};
  const auto first = machine.Write(kParent, {batch, doomed});
  machine.Control(kParent, SplitAt("wa"));
  for (const GroupId group : {kParent, kChild}) {
    const auto again = machine.Write(group, {batch, doomed});
    EXPECT_EQ(again[0].outcome, WriteOutcome::kApplied);
    EXPECT_EQ(again[0].timestamp, first[0].timestamp);
    EXPECT_EQ(again[1].affected, 1u);
    EXPECT_EQ(again[1].timestamp, first[1].timestamp);
    const auto others = machine.Write(
        group, {{.session = Numbered(3), .ops = batch.ops},
                {.session = {.client = ClientId(5), .sequence = 1, .acknowledged_below = 1},
                 .ops = {Put(group == kParent ? "x" : "b", "1")}},
                {.ops = batch.ops}});
    for (const WriteResult& other : others) EXPECT_EQ(other.outcome, WriteOutcome::kWrongShard);
  }
}

// Of commands that came together, those that are refused leave no trace: whoever has their keys
// executes them, and so does the group itself once it is thawed.
TEST(Range, RefusedCommandsOfABatchAreExecutedElsewhere) {
  Machine machine;
  machine.Write(kParent, Put("a", "0"), Numbered(1));
  machine.Control(kParent, SplitAt("m"));
  const Session other{.client = ClientId(6), .sequence = 1};
  const std::vector<CommandView> gathered{{.session = Numbered(2), .ops = {Put("a", "1")}},
                                          {.session = other, .ops = {Put("x", "2")}},
                                          {.session = Numbered(3), .ops = {Put("y", "3")}},
                                          {.session = Numbered(4), .ops = {Put("b", "4")}}};
  const auto expect = [&](GroupId group, std::vector<WriteOutcome> wanted) {
    const auto results = machine.Write(group, gathered);
    for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(results[i].outcome, wanted[i]) << i;
  };
  constexpr auto kApplied = WriteOutcome::kApplied;
  constexpr auto kWrong = WriteOutcome::kWrongShard;
  machine.Control(kParent, Freeze{});
  expect(kParent, {kWrong, kWrong, kWrong, kWrong});
  EXPECT_EQ(machine.store(kParent).Counts().sessions, 1u);
  machine.Control(kParent, Unfreeze{});
  expect(kParent, {kApplied, kWrong, kWrong, kApplied});
  EXPECT_EQ(machine.store(kParent).Counts().sessions, 1u);
  machine.PowerCut(1);
  for (const GroupId group : machine.groups()) ASSERT_TRUE(machine.Replay(group).ok());
  expect(kChild, {kWrong, kApplied, kApplied, kWrong});
  EXPECT_EQ(machine.store(kChild).Counts().sessions, 2u);
  EXPECT_EQ(machine.Get(kParent, "a"), "1");
  EXPECT_EQ(machine.Get(kParent, "b"), "4");
  EXPECT_EQ(machine.Get(kChild, "x"), "2");
  EXPECT_EQ(machine.Get(kChild, "y"), "3");
}

TEST(Range, WhatLiesOutsideIsGoneAndDoesNotComeBack) {
  Machine machine;
  for (const char* key : {"a", "b", "c", "d"}) {
    machine.Write(Put(key, "old"));
    EXPECT_EQ(machine.Get(kParent, key), "old");  // and is remembered
  }
  EXPECT_EQ(machine.All(kParent).size(), 4u);
  machine.Control(kParent, Between("b", "d"));
  EXPECT_EQ(machine.All(kParent).size(), 2u);
  machine.Control(kParent, Between("", ""));
  EXPECT_EQ(machine.Get(kParent, "a"), std::nullopt);
  EXPECT_EQ(machine.Get(kParent, "b"), "old");
  EXPECT_EQ(machine.Get(kParent, "d"), std::nullopt);
  EXPECT_EQ(machine.All(kParent).size(), 2u);
  WriteOp absent = Put("d", "new");
  absent.condition = ConditionKind::kAbsent;
  EXPECT_EQ(OutcomeOf(machine, absent), WriteOutcome::kApplied);
  machine.PowerCut(1);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(machine.Get(kParent, "a"), std::nullopt);
  EXPECT_EQ(machine.Get(kParent, "d"), "new");
}

TEST(Range, ChangesWithTheExpectedEpochOnly) {
  Machine machine;
  EXPECT_EQ(machine.Control(kParent, Between("b", "d"), Epoch(2)).outcome,
            ControlOutcome::kEpochDiffers);
  EXPECT_EQ(machine.store().range(), ShardRange());
  const ControlResult changed = machine.Control(kParent, Between("b", "d"), Epoch(1));
  EXPECT_EQ(changed.outcome, ControlOutcome::kApplied);
  EXPECT_EQ(changed.range, machine.store().range());
  EXPECT_EQ(changed.range.epoch, Epoch(2));
  const ControlResult repeated = machine.Control(kParent, Between("b", "d"), Epoch(1));
  EXPECT_EQ(repeated.outcome, ControlOutcome::kEpochDiffers);
  EXPECT_EQ(repeated.range, changed.range);
}

TEST(Range, WhatDoesNotFitHasNoEffect) {
  Machine machine;
  machine.Control(kParent, Between("b", "d"));
  const ShardRange range = machine.store().range();
  const std::vector<std::pair<decltype(ControlCommand::change), ControlOutcome>> cases{
      {Between("c", "c"), ControlOutcome::kUnfit},
      {Between("d", "c"), ControlOutcome::kUnfit},
      {SetRange{
           .start = Encoded("cc") + "x",
       },
       ControlOutcome::kUnfit},
      {SplitAt("a"), ControlOutcome::kUnfit},
      {SplitAt("b"), ControlOutcome::kUnfit},
      {SplitAt("d"), ControlOutcome::kUnfit},
      {SplitAt("e"), ControlOutcome::kUnfit},
      {Split{.child = kChild, .split_key = Encoded("cc") + "x"}, ControlOutcome::kUnfit},
      {SplitAt("c", GroupId(0)), ControlOutcome::kUnfit},
      {SplitAt("c", kParent), ControlOutcome::kUnfit},
      {Unfreeze{}, ControlOutcome::kNotFrozen},
  };
  for (const auto& [change, outcome] : cases) {
    const ControlResult result = machine.Control(kParent, change);
    EXPECT_EQ(result.outcome, outcome);
    EXPECT_EQ(result.range, range);
  }
  EXPECT_EQ(machine.store().range(), range);
  EXPECT_EQ(machine.groups().size(), 1u);
}

TEST(Range, IsPartOfTheStateAndOutlivesAPowerCut) {
  Machine machine;
  Machine other;
  const std::uint64_t hash = machine.Hash();
  EXPECT_EQ(other.Hash(), hash);
  machine.Control(kParent, Between("b", "d"));
  other.Control(kParent, Between("b", "e"));
  EXPECT_NE(machine.Hash(), other.Hash());
  const ShardRange range = machine.store().range();
  machine.PowerCut(1);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(machine.store().range(), range);
}

// For a merge: whatever replica its state is taken from, and whenever, it is the same.
TEST(Range, AFrozenGroupStandsStill) {
  StoreOptions options;
  options.session_idle_ms_max = 100;
  Machine machine(options);
  machine.Write(kParent, Put("brief", "v", 50), Numbered(1));
  machine.Write(Put("k", "v"));
  EXPECT_EQ(machine.Control(kParent, Freeze{}).outcome, ControlOutcome::kApplied);
  EXPECT_EQ(machine.store().range().epoch, Epoch(2));
  const Timestamp time = machine.store().last_timestamp();
  EXPECT_EQ(machine.store().next_expiry_ms(), 0u);
  const auto refused = machine.Write(
      kParent, {CommandView{.ops = {Put("k", "x")}}, CommandView{.ops = {Delete("k")}}}, 1000);
  ASSERT_EQ(refused.size(), 2u);
  EXPECT_EQ(refused[0].outcome, WriteOutcome::kWrongShard);
  EXPECT_EQ(refused[1].outcome, WriteOutcome::kWrongShard);
  EXPECT_EQ(machine.store().last_timestamp(), time);
  EXPECT_EQ(machine.store().Counts().sessions, 1u);
  EXPECT_EQ(ReasonOf(machine.store().Get(kDefaultKeyspace, "k").status()), Reason::kWrongShard);
  EXPECT_EQ(ScanReason(machine, "a", "b"), Reason::kWrongShard);
  for (const decltype(ControlCommand::change)& change :
       {decltype(ControlCommand::change)(Freeze{}), {SplitAt("c")}, {Between("a", "b")}}) {
    EXPECT_EQ(machine.Control(kParent, change).outcome, ControlOutcome::kFrozen);
  }
  machine.PowerCut(1);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(machine.store().next_expiry_ms(), 0u);
  EXPECT_EQ(machine.Control(kParent, Unfreeze{}).outcome, ControlOutcome::kApplied);
  EXPECT_NE(machine.store().next_expiry_ms(), 0u);
  EXPECT_EQ(machine.Get(kParent, "brief"), "v");
  machine.Write(kParent, {}, 1);
  EXPECT_EQ(machine.Get(kParent, "brief"), std::nullopt);
  EXPECT_EQ(machine.Get(kParent, "k"), "v");
}

TEST(Range, ADamagedControlEntryIsAnError) {
  Machine machine;
  machine.Log(kParent, raft::EntryKind::kControl, Bytes(std::string("?")));
  EXPECT_EQ(ReasonOf(machine.Replay(kParent)), Reason::kDataDamaged);
}

}  // namespace
}  // namespace flotilla::kv
