// Hashed keyspaces: the same store, whose keys lie slot by slot.

#include <gtest/gtest.h>

#include "kv/slots.h"
#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

constexpr KeyspaceId kHashed{7 | kHashedBit};

WriteResult Write(Machine& machine, std::vector<WriteOp> ops, const Session& session = {}) {
  return machine.Write(kParent, {{.keyspace = kHashed, .session = session, .ops = std::move(ops)}})
      .front();
}

std::optional<std::string> Get(Machine& machine, std::string_view key) {
  const auto result = machine.store().Get(kHashed, key);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() && result->found ? std::optional(result->value) : std::nullopt;
}

std::string Key(int i) { return "k" + std::to_string(100 + i); }

void PutKeys(Machine& machine, int count) {
  for (int i = 0; i < count; ++i) Write(machine, {Put(Key(i), "v" + std::to_string(i))});
}

TEST(HashedKeyspace, WritesAndReadsLikeAnyOther) {
  Machine machine;
  Write(machine, {Put("a", "1"), Put("b", "2"), Put("c", "3", /*ttl_ms=*/5)});
  machine.Write(Put("a", "of another keyspace"));
  EXPECT_EQ(Get(machine, "a"), "1");
  WriteOp change = Put("a", "10");
  change.condition = ConditionKind::kValueIs;
  change.condition_value = "1";
  EXPECT_EQ(Write(machine, {change}).outcome, WriteOutcome::kApplied);
  EXPECT_EQ(Write(machine, {change}).outcome, WriteOutcome::kConditionFailed);
  EXPECT_EQ(Write(machine, {Delete("b")}).affected, 1u);
  machine.Write(kParent, {}, /*advance_ms=*/10);
  EXPECT_EQ(Get(machine, "a"), "10");
  EXPECT_EQ(Get(machine, "b"), std::nullopt);
  EXPECT_EQ(Get(machine, "c"), std::nullopt);
  const auto results = machine.store().BatchGet(kHashed, {"c", "a", "a"});
  ASSERT_TRUE(results.ok());
  EXPECT_FALSE((*results)[0].found);
  EXPECT_EQ((*results)[2].value, "10");
}

TEST(HashedKeyspace, ARangeIsDeletedInAllSlots) {
  Machine machine;
  PutKeys(machine, 300);
  machine.Write(Put(Key(5), "of another keyspace"));
  EXPECT_EQ(Write(machine, {DeleteRange(Key(1), Key(200))}).affected, 199u);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(Get(machine, Key(i)).has_value(), i == 0 || i >= 200);
  // What the batch itself has put goes as well.
  EXPECT_EQ(Write(machine, {Put("m", "1"), DeleteRange(Key(299), "")}).affected, 2u);
  EXPECT_EQ(Get(machine, "m"), std::nullopt);
  EXPECT_EQ(Write(machine, {Put("a", "1"), DeleteRange("b", "k")}).affected, 0u);
  EXPECT_EQ(Get(machine, "a"), "1");
  EXPECT_EQ(Write(machine, {DeleteRange("", "")}).affected, 101u);
  EXPECT_EQ(machine.Get(kParent, Key(5)), "of another keyspace");
}

// Part of a range would not be deleted: whoever asked takes it that all is.
TEST(HashedKeyspace, ARangeIsDeletedOnlyWhereAllSlotsAre) {
  Machine machine;
  PutKeys(machine, 10);
  const Split half{.child = kChild, .split_key = SlotStart(kHashed, Slot(kSlots / 2))};
  EXPECT_EQ(machine.Control(kParent, half).outcome, ControlOutcome::kApplied);
  EXPECT_EQ(Write(machine, {DeleteRange(Key(0), Key(9))}).outcome, WriteOutcome::kWrongShard);
  EXPECT_EQ(Write(machine, {DeleteRange(Key(0), "")}).outcome, WriteOutcome::kWrongShard);
}

TEST(HashedKeyspace, IsSplitBetweenSlots) {
  Machine machine;
  PutKeys(machine, 100);
  const Slot half(kSlots / 2);
  machine.Control(kParent, Split{.child = kChild, .split_key = SlotStart(kHashed, half)});
  for (int i = 0; i < 100; ++i) {
    const bool moved = SlotOf(Key(i)) >= half;
    const auto here = machine.store(kParent).Get(kHashed, Key(i));
    const auto there = machine.store(kChild).Get(kHashed, Key(i));
    EXPECT_EQ(ReasonOf((moved ? here : there).status()), Reason::kWrongShard);
    EXPECT_EQ((moved ? there : here)->value, "v" + std::to_string(i));
  }
}

}  // namespace
}  // namespace flotilla::kv
