#include "tests/sim/history.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace flotilla::sim
