#include "shard/locking/lock_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace flotilla {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using Answer = LockTable::Answer;
using Number = LockTable::Number;

constexpr LockStrength kShare = LockStrength::kShare;
constexpr LockStrength kUpdate = LockStrength::kUpdate;

LockOwner Txn(std::uint64_t id) {
  return {.txn = kv::TxnId(id), .coordinator = NodeId(1), .since = kv::TxnId(id)};
}
LockSpan Key(const std::string& key, LockStrength strength = kUpdate) {
  return {.start = key, .end = {}, .strength = strength};
}
LockSpan Range(const std::string& start, const std::string& end, LockStrength strength = kShare) {
  return {.start = start, .end = end, .strength = strength};
}
MonoTime At(int ms) { return MonoTime(std::chrono::milliseconds(ms)); }

class LockTableTest : public testing::Test {
 protected:
  LockTable::Outcome Take(std::uint64_t txn, std::vector<LockSpan> spans,
                          LockPatience patience = LockPatience::kWait) {
    return table_.Acquire(Txn(txn), std::move(spans), patience, At(0), MonoTime::max());
  }
  Answer TakeKey(std::uint64_t txn, const std::string& key, LockStrength strength = kUpdate) {
    return Take(txn, {Key(key, strength)}).answer;
  }
  // One that has to wait.
  Number Waiting(std::uint64_t txn, std::vector<LockSpan> spans) {
    const LockTable::Outcome outcome = Take(txn, std::move(spans));
    EXPECT_EQ(outcome.answer, Answer::kWaits);
    return outcome.number;
  }
  std::vector<Number> Release(std::uint64_t txn) { return table_.Release(kv::TxnId(txn)).granted; }
  bool Holds(std::uint64_t txn, const LockSpan& span) { return table_.Holds(kv::TxnId(txn), span); }

  LockTable table_;
};

TEST_F(LockTableTest, SharedLocksGoTogetherAndUpdatesAlone) {
  EXPECT_EQ(TakeKey(1, "k", kShare), Answer::kHeld);
  EXPECT_EQ(TakeKey(2, "k", kShare), Answer::kHeld);
  const Number writer = Waiting(3, {Key("k")});
  EXPECT_THAT(Release(1), IsEmpty());
  EXPECT_THAT(Release(2), ElementsAre(writer));
  EXPECT_TRUE(Holds(3, Key("k")));
  EXPECT_THAT(Release(3), IsEmpty());
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(LockTableTest, TheQueueIsFair) {
  ASSERT_EQ(TakeKey(1, "k", kShare), Answer::kHeld);
  const Number writer = Waiting(2, {Key("k")});
  // Otherwise readers who come and go would keep it out for ever.
  const Number reader = Waiting(3, {Key("k", kShare)});
  const Number other = Waiting(4, {Key("k", kShare)});
  EXPECT_THAT(Release(1), ElementsAre(writer));
  EXPECT_THAT(Release(2), ElementsAre(reader, other));
}

TEST_F(LockTableTest, WhoHoldsItAlreadyIsServedFirst) {
  ASSERT_EQ(TakeKey(1, "k", kShare), Answer::kHeld);
  ASSERT_EQ(TakeKey(2, "k", kShare), Answer::kHeld);
  const Number writer = Waiting(3, {Key("k")});
  const Number upgrade = Waiting(1, {Key("k")});
  EXPECT_THAT(Release(2), ElementsAre(upgrade));
  EXPECT_TRUE(Holds(1, Key("k")));
  EXPECT_EQ(TakeKey(1, "k"), Answer::kHeld) << "it has it";
  EXPECT_THAT(Release(1), ElementsAre(writer));
}

TEST_F(LockTableTest, ALockOnARangeKeepsInsertionsOut) {
  ASSERT_EQ(Take(1, {Range("b", "d")}).answer, Answer::kHeld);
  EXPECT_EQ(TakeKey(2, "a"), Answer::kHeld);
  EXPECT_EQ(TakeKey(2, "d"), Answer::kHeld) << "the end is exclusive";
  EXPECT_EQ(TakeKey(2, "c", kShare), Answer::kHeld);
  const Number insertion = Waiting(2, {Key("bb")});
  EXPECT_EQ(TakeKey(1, "bb"), Answer::kHeld) << "its own";
  EXPECT_THAT(Release(1), ElementsAre(insertion));
}

TEST_F(LockTableTest, ARangeWaitsForKeysAndIsNotOvertaken) {
  ASSERT_EQ(TakeKey(1, "c"), Answer::kHeld);
  ASSERT_EQ(TakeKey(2, "x"), Answer::kHeld);
  const Number range = Waiting(3, {Range("b", "d")});
  const Number late = Waiting(4, {Key("bb")});
  EXPECT_THAT(Release(2), IsEmpty());
  EXPECT_THAT(Release(1), ElementsAre(range));
  EXPECT_THAT(Release(3), ElementsAre(late));
}

TEST_F(LockTableTest, SpansAreTakenOneByOneAndKept) {
  ASSERT_EQ(TakeKey(1, "b"), Answer::kHeld);
  ASSERT_EQ(TakeKey(2, "c"), Answer::kHeld);
  const Number all = Waiting(3, {Key("a"), Key("b"), Key("c")});
  EXPECT_TRUE(Holds(3, Key("a")));
  EXPECT_THAT(Release(2), IsEmpty());
  EXPECT_THAT(Release(1), ElementsAre(all));
  EXPECT_TRUE(Holds(3, Key("c")));
}

TEST_F(LockTableTest, WhoCannotWaitIsRefusedAndTold) {
  ASSERT_EQ(TakeKey(1, "k"), Answer::kHeld);
  const LockTable::Outcome refused = Take(2, {Key("k")}, LockPatience::kNoWait);
  EXPECT_EQ(refused.answer, Answer::kRefused);
  EXPECT_EQ(refused.blocker.key, "k");
  EXPECT_EQ(refused.blocker.owner, Txn(1));
  EXPECT_EQ(Take(2, {Key("j"), Key("k"), Key("l")}, LockPatience::kSkipLocked).answer,
            Answer::kHeld);
  EXPECT_TRUE(Holds(2, Key("j")));
  EXPECT_FALSE(Holds(2, Key("k")));
  EXPECT_TRUE(Holds(2, Key("l")));
}

TEST_F(LockTableTest, AWritePassesWhenNobodyIsInItsWay) {
  EXPECT_EQ(table_.Pass({}, {Key("k")}, At(0)).answer, Answer::kHeld);
  EXPECT_EQ(table_.size(), 0u) << "and holds nothing";
  ASSERT_EQ(TakeKey(1, "k"), Answer::kHeld);
  EXPECT_EQ(table_.Pass(Txn(1), {Key("k")}, At(0)).answer, Answer::kHeld) << "its own commit";
  const LockTable::Outcome write = table_.Pass({}, {Key("k")}, At(0));
  ASSERT_EQ(write.answer, Answer::kWaits);
  const Number next = Waiting(2, {Key("k")});
  EXPECT_THAT(Release(1), ElementsAre(write.number));
  // Until it is done nobody reads what it is about to change.
  EXPECT_THAT(table_.Done(write.number).granted, ElementsAre(next));
}

TEST_F(LockTableTest, WhoGivesUpLetsOthersThrough) {
  ASSERT_EQ(TakeKey(1, "k", kShare), Answer::kHeld);
  const Number writer = Waiting(2, {Key("k")});
  const Number reader = Waiting(3, {Key("k", kShare)});
  EXPECT_THAT(table_.Drop(writer).granted, ElementsAre(reader));
}

TEST_F(LockTableTest, AnEndedTransactionWaitsNoMore) {
  ASSERT_EQ(TakeKey(1, "a"), Answer::kHeld);
  ASSERT_EQ(TakeKey(2, "b"), Answer::kHeld);
  const Number waiting = Waiting(1, {Key("b")});
  const Number behind = Waiting(3, {Key("b")});
  const LockTable::Freed freed = table_.Release(kv::TxnId(1));
  EXPECT_THAT(freed.dropped, ElementsAre(waiting));
  EXPECT_THAT(Release(2), ElementsAre(behind));
}

TEST_F(LockTableTest, WhatLiesElsewhereIsForgotten) {
  ASSERT_EQ(Take(1, {Key("a"), Key("x")}).answer, Answer::kHeld);
  ASSERT_EQ(Take(1, {Range("y", "z")}).answer, Answer::kHeld);
  const Number here = Waiting(2, {Key("a")});
  const Number gone = Waiting(2, {Key("x")});
  const LockTable::Freed freed = table_.KeepOnly("", "m");
  EXPECT_THAT(freed.dropped, ElementsAre(gone));
  EXPECT_FALSE(Holds(1, Key("x")));
  EXPECT_FALSE(Holds(1, Range("y", "z")));
  EXPECT_THAT(Release(1), ElementsAre(here));
}

TEST_F(LockTableTest, TimeRunsOut) {
  ASSERT_EQ(TakeKey(1, "k"), Answer::kHeld);
  const LockTable::Outcome waits =
      table_.Acquire(Txn(2), {Key("k")}, LockPatience::kWait, At(10), At(50));
  ASSERT_EQ(waits.answer, Answer::kWaits);
  EXPECT_THAT(table_.LateAt(At(49)), IsEmpty());
  const std::vector<LockTable::Late> late = table_.LateAt(At(50));
  ASSERT_EQ(late.size(), 1u);
  EXPECT_EQ(late[0].number, waits.number);
  EXPECT_EQ(late[0].blocker.owner, Txn(1));
  EXPECT_EQ(late[0].waited, std::chrono::milliseconds(40));
}

TEST_F(LockTableTest, ATableIsBounded) {
  LockTable small(2);
  EXPECT_EQ(small.Acquire(Txn(1), {Key("a"), Key("b")}, LockPatience::kWait, At(0), At(1)).answer,
            Answer::kHeld);
  EXPECT_EQ(small.Acquire(Txn(1), {Key("c")}, LockPatience::kWait, At(0), At(1)).answer,
            Answer::kFull);
}

// Who waits for whom: nobody is forgotten through whom a circle may go.
TEST_F(LockTableTest, WaitsAreTold) {
  ASSERT_EQ(TakeKey(1, "k", kShare), Answer::kHeld);
  ASSERT_EQ(table_.Pass({}, {Key("k")}, At(0)).answer, Answer::kWaits);
  Waiting(2, {Key("k", kShare)});
  Waiting(3, {Key("k")});
  Waiting(4, {Key("k")});
  std::map<std::uint64_t, std::vector<std::uint64_t>> graph;
  for (const LockTable::Wait& wait : table_.Waits(100)) {
    for (const LockOwner& owner : wait.for_whom) {
      graph[wait.owner.txn.value()].push_back(owner.txn.value());
    }
  }
  // The plain write ahead of 2 has no transaction: 2 waits for whom that waits.
  EXPECT_THAT(graph[2], ElementsAre(1));
  EXPECT_THAT(graph[3], UnorderedElementsAre(1, 2));
  EXPECT_THAT(graph[4], ElementsAre(3));
}

// At random: no two have what excludes each other, nobody who could go on waits, and in the end
// everybody has been served.
TEST_F(LockTableTest, AtRandom) {
  std::mt19937_64 random(7);
  const auto any = [&](std::uint64_t n) { return random() % n; };
  for (int round = 0; round < 300; ++round) {
    LockTable table;
    struct Request {
      std::uint64_t txn;
      std::vector<LockSpan> spans;
    };
    std::map<Number, Request> waiting;
    std::map<std::uint64_t, std::vector<LockSpan>> held;
    const auto free = [&](const LockTable::Freed& freed) {
      for (const Number number : freed.granted) {
        const Request& request = waiting.at(number);
        for (const LockSpan& span : request.spans) held[request.txn].push_back(span);
        waiting.erase(number);
      }
      for (const Number number : freed.dropped) waiting.erase(number);
    };
    const auto span = [&] {
      const std::string start(1, static_cast<char>('a' + any(6)));
      const LockStrength strength = any(2) == 0 ? kShare : kUpdate;
      if (any(4) > 0) return Key(start, strength);
      return Range(start, std::string(1, static_cast<char>(start[0] + 1 + any(3))), strength);
    };
    for (int step = 0; step < 60; ++step) {
      const std::uint64_t txn = 1 + any(5);
      const bool blocked = std::any_of(waiting.begin(), waiting.end(),
                                       [&](const auto& one) { return one.second.txn == txn; });
      if (any(4) == 0) {
        held.erase(txn);
        free(table.Release(kv::TxnId(txn)));
      } else if (!blocked) {
        std::vector<LockSpan> spans{span()};
        if (any(3) == 0) spans.push_back(span());
        const LockTable::Outcome outcome =
            table.Acquire(Txn(txn), spans, LockPatience::kWait, At(step), MonoTime::max());
        if (outcome.answer == Answer::kWaits) {
          waiting[outcome.number] = {txn, spans};
        } else {
          for (const LockSpan& one : spans) held[txn].push_back(one);
        }
      }
      for (const auto& [a, mine] : held) {
        for (const LockSpan& one : mine) EXPECT_TRUE(table.Holds(kv::TxnId(a), one));
        for (const auto& [b, theirs] : held) {
          if (a >= b) continue;
          for (const LockSpan& one : mine) {
            for (const LockSpan& other : theirs) {
              const std::string one_end = one.end.empty() ? one.start + '\0' : one.end;
              const std::string other_end = other.end.empty() ? other.start + '\0' : other.end;
              const bool overlap = one.start < other_end && other.start < one_end;
              const bool shared = one.strength == kShare && other.strength == kShare;
              ASSERT_TRUE(!overlap || shared) << round << ": " << a << " and " << b;
            }
          }
        }
      }
    }
    for (std::uint64_t txn = 1; txn <= 5; ++txn) {
      free(table.Release(kv::TxnId(txn)));
      held.erase(txn);
    }
    EXPECT_THAT(waiting, IsEmpty()) << round;
    EXPECT_EQ(table.size(), 0u) << round;
  }
}

}  // namespace
}  // namespace flotilla
