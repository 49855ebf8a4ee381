// SimProcess: the executor and the clocks of one simulated process.
//
// One life: a process that was killed is dead for good; what restarts is a new SimProcess with the
// same id.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/random.h"
#include "tests/sim/event_loop.h"

namespace flotilla::sim {

class SimProcess final : public Executor, public Clock {
 public:
  // `sync_time`: what a sync of the process's disk takes at present.
  SimProcess(EventLoop* loop, ProcessId id,
             std::shared_ptr<const Duration> sync_time = std::make_shared<const Duration>(0))
      : loop_(loop), id_(id), sync_time_(std::move(sync_time)) {}
  ~SimProcess() override;

  ProcessId id() const { return id_; }
  EventLoop& loop() const { return *loop_; }

  // Executor
  std::unique_ptr<Strand> NewStrand(std::string_view name) override;
  // The log's writer waits for its disk before a closure runs, so that all of the closure happens
  // when the sync ends: what it makes durable, and whom it tells.
  // Once SyncsTakeTheirTime() was called, it is as blocked as a thread would be: a sync makes
  // durable what was written when it began, and what comes meanwhile waits for the next.
  std::unique_ptr<Strand> NewBlockingStrand(std::string_view name) override;
  void Post(Closure closure) override;
  void SyncsTakeTheirTime() { syncs_take_their_time_ = true; }
  // What runs waits for a sync, if it is the log's writer and such take their time.
  void AwaitSync();
  // The sync time is another one. A sync that hangs ends with what made it hang.
  void OnSyncTime();
  // From here on closures of strands named `apply` are held up for so long, each by this chance,
  // and with them those that follow.
  void StallApply(Random random, double chance);
  // Kills the process: nothing of it runs any more, and everything that waits is destroyed.
  void Stop();

  // Clock. Both run at the process's own pace; the wall clock may be anywhere besides.
  MonoTime Now() const override;
  std::chrono::microseconds WallNow() const override;
  void SetWallOffset(std::chrono::microseconds offset) { wall_offset_ = offset; }
  // So many microseconds fast per second of virtual time; negative: slow. Timers go by it, too.
  void SetDrift(std::int64_t parts_per_million);

  // The world's time.
  MonoTime VirtualNow() const { return loop_->now() + loop_->charged(); }

 private:
  class SimStrand;
  struct StrandState;

  std::unique_ptr<Strand> MakeStrand(std::shared_ptr<const Duration> sync_time);
  Duration DrawStall();
  // What a delay by the process's clock is in virtual time.
  Duration ToVirtual(Duration local) const;

  EventLoop* const loop_;
  const ProcessId id_;
  const std::shared_ptr<const Duration> sync_time_;
  std::chrono::microseconds wall_offset_{0};
  std::int64_t drift_ppm_ = 0;
  // What both clocks showed when the drift last changed.
  MonoTime anchor_virtual_{};
  MonoTime anchor_local_{};
  bool syncs_take_their_time_ = false;
  std::shared_ptr<StrandState> on_fiber_;  // the one that runs, on a fiber
  Random stalls_{0};
  double stall_chance_ = 0;
  bool stopped_ = false;
  std::vector<std::weak_ptr<StrandState>> strands_;
};

}  // namespace flotilla::sim
