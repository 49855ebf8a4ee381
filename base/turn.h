// What a thread says about the work it is doing, to those that it wakes others for.
#pragma once

#include <utility>

namespace flotilla {

// While one lives, this thread ends what it does within microseconds and never waits: what it posts
// to its own pool may wait for it rather than wake another thread, which costs more.
class BriefTurn {
 public:
  BriefTurn() : outer_(std::exchange(active_, true)) {}
  ~BriefTurn() { active_ = outer_; }
  BriefTurn(const BriefTurn&) = delete;
  BriefTurn& operator=(const BriefTurn&) = delete;

  static bool Active() { return active_; }

 private:
  inline static thread_local bool active_ = false;
  const bool outer_;
};

// While one lives, this thread is wanted elsewhere: Strand::Dispatch() only posts.
class HurriedTurn {
 public:
  HurriedTurn() : outer_(std::exchange(active_, true)) {}
  ~HurriedTurn() { active_ = outer_; }
  HurriedTurn(const HurriedTurn&) = delete;
  HurriedTurn& operator=(const HurriedTurn&) = delete;

  static bool Active() { return active_; }

 private:
  inline static thread_local bool active_ = false;
  const bool outer_;
};

}  // namespace flotilla
