#include "client/sequences.h"

#include <gtest/gtest.h>

namespace flotilla::client {
namespace {

TEST(ClientSequences, CountFromOneAndReportTheLowestUnanswered) {
  Sequences sequences(10);
  EXPECT_EQ(sequences.LowestUnanswered(), 1u);
  EXPECT_EQ(sequences.Next(), 1u);
  EXPECT_EQ(sequences.Next(), 2u);
  EXPECT_EQ(sequences.Next(), 3u);
  sequences.Done(2);
  EXPECT_EQ(sequences.LowestUnanswered(), 1u);
  sequences.Done(1);
  EXPECT_EQ(sequences.LowestUnanswered(), 3u);
  sequences.Done(3);
  EXPECT_EQ(sequences.LowestUnanswered(), 4u);
  EXPECT_EQ(sequences.Next(), 4u);
}

TEST(ClientSequences, WindowClosesUntilTheOldestIsAnswered) {
  Sequences sequences(2);
  sequences.Next();
  sequences.Next();
  EXPECT_FALSE(sequences.Open());
  sequences.Done(2);
  EXPECT_FALSE(sequences.Open());
  sequences.Done(1);
  EXPECT_TRUE(sequences.Open());
}

}  // namespace
}  // namespace flotilla::client
