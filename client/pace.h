// Pace: when a connection that owes answers is sent to again.
//
// A message costs both sides more than the calls in it. Answers come piece by piece, group by
// group, and what each piece brings about would go out as many small messages, from which the
// servers make small log entries, answered piece by piece. So calls wait for company while fewer of
// them wait than are owed: like Nagle's algorithm (RFC 896), but counted in calls, and never for
// longer than answers take. A connection that owes nothing is sent to at once. Not synchronized.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace flotilla::client {

class Pace {
 public:
  void Sent(MonoTime now) { sent_ = now; }
  // Answers came, the oldest of them after so long.
  void Answered(Duration slowest) { usual_ += (std::min(slowest, kUsualMax) - usual_) / kShare; }

  // Until when `waiting` calls wait, while `owed` have no answer. The past: they may go.
  MonoTime Until(std::size_t waiting, std::size_t owed) const {
    return waiting < owed ? sent_ + usual_ : MonoTime::min();
  }

 private:
  // What took longer waited for a leader, and says nothing of when company is to be expected.
  static constexpr Duration kUsualMax = std::chrono::milliseconds(50);
  static constexpr std::int64_t kShare = 8;

  MonoTime sent_{};
  Duration usual_{0};
};

}  // namespace flotilla::client
