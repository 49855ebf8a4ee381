// TimestampOracle: which timestamps a leader of the directory may give out.
//
// The directory has one row, the end of the window: timestamps below it may have been given out. A
// leader that moves the row from `from` to `to` owns [from, to), and nobody else ever does, since
// the row is moved only under the condition that it still says `from`. Hence no timestamp is given
// twice, whatever clocks say and however many nodes believe that they lead. A leader forgets what
// it owns when it begins another term: others have given out later ones meanwhile.
//
//   row:   ....from ─────────────── to      given out: max(last + 1, wall clock), while below `to`
//               └ owned, durable ───┘
//
// The row runs kAhead before the wall clock and is moved on when less than kAheadMin are left, long
// before they are needed. Where the row is ahead of the clock anyway (a clock was set back, or
// there were several leaders in a short time) it moves in steps of kStep, so that it never is more
// than max(wall clock + kAhead, the row found + kStep).
//
// Pure: no clock, no lock. The owner says what time it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/types.h"

namespace flotilla {

// At once.
inline constexpr std::uint64_t kTimestampsTakenMax = 1 << 20;

class TimestampOracle {
 public:
  static constexpr std::chrono::milliseconds kAhead{5000};
  static constexpr std::chrono::milliseconds kAheadMin{3000};
  static constexpr std::uint64_t kStep = 1 << 22;  // timestamps: 16 ms of them
  static_assert(kTimestampsTakenMax <= kStep / 4);

  // Owns nothing any more. What is allocated next is still above all that was.
  void Forget() { end_ = Timestamp(); }

  // `count` timestamps, at most kTimestampsTakenMax, the first of which is returned; nothing when
  // what is owned does not reach.
  std::optional<Timestamp> Allocate(std::uint64_t count, std::chrono::microseconds wall);

  // How the row is to be moved.
  struct Move {
    Timestamp from;
    Timestamp to;
  };
  // Time to move it on.
  bool WantsMore(std::chrono::microseconds wall) const;
  // `row`: what it says now.
  Move NextMove(Timestamp row, std::chrono::microseconds wall) const;
  // The row was moved so, and that is durable.
  void Moved(const Move& move);

 private:
  Timestamp next_;
  Timestamp end_;
};

}  // namespace flotilla
