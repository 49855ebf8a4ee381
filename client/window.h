// Window: how many calls may be on their way at a time.
//
// A cluster that has enough to do refuses what is more (OVERLOADED). Sending it all again and again
// would cost both sides, and writes that wait to be repeated hold their numbers, and so the
// session's window. So what was refused once stays here until there is room: the bound falls to
// what was accepted and grows slowly while nothing is refused. Not synchronized.
#pragma once

#include <algorithm>
#include <cstddef>

namespace flotilla::client {

class Window {
 public:
  explicit Window(std::size_t most) : most_(most), size_(most) {}

  std::size_t size() const { return size_; }

  // Of `in_flight` calls so many were refused for overload now, and so many answered.
  void Answered(std::size_t in_flight, std::size_t refused, std::size_t answered) {
    if (refused > 0) {
      size_ = std::min(most_, std::max(kLeast, in_flight - std::min(in_flight, refused)));
    } else {
      size_ = std::min(most_, size_ + answered / kGrowthShare + 1);
    }
  }

 private:
  static constexpr std::size_t kLeast = 16;
  static constexpr std::size_t kGrowthShare = 32;

  const std::size_t most_;
  std::size_t size_;
};

}  // namespace flotilla::client
