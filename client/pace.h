// Pace: when a connection that owes answers is sent to again.
//
// A message costs both sides more than the calls in it. Answers come piece by piece, group by
// group, and what each piece brings about would go out as many small messages, from which the
// servers make small log entries, answered piece by piece. So calls wait for company while most of
// those that come and go together are still owed: like Nagle's algorithm (RFC 896), but counted in
// calls, and for no longer than twice what answers take. A connection that owes one call, or
// nothing, is sent to at once. Not synchronized.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace flotilla::client {

class Pace {
 public:
  // A batch of so many calls has left.
  void Sent(MonoTime now, std::size_t calls) {
    newest_ = (newest_ + 1) % kBatches;
    batches_[newest_] = {.sent = now, .owed = calls};
  }
  // One of the batch that left then.
  void Answered(MonoTime sent) {
    for (Batch& batch : batches_) {
      if (batch.sent == sent && batch.owed > 0) --batch.owed;
    }
  }
  // Answers came together, the oldest of them after so long. What takes far longer than others, a
  // scan or a wait for a leader, says little of when company is to be expected.
  void Learn(Duration slowest) {
    usual_ += (std::min({slowest, 2 * usual_ + kStep, kUsualMax}) - usual_) / kShare;
  }

  // Of all batches: so many calls are still to be expected, the first of them until then.
  struct Expected {
    std::size_t calls = 0;
    MonoTime first_due = MonoTime::max();
    Expected operator+(const Expected& other) const {
      return {.calls = calls + other.calls, .first_due = std::min(first_due, other.first_due)};
    }
    // Until when `waiting` calls wait, or are to be looked at again. The past: they may go.
    MonoTime Until(std::size_t waiting) const {
      return waiting < Company(calls) ? first_due : MonoTime::min();
    }
  };
  Expected Expects(MonoTime now) const {
    Expected expected;
    for (const Batch& batch : batches_) {
      const MonoTime due = batch.sent + 2 * usual_;
      if (batch.owed == 0 || due <= now) continue;
      expected = expected + Expected{.calls = batch.owed, .first_due = due};
    }
    return expected;
  }
  MonoTime Until(std::size_t waiting, MonoTime now) const { return Expects(now).Until(waiting); }

 private:
  struct Batch {
    MonoTime sent{};
    std::size_t owed = 0;
  };

  // So many calls are worth a message while so many are owed.
  static constexpr std::size_t Company(std::size_t owed) { return owed <= 1 ? 0 : 3 * owed - 2; }

  // Older ones are overdue, or nearly answered.
  static constexpr std::size_t kBatches = 8;
  static constexpr Duration kUsualMax = std::chrono::milliseconds(50);
  static constexpr Duration kStep = std::chrono::milliseconds(1);
  static constexpr std::int64_t kShare = 8;

  std::array<Batch, kBatches> batches_;
  std::size_t newest_ = 0;
  Duration usual_{0};
};

}  // namespace flotilla::client
