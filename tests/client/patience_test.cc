#include "client/patience.h"

#include <gtest/gtest.h>

namespace flotilla::client {
namespace {

using std::chrono::milliseconds;

TEST(ClientPatience, HasALeast) {
  Patience patience(milliseconds(500));
  EXPECT_EQ(patience.With(0), milliseconds(500));
  patience.Answered(milliseconds(1));
  EXPECT_EQ(patience.With(0), milliseconds(500));
}

TEST(ClientPatience, FollowsWhatAnswersTakeAndForgetsIt) {
  Patience patience(milliseconds(500));
  patience.Answered(milliseconds(400));
  EXPECT_EQ(patience.With(0), milliseconds(1600));
  patience.Answered(milliseconds(1));
  EXPECT_EQ(patience.With(0), milliseconds(1400));
  patience.Answered(milliseconds(60'000));
  EXPECT_EQ(patience.With(0), milliseconds(2000));
  for (int i = 0; i < 50; ++i) patience.Answered(milliseconds(1));
  EXPECT_EQ(patience.With(0), milliseconds(500));
}

TEST(ClientPatience, DoublesWhileItKeepsRunningOut) {
  Patience patience(milliseconds(500));
  patience.RanOut();
  patience.RanOut();
  EXPECT_EQ(patience.With(0), milliseconds(2000));
  for (int i = 0; i < 100; ++i) patience.RanOut();
  EXPECT_EQ(patience.With(0), milliseconds(16000));
  patience.Answered(milliseconds(1));
  EXPECT_EQ(patience.With(0), milliseconds(500));
}

TEST(ClientPatience, GrowsWithWhatWasSent) {
  EXPECT_EQ(Patience(milliseconds(500)).With(64 << 20), milliseconds(4500));
}

}  // namespace
}  // namespace flotilla::client
