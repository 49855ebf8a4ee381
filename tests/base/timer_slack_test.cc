#include "base/timer_slack.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <thread>

namespace flotilla {
namespace {

TEST(CoarseTimers, HoldForThreadsThatBeginMeanwhile) {
  const int before = prctl(PR_GET_TIMERSLACK);
  int inherited = 0;
  {
    const CoarseTimers coarse(std::chrono::milliseconds(3));
    std::thread([&] { inherited = prctl(PR_GET_TIMERSLACK); }).join();
  }
  EXPECT_EQ(inherited, 3'000'000);
  EXPECT_EQ(prctl(PR_GET_TIMERSLACK), before);
}

}  // namespace
}  // namespace flotilla
