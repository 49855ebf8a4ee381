#include "client/pace.h"

#include <gtest/gtest.h>

namespace flotilla::client {
namespace {

using std::chrono::milliseconds;

constexpr MonoTime kSent{std::chrono::seconds(1000)};

// Knows how long answers take, and has sent so many calls.
Pace Owing(std::size_t calls, Duration answers = milliseconds(4)) {
  Pace pace;
  for (int i = 0; i < 200; ++i) pace.Learn(answers);
  pace.Sent(kSent, calls);
  return pace;
}

bool Wait(const Pace& pace, std::size_t waiting, MonoTime now = kSent) {
  return pace.Until(waiting, now) > now;
}

TEST(ClientPace, WhoOwesAtMostOneCallIsSentToAtOnce) {
  EXPECT_FALSE(Wait(Owing(0), 1));
  EXPECT_FALSE(Wait(Owing(1), 1));
}

TEST(ClientPace, CallsWaitForMostOfThoseThatAreOwed) {
  Pace pace = Owing(16);
  EXPECT_TRUE(Wait(pace, 1));
  for (int i = 0; i < 11; ++i) pace.Answered(kSent);
  EXPECT_TRUE(Wait(pace, 11)) << "while five are owed";
  pace.Answered(kSent);
  EXPECT_FALSE(Wait(pace, 12)) << "while four are owed";
}

TEST(ClientPace, NoneWaitsLongerThanTwiceWhatAnswersTake) {
  const Pace pace = Owing(16);
  EXPECT_TRUE(Wait(pace, 1, kSent + milliseconds(6)));
  EXPECT_FALSE(Wait(pace, 1, kSent + milliseconds(8)));
  EXPECT_LE(pace.Until(1, kSent), kSent + milliseconds(8));
}

TEST(ClientPace, WhatIsOverdueHoldsUpNothing) {
  Pace pace = Owing(100);
  const MonoTime later = kSent + std::chrono::seconds(1);
  pace.Sent(later, 2);
  EXPECT_TRUE(Wait(pace, 1, later));
  pace.Answered(later);
  EXPECT_FALSE(Wait(pace, 1, later)) << "the hundred scan";
}

TEST(ClientPace, BeforeTheFirstAnswerNothingWaits) {
  Pace pace;
  pace.Sent(kSent, 100);
  EXPECT_FALSE(Wait(pace, 1));
}

TEST(ClientPace, AFewSlowAnswersSayLittle) {
  Pace pace = Owing(100, milliseconds(1));
  for (int i = 0; i < 3; ++i) pace.Learn(std::chrono::minutes(1));
  EXPECT_FALSE(Wait(pace, 1, kSent + milliseconds(6)));
  EXPECT_FALSE(Wait(Owing(100, std::chrono::minutes(1)), 1, kSent + milliseconds(100)));
}

TEST(ClientPace, ManySmallBatchesAreFollowedAsFarAsTheyGo) {
  Pace pace = Owing(0);
  for (int i = 0; i < 100; ++i) pace.Sent(kSent + std::chrono::microseconds(i), 1);
  const MonoTime now = kSent + std::chrono::microseconds(100);
  EXPECT_TRUE(Wait(pace, 1, now));
  for (int i = 0; i < 100; ++i) pace.Answered(kSent + std::chrono::microseconds(i));
  EXPECT_FALSE(Wait(pace, 1, now));
}

}  // namespace
}  // namespace flotilla::client
