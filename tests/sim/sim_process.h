// SimProcess: the executor and the clocks of one simulated process.
//
// One life: a process that was killed is dead for good; what restarts is a new SimProcess with the
// same id.
#pragma once

#include <memory>

#include "base/executor.h"
#include "tests/sim/event_loop.h"

namespace flotilla::sim {

class SimProcess final : public Executor, public Clock {
 public:
  SimProcess(EventLoop* loop, ProcessId id) : loop_(loop), id_(id) {}

  ProcessId id() const { return id_; }
  EventLoop& loop() const { return *loop_; }

  // Executor
  std::unique_ptr<Strand> NewStrand(std::string_view name) override;
  std::unique_ptr<Strand> NewBlockingStrand(std::string_view name) override {
    return NewStrand(name);
  }
  void Post(Closure closure) override;

  // Clock. The monotonic clock is virtual time; the wall clock may be anywhere.
  MonoTime Now() const override { return loop_->now() + loop_->charged(); }
  std::chrono::microseconds WallNow() const override;
  void SetWallOffset(std::chrono::microseconds offset) { wall_offset_ = offset; }

 private:
  EventLoop* const loop_;
  const ProcessId id_;
  std::chrono::microseconds wall_offset_{0};
};

}  // namespace flotilla::sim
