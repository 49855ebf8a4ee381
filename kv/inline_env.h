// InlineEnv: a RocksDB environment whose background work runs in the caller's thread.
//
// The simulator's: with it, no thread but the simulator's own ever touches a simulated disk, and
// two runs of a seed do the same things in the same order. Schedule() queues; RunQueued() runs what
// was queued, and what that queues in turn.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/system_clock.h>

#include <deque>
#include <functional>
#include <memory>

#include "base/clock.h"

namespace flotilla::kv {

class InlineEnv final : public rocksdb::EnvWrapper {
 public:
  // Time comes from `clock`, which outlives the environment.
  InlineEnv(const std::shared_ptr<rocksdb::FileSystem>& files, const Clock* clock);
  ~InlineEnv() override;

  // Bounded: a job that fails for want of room queues itself again, time after time.
  void RunQueued();
  bool idle() const { return queue_.empty(); }

  void Schedule(void (*function)(void*), void* arg, Priority priority, void* tag,
                void (*unschedule)(void*)) override;
  int UnSchedule(void* tag, Priority priority) override;
  void StartThread(void (*function)(void*), void* arg) override;
  void WaitForJoin() override {}
  unsigned int GetThreadPoolQueueLen(Priority) const override { return 0; }
  void SetBackgroundThreads(int, Priority) override {}
  int GetBackgroundThreads(Priority) override { return 1; }
  void IncBackgroundThreadsIfNeeded(int, Priority) override {}
  std::uint64_t NowMicros() override { return system_clock_->NowMicros(); }
  std::uint64_t NowNanos() override { return system_clock_->NowNanos(); }
  rocksdb::Status GetCurrentTime(std::int64_t* seconds) override {
    return system_clock_->GetCurrentTime(seconds);
  }
  const char* Name() const override { return "FlotillaInlineEnv"; }

 private:
  struct Job {
    void (*function)(void*);
    void* arg;
    void* tag;
    void (*unschedule)(void*);
  };

  std::deque<Job> queue_;
  bool running_ = false;
};

}  // namespace flotilla::kv
