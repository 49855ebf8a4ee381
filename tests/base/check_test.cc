#include "base/check.h"

#include <gtest/gtest.h>

#include "base/types.h"

namespace flotilla {
namespace {

enum class Colour { kRed = 3, kBlue = 8 };

struct Opaque {
  int number = 0;
  bool operator==(const Opaque&) const = default;
};

TEST(CheckDeathTest, SaysWhereAndWhat) {
  EXPECT_DEATH(CHECK(1 + 1 == 3), "check_test\\.cc:[0-9]+: check failed: 1 \\+ 1 == 3");
}

TEST(CheckDeathTest, AddsWords) {
  const int group = 7;
  EXPECT_DEATH(CHECK(false) << "group " << group, "check failed: false group 7");
}

TEST(CheckDeathTest, PrintsBothValues) {
  const int applied = 12;
  const int commit = 11;
  EXPECT_DEATH(CHECK_LE(applied, commit) << "words", "applied <= commit  \\(12 and 11\\) words");
}

TEST(CheckDeathTest, PrintsIdsAndEnumeratorsAsNumbers) {
  EXPECT_DEATH(CHECK_EQ(GroupId(4), GroupId(5)), "\\(4 and 5\\)");
  EXPECT_DEATH(CHECK_EQ(Colour::kRed, Colour::kBlue), "\\(3 and 8\\)");
}

TEST(CheckDeathTest, ComparesWhatItCannotPrint) {
  EXPECT_DEATH(CHECK_EQ(Opaque{1}, Opaque{2}), "not printable");
}

TEST(CheckDeathTest, EveryComparisonFailsWhenItShould) {
  EXPECT_DEATH(CHECK_EQ(1, 2), "==");
  EXPECT_DEATH(CHECK_NE(1, 1), "!=");
  EXPECT_DEATH(CHECK_LT(2, 2), "<");
  EXPECT_DEATH(CHECK_LE(3, 2), "<=");
  EXPECT_DEATH(CHECK_GT(2, 2), ">");
  EXPECT_DEATH(CHECK_GE(1, 2), ">=");
}

TEST(Check, EvaluatesItsOperandsOnceWhenAllIsWell) {
  int calls = 0;
  const auto next = [&calls] { return ++calls; };
  CHECK(next() == 1);
  CHECK_EQ(next(), 2);
  CHECK_GE(next(), 3) << "its words are not evaluated: " << next();
  EXPECT_EQ(calls, 3);
}

TEST(Check, IsOneStatement) {
  bool other = false;
  if (true)
    CHECK(true) << "then";
  else
    other = true;
  EXPECT_FALSE(other);
}

}  // namespace
}  // namespace flotilla
