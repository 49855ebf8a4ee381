#include "base/turn.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace flotilla {
namespace {

TEST(GatheringTurn, WhatIsSentInItLeavesAtItsEndInOrder) {
  std::string ran;
  {
    const GatheringTurn turn;
    GatheringTurn::AtEnd([&] { ran += 'a'; });
    GatheringTurn::AtEnd([&] { ran += 'b'; });
    EXPECT_EQ(ran, "");
  }
  EXPECT_EQ(ran, "ab");
}

TEST(GatheringTurn, WithoutOneNothingWaits) {
  bool ran = false;
  GatheringTurn::AtEnd([&] { ran = true; });
  EXPECT_TRUE(ran);
}

TEST(GatheringTurn, AnInnerOneWaitsForTheOuter) {
  std::string ran;
  {
    const GatheringTurn outer;
    {
      const GatheringTurn inner;
      GatheringTurn::AtEnd([&] { ran += 'a'; });
    }
    EXPECT_EQ(ran, "");
  }
  EXPECT_EQ(ran, "a");
}

TEST(GatheringTurn, WhatRunsAtItsEndMayAddToIt) {
  std::string ran;
  {
    const GatheringTurn turn;
    GatheringTurn::AtEnd([&] {
      const GatheringTurn inside;
      GatheringTurn::AtEnd([&] { ran += 'c'; });
      ran += 'a';
    });
    GatheringTurn::AtEnd([&] { ran += 'b'; });
  }
  EXPECT_EQ(ran, "abc");
}

TEST(GatheringTurn, IsOfItsThread) {
  bool ran = false;
  const GatheringTurn turn;
  std::thread([&] { GatheringTurn::AtEnd([&] { ran = true; }); }).join();
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace flotilla
