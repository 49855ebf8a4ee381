#include "tests/sim/history.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace flotilla::sim {
namespace {

MonoTime At(int ms) { return MonoTime(std::chrono::milliseconds(ms)); }

Operation Put(const char* value, int from, std::optional<int> to) {
  Operation one{.kind = OperationKind::kPut, .key = "k", .argument = value, .invoked = At(from)};
  if (to) one.answered = At(*to);
  return one;
}

Operation Get(std::optional<std::string> value, int from, int to) {
  return {.kind = OperationKind::kGet,
          .key = "k",
          .invoked = At(from),
          .answered = At(to),
          .read = std::move(value)};
}

TEST(CheckRegister, AcceptsWhatOneRegisterCouldAnswer) {
  EXPECT_EQ(
      CheckRegister({Get(std::nullopt, 0, 1), Put("a", 2, 5), Get("a", 3, 4), Get("a", 6, 7)}),
      Verdict::kLinearizable);
  // Two writes at once, in either order.
  EXPECT_EQ(CheckRegister({Put("a", 0, 10), Put("b", 0, 10), Get("b", 11, 12), Get("b", 13, 14)}),
            Verdict::kLinearizable);
}

TEST(CheckRegister, RefusesAStaleRead) {
  EXPECT_EQ(CheckRegister({Put("a", 0, 1), Put("b", 2, 3), Get("a", 4, 5)}),
            Verdict::kNotLinearizable);
}

TEST(CheckRegister, RefusesALostWrite) {
  EXPECT_EQ(CheckRegister({Put("a", 0, 1), Get(std::nullopt, 2, 3)}), Verdict::kNotLinearizable);
}

TEST(CheckRegister, RefusesReadsThatGoBack) {
  EXPECT_EQ(CheckRegister({Put("a", 0, 1), Put("b", 2, 20), Get("b", 3, 4), Get("a", 5, 6)}),
            Verdict::kNotLinearizable);
}

TEST(CheckRegister, AnUnansweredWriteMayHappenLateOrNever) {
  EXPECT_EQ(CheckRegister({Put("a", 0, 1), Put("b", 2, std::nullopt), Get("a", 3, 4),
                           Get("b", 50, 51), Get("b", 52, 53)}),
            Verdict::kLinearizable);
  EXPECT_EQ(CheckRegister({Put("a", 0, 1), Put("b", 2, std::nullopt), Get("a", 3, 4)}),
            Verdict::kLinearizable);
  EXPECT_EQ(
      CheckRegister({Put("a", 0, 1), Put("b", 2, std::nullopt), Get("b", 3, 4), Get("a", 5, 6)}),
      Verdict::kNotLinearizable);
}

TEST(CheckRegister, ASwapHoldsOrFailsByTheValueItMet) {
  Operation swap{.kind = OperationKind::kCompareAndSet,
                 .key = "k",
                 .argument = "b",
                 .expected = "a",
                 .invoked = At(2),
                 .answered = At(3),
                 .swapped = true};
  EXPECT_EQ(CheckRegister({Put("a", 0, 1), swap, Get("b", 4, 5)}), Verdict::kLinearizable);
  swap.swapped = false;
  EXPECT_EQ(CheckRegister({Put("a", 0, 1), swap, Get("a", 4, 5)}), Verdict::kNotLinearizable);
}

// Every order in turn.
bool SomeOrderFits(const std::vector<Operation>& operations, std::vector<bool>& done,
                   const std::optional<std::string>& value) {
  bool all = true;
  for (std::size_t i = 0; i < operations.size(); ++i) all &= done[i] || !operations[i].answered;
  if (all) return true;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const Operation& one = operations[i];
    bool may_be_next = !done[i];
    for (std::size_t j = 0; j < operations.size(); ++j) {
      may_be_next &= done[j] || !operations[j].answered || *operations[j].answered >= one.invoked;
    }
    if (!may_be_next) continue;
    const bool holds = one.expected == value;
    if (one.kind == OperationKind::kGet && one.read != value) continue;
    const bool swap = one.kind == OperationKind::kCompareAndSet;
    if (swap && one.answered && holds != one.swapped) continue;
    const bool writes = one.kind != OperationKind::kGet && (!swap || holds);
    done[i] = true;
    const bool fits = SomeOrderFits(operations, done, writes ? one.argument : value);
    done[i] = false;
    if (fits) return true;
  }
  return false;
}

TEST(CheckRegister, AgreesWithTryingEveryOrder) {
  Random random(1);
  int linearizable = 0;
  constexpr int kHistories = 30'000;
  for (int history = 0; history < kHistories; ++history) {
    std::vector<Operation> operations(random.Between(2, 7));
    const bool unique = random.Chance(0.7);
    int next = 0;
    const auto some_value = [&]() -> std::optional<std::string> {
      if (random.Chance(0.25)) return std::nullopt;
      return "v" + std::to_string(random.Below(4));
    };
    for (Operation& one : operations) {
      one.kind = static_cast<OperationKind>(random.Below(4));
      one.invoked = At(static_cast<int>(random.Below(20)));
      const bool write = one.kind != OperationKind::kGet;
      if (write && one.kind != OperationKind::kDelete) {
        one.argument = "v" + std::to_string(unique ? next++ : static_cast<int>(random.Below(3)));
      }
      one.expected = one.kind == OperationKind::kCompareAndSet ? some_value() : std::nullopt;
      if (write && random.Chance(0.4)) continue;
      one.answered = one.invoked + std::chrono::milliseconds(random.Below(10));
      one.swapped = random.Chance(0.5);
      if (!write) one.read = some_value();
    }
    std::vector<bool> done(operations.size());
    const bool fits = SomeOrderFits(operations, done, std::nullopt);
    linearizable += fits ? 1 : 0;
    ASSERT_EQ(CheckRegister(operations), fits ? Verdict::kLinearizable : Verdict::kNotLinearizable)
        << "history " << history;
  }
  EXPECT_GT(linearizable, kHistories / 10);
  EXPECT_LT(linearizable, kHistories / 10 * 9);
}

// What a run with many failovers leaves: hundreds of writes that may still happen at any time.
TEST(CheckRegister, ManyUnansweredWritesAreNotTooHard) {
  std::vector<Operation> operations;
  for (int i = 0; i < 400; ++i) {
    const std::string unknown = "u" + std::to_string(i);
    const std::string value = "v" + std::to_string(i);
    operations.push_back(Put(unknown.c_str(), 10 * i, std::nullopt));
    Operation gone{.kind = OperationKind::kDelete, .key = "k", .invoked = At(10 * i)};
    operations.push_back(gone);
    Operation swap{.kind = OperationKind::kCompareAndSet,
                   .key = "k",
                   .argument = "s" + std::to_string(i),
                   .expected = value,
                   .invoked = At(10 * i)};
    operations.push_back(swap);
    operations.push_back(Put(value.c_str(), 10 * i + 1, 10 * i + 5));
    // Now and then one of them has happened.
    const bool late = i % 7 == 6;
    operations.push_back(Get(late ? "u" + std::to_string(i - 5) : value, 10 * i + 6, 10 * i + 8));
  }
  EXPECT_EQ(CheckRegister(operations, 100'000), Verdict::kLinearizable);
  operations.push_back(Get("v7", 5'000, 5'001));
  EXPECT_EQ(CheckRegister(operations, 100'000), Verdict::kNotLinearizable);
}

}  // namespace
}  // namespace flotilla::sim
