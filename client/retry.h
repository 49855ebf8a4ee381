// Retry: what becomes of a call whose attempt failed. A pure decision.
//
// A read may always be repeated. A write may be, because it carries client id and sequence number:
// the group answers a repetition with the first answer. What a write must never do is turn "perhaps
// it happened" into "it failed".
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"

namespace flotilla::client {

enum class NextStep : std::uint8_t {
  kFinish,       // the error is the answer
  kRetryAtOnce,  // at the place that the error names
  kRetryLater,   // after a back-off
};

struct Judgement {
  NextStep next = NextStep::kFinish;
  // The attempt may have had its effect.
  bool perhaps = false;
};

// `redirects` is how often the call was sent on at once before: beyond a few it backs off, since a
// group between two leaders would otherwise be asked in a circle.
Judgement JudgeFailure(const Status& error, bool is_write, std::uint32_t redirects);

// The answer to a call that ends with `error`. `perhaps`: some attempt may have had its effect; the
// error is then reported as OUTCOME_UNKNOWN, unless it settles the question.
Status FinalError(const Status& error, bool perhaps);

// Whether a transaction that ended so surely had no effect, and may succeed when it is run again.
bool MayRunAgain(const Status& error);

// Doubles from min to max with the attempt (from 1 on); drawn from the upper half.
Duration Backoff(std::uint32_t attempt, Duration min, Duration max, Random& random);

}  // namespace flotilla::client
