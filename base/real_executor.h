// RealExecutor: strands on a pool of threads, for production and for tests of what has threads.
//
// Shutdown: Stop() lets running closures end, joins every thread and destroys what did not run.
// Owners of strands are destroyed after Stop() and before the executor. Destroying a blocking
// strand, or one with a thread of its own, before Stop() waits until everything that was posted to
// it has run.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/executor.h"

namespace flotilla {

class RealExecutor final : public Executor {
 public:
  // `threads`: of the pool; 0: one per core.
  explicit RealExecutor(std::size_t threads = 0);
  ~RealExecutor() override;

  std::unique_ptr<Strand> NewStrand(std::string_view name) override;
  // Blocking strands hold each other up once so many of them are stuck at one time.
  static constexpr std::size_t kBlockingThreads = 16;
  std::unique_ptr<Strand> NewBlockingStrand(std::string_view name) override;
  std::unique_ptr<Strand> NewThreadStrand(std::string_view name) override;
  void Post(Closure closure) override;

  // Any thread but the executor's own. Idempotent.
  void Stop();

 private:
  class Pool;
  class Timers;
  class Queue;
  class PoolStrand;
  class BlockingStrand;
  class ThreadStrand;
  class Registry;

  std::shared_ptr<Pool> pool_;
  std::shared_ptr<Pool> blocking_pool_;
  std::shared_ptr<Timers> timers_;
  std::shared_ptr<Registry> registry_;
};

}  // namespace flotilla
