// What a thread says about the work it is doing, to those that it wakes others for.
#pragma once

#include <utility>
#include <vector>

#include "base/function.h"

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

// While one lives, what this thread would send, or wake another thread for, waits for its end: what
// one message has brought about in many groups leaves together. Made where no lock is held.
class GatheringTurn {
 public:
  GatheringTurn() : outer_(std::exchange(active_, true)) {}
  ~GatheringTurn() {
    if (outer_) return;
    // What runs then may add to it.
    for (std::size_t i = 0; i < at_end_.size(); ++i) std::exchange(at_end_[i], nullptr)();
    at_end_.clear();
    active_ = false;
  }
  GatheringTurn(const GatheringTurn&) = delete;
  GatheringTurn& operator=(const GatheringTurn&) = delete;

  static bool Active() { return active_; }

  // Runs `closure` when this thread's outermost turn ends, after those that came before; at once
  // when there is none. The caller holds no lock that the closure wants.
  static void AtEnd(Closure closure) {
    if (active_) {
      at_end_.push_back(std::move(closure));
    } else {
      closure();
    }
  }

 private:
  inline static thread_local bool active_ = false;
  inline static thread_local std::vector<Closure> at_end_;
  const bool outer_;
};

}  // namespace flotilla
