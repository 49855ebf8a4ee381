// One thread of virtual time for the tests of what runs on a node's control strand.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"

namespace flotilla {

// Closures run in the order of their time.
class Loop final : public Clock {
 public:
  MonoTime Now() const override { return now_; }
  std::chrono::microseconds WallNow() const override { return {}; }

  void At(MonoTime time, Closure closure) {
    queue_.emplace(std::pair(time, next_++), std::move(closure));
  }
  void RunFor(Duration time) {
    const MonoTime end = now_ + time;
    while (!queue_.empty() && queue_.begin()->first.first <= end) {
      now_ = queue_.begin()->first.first;
      Closure closure = std::move(queue_.begin()->second);
      queue_.erase(queue_.begin());
      closure();
    }
    now_ = end;
  }

 private:
  MonoTime now_{};
  std::uint64_t next_ = 0;
  std::map<std::pair<MonoTime, std::uint64_t>, Closure> queue_;
};

class LoopStrand final : public Strand {
 public:
  explicit LoopStrand(Loop* loop) : loop_(loop) {}
  void Post(Closure closure) override { loop_->At(loop_->Now(), std::move(closure)); }
  TimerId After(Duration delay, Closure closure) override {
    loop_->At(loop_->Now() + delay, std::move(closure));
    return 1;
  }
  bool Cancel(TimerId) override { return false; }
  bool IsCurrent() const override { return true; }
  bool Stopped() const override { return false; }

 private:
  Loop* const loop_;
};

}  // namespace flotilla
