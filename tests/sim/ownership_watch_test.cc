#include "tests/sim/ownership_watch.h"

#include <gtest/gtest.h>

namespace flotilla::sim {
namespace {

constexpr GroupId kA{2};
constexpr GroupId kB{3};

Served By(GroupId group, int asked_ms, int answered_ms) {
  return {.group = group,
          .asked = MonoTime(std::chrono::milliseconds(asked_ms)),
          .answered = MonoTime(std::chrono::milliseconds(answered_ms))};
}

TEST(Ownership, AnOldOwnersLateAnswerToAnEarlyQuestionIsFine) {
  EXPECT_EQ(FirstMisserved({kA, kB}, {By(kA, 1, 2), By(kB, 3, 4), By(kA, 3, 9)}), -1);
}

TEST(Ownership, AnOldOwnerMustNotServeWhatIsAskedAfterTheNextOneHasServed) {
  EXPECT_EQ(FirstMisserved({kA, kB}, {By(kA, 1, 2), By(kB, 3, 4), By(kA, 5, 6)}), 2);
  EXPECT_EQ(FirstMisserved({kA, kB}, {By(kA, 5, 6), By(kB, 1, 4)}), 0);
}

TEST(Ownership, AKeyMayComeBack) {
  EXPECT_EQ(FirstMisserved({kA, kB, kA}, {By(kB, 1, 2), By(kA, 3, 4), By(kA, 5, 6)}), -1);
  EXPECT_EQ(FirstMisserved({kA, kB, kA}, {By(kB, 1, 2), By(kA, 3, 4), By(kB, 5, 6)}), 2);
}

TEST(Ownership, AStrangerServesNothing) {
  EXPECT_EQ(FirstMisserved({kA}, {By(kA, 1, 2), By(kB, 1, 2)}), 1);
  EXPECT_EQ(FirstMisserved({}, {By(kA, 1, 2)}), 0);
}

}  // namespace
}  // namespace flotilla::sim
