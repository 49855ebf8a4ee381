#include "client/retry.h"

#include <fmt/format.h>

#include <algorithm>

namespace flotilla::client {
namespace {

constexpr std::uint32_t kRedirectsAtOnceMax = 2;

// Errors that could come from anywhere on the way: they say nothing of the write's effect.
bool LeavesOpen(Reason reason) {
  return reason == Reason::kOutcomeUnknown || reason == Reason::kInternal ||
         reason == Reason::kCancelled;
}

}  // namespace

Judgement JudgeFailure(const Status& error, bool is_write, std::uint32_t redirects) {
  const Reason reason = ReasonOf(error);
  const bool perhaps = is_write && LeavesOpen(reason);
  switch (InfoOf(reason).retry) {
    case Retry::kRefreshRoute:
      return {redirects < kRedirectsAtOnceMax ? NextStep::kRetryAtOnce : NextStep::kRetryLater,
              perhaps};
    case Retry::kSafe:
      // The time is up there; here it will be in a moment.
      if (reason == Reason::kDeadlineExceeded) return {NextStep::kFinish, perhaps};
      return {NextStep::kRetryLater, perhaps};
    case Retry::kCheckOutcome:
      return {NextStep::kRetryLater, perhaps};
    case Retry::kRestartTxn:
    case Retry::kNever:
      break;
  }
  return {NextStep::kFinish, perhaps};
}

Status FinalError(const Status& error, bool perhaps) {
  const Reason reason = ReasonOf(error);
  if (!perhaps || HoldsForEarlierAttempts(reason)) return error;
  return Error(
      Reason::kOutcomeUnknown,
      fmt::format("the write may or may not have happened ({}: {}); read the key to find out",
                  InfoOf(reason).name, MessageOf(error)),
      MetadataOf(error));
}

bool MayRunAgain(const Status& error) {
  switch (InfoOf(ReasonOf(error)).retry) {
    case Retry::kSafe:
    case Retry::kRefreshRoute:
    case Retry::kRestartTxn:
      return true;
    case Retry::kCheckOutcome:
    case Retry::kNever:
      break;
  }
  return false;
}

Duration Backoff(std::uint32_t attempt, Duration min, Duration max, Random& random) {
  const std::uint32_t doublings = std::min<std::uint32_t>(attempt == 0 ? 0 : attempt - 1, 20);
  const Duration whole = std::min(max, min * (1 << doublings));
  const auto half = static_cast<std::uint64_t>(whole.count() / 2);
  return Duration(static_cast<std::int64_t>(half + random.Between(0, half)));
}

}  // namespace flotilla::client
