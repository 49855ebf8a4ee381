#include "client/retry.h"

#include <gtest/gtest.h>

namespace flotilla::client {
namespace {

Judgement Judge(Reason reason, bool is_write, std::uint32_t redirects = 0) {
  return JudgeFailure(Error(reason, "x"), is_write, redirects);
}

TEST(ClientRetry, NotLeaderGoesOnAtOnceButNotInCircles) {
  EXPECT_EQ(Judge(Reason::kNotLeader, true).next, NextStep::kRetryAtOnce);
  EXPECT_EQ(Judge(Reason::kNotLeader, true, 2).next, NextStep::kRetryLater);
  EXPECT_FALSE(Judge(Reason::kNotLeader, true).perhaps);
}

TEST(ClientRetry, SafeErrorsBackOffAndLeaveNoDoubt) {
  for (const Reason reason : {Reason::kNoQuorum, Reason::kNodeStopping, Reason::kOverloaded,
                              Reason::kDiskFull, Reason::kNotReady}) {
    EXPECT_EQ(Judge(reason, true).next, NextStep::kRetryLater);
    EXPECT_FALSE(Judge(reason, true).perhaps);
  }
}

TEST(ClientRetry, UnknownOutcomeIsAskedForAgainAndRemembered) {
  const Judgement write = Judge(Reason::kOutcomeUnknown, true);
  EXPECT_EQ(write.next, NextStep::kRetryLater);
  EXPECT_TRUE(write.perhaps);
}

TEST(ClientRetry, AnswersAreFinal) {
  for (const Reason reason : {Reason::kConditionFailed, Reason::kKeyTooLarge, Reason::kBadRequest,
                              Reason::kSessionExpired, Reason::kDeadlineExceeded}) {
    EXPECT_EQ(Judge(reason, true).next, NextStep::kFinish);
    EXPECT_FALSE(Judge(reason, true).perhaps);
  }
}

TEST(ClientRetry, DefectOfTheServerLeavesAWriteOpenAndNotARead) {
  EXPECT_TRUE(Judge(Reason::kInternal, true).perhaps);
  EXPECT_FALSE(Judge(Reason::kInternal, false).perhaps);
}

TEST(ClientRetry, PerhapsIsNeverReportedAsNo) {
  EXPECT_EQ(ReasonOf(FinalError(Error(Reason::kNoQuorum, "x"), false)), Reason::kNoQuorum);
  for (const Reason reason : {Reason::kNoQuorum, Reason::kDeadlineExceeded, Reason::kCancelled,
                              Reason::kInternal, Reason::kUnreachable, Reason::kDiskFull}) {
    EXPECT_EQ(ReasonOf(FinalError(Error(reason, "x"), true)), Reason::kOutcomeUnknown);
  }
  // The condition was evaluated for this very write: it did not happen before either.
  EXPECT_EQ(ReasonOf(FinalError(Error(Reason::kConditionFailed, "x"), true)),
            Reason::kConditionFailed);
}

TEST(ClientRetry, BackoffDoublesWithinItsBoundsAndIsJittered) {
  Random random(1);
  const Duration min = std::chrono::milliseconds(10);
  const Duration max = std::chrono::milliseconds(500);
  for (std::uint32_t attempt = 1; attempt < 100; ++attempt) {
    const Duration whole = attempt < 7 ? min * (1 << (attempt - 1)) : max;
    for (int i = 0; i < 20; ++i) {
      const Duration drawn = Backoff(attempt, min, max, random);
      EXPECT_GE(drawn, std::min(whole, max) / 2);
      EXPECT_LE(drawn, std::min(whole, max));
    }
  }
  EXPECT_NE(Backoff(5, min, max, random), Backoff(5, min, max, random));
}

TEST(RunningAgain, OnlyWhatSurelyHadNoEffectAndMayGoAway) {
  for (const Reason reason : {Reason::kTxnConflict, Reason::kTxnAborted, Reason::kLockTimeout,
                              Reason::kUnreachable, Reason::kNoQuorum, Reason::kOverloaded}) {
    EXPECT_TRUE(MayRunAgain(Error(reason, "no"))) << InfoOf(reason).name;
  }
  for (const Reason reason :
       {Reason::kOutcomeUnknown, Reason::kBatchTooLarge, Reason::kInternal, Reason::kCancelled}) {
    EXPECT_FALSE(MayRunAgain(Error(reason, "no"))) << InfoOf(reason).name;
  }
  EXPECT_FALSE(MayRunAgain(absl::AbortedError("of somebody else's"))) << "without a reason";
}

}  // namespace
}  // namespace flotilla::client
