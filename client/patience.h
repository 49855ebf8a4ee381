// Patience: how long a connection that owes answers may be silent before it is given up.
//
// A node that is paused or cut off should cost little, a busy one must not be left and burdened
// with everything again: so the bound follows what answers took lately, grows with what was sent,
// and doubles while it keeps being wrong. Not synchronized.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace flotilla::client {

class Patience {
 public:
  // `least` of it there always is.
  explicit Patience(Duration least) : least_(least) {}

  // Answers came, the oldest of them after so long.
  void Answered(Duration slowest) {
    stalls_ = 0;
    usual_ = std::max(std::min(slowest, kUsualMax), usual_ - usual_ / 8);
  }
  // It ran out, once more.
  void RanOut() { ++stalls_; }

  // For a connection whose newest message had so many bytes.
  Duration With(std::size_t bytes) const {
    const Duration transfer(static_cast<std::int64_t>(bytes) * 1'000'000'000 / kBytesPerSecond);
    return std::max(least_, kTimesUsual * usual_) * (1 << std::min(stalls_, kDoublingsMax)) +
           transfer;
  }

 private:
  static constexpr std::int64_t kTimesUsual = 4;
  // What took longer waited for a leader rather than for its turn.
  static constexpr Duration kUsualMax = std::chrono::milliseconds(500);
  static constexpr std::uint32_t kDoublingsMax = 5;
  // A slow network, and a server that still has to work on what came over it.
  static constexpr std::int64_t kBytesPerSecond = 16 << 20;

  const Duration least_;
  Duration usual_{0};
  std::uint32_t stalls_ = 0;  // in a row
};

}  // namespace flotilla::client
