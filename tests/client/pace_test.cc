#include "client/pace.h"

#include <gtest/gtest.h>

namespace flotilla::client {
namespace {

using std::chrono::milliseconds;

constexpr MonoTime kSent{std::chrono::seconds(1000)};

Pace Used(Duration answers) {
  Pace pace;
  for (int i = 0; i < 100; ++i) pace.Answered(answers);
  pace.Sent(kSent);
  return pace;
}

TEST(ClientPace, WhoOwesNothingIsSentToAtOnce) {
  EXPECT_LT(Used(milliseconds(4)).Until(1, 0), kSent);
}

TEST(ClientPace, CallsWaitForAsManyAsAreOwedAndNoLongerThanAnswersTake) {
  const Pace pace = Used(milliseconds(4));
  EXPECT_LT(pace.Until(16, 16), kSent);
  const MonoTime until = pace.Until(15, 16);
  EXPECT_GT(until, kSent + milliseconds(3));
  EXPECT_LE(until, kSent + milliseconds(4));
}

TEST(ClientPace, BeforeTheFirstAnswerNothingWaits) {
  Pace pace;
  pace.Sent(kSent);
  EXPECT_LE(pace.Until(1, 100), kSent);
}

TEST(ClientPace, ACallThatWaitedForALeaderCountsForLittle) {
  EXPECT_LE(Used(std::chrono::minutes(1)).Until(1, 100), kSent + milliseconds(50));
}

}  // namespace
}  // namespace flotilla::client
