// Executor, Strand: where code runs, and when.
//
// Place in the picture: the first of the four injected interfaces. Production runs strands on a
// pool of threads sized to the cores (real_executor.h); the simulator runs all strands of all
// nodes on one thread in virtual time. One contract suite (tests/base/executor_contract.h) holds
// for both.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/function.h"

namespace flotilla {

// Identifies a timer of one strand. 0 is never used.
using TimerId = std::uint64_t;

// A queue of closures that run one at a time, in the order of their posting.
//
// State that belongs to a strand needs no lock: it is touched by closures of that strand only.
// Everything done before Post() is visible to the closure. Closures must not block, except on a
// blocking strand.
class Strand {
 public:
  virtual ~Strand() = default;

  // Runs `closure` on this strand later, never inside this call. After the executor has stopped,
  // the closure is destroyed unrun. Any thread.
  virtual void Post(Closure closure) = 0;

  // Runs `closure` on this strand once, no earlier than `delay` from now. Any thread.
  virtual TimerId After(Duration delay, Closure closure) = 0;

  // Takes a timer back: on return from a call made on this strand the closure is destroyed or has
  // run already, and never runs afterwards. Called on this strand; unknown ids are ignored.
  virtual void Cancel(TimerId timer) = 0;

  // True inside a closure of this strand.
  virtual bool IsCurrent() const = 0;
};

class Executor {
 public:
  virtual ~Executor() = default;

  // A strand that shares the pool. `name` is for traces. The strand must not outlive the executor.
  // Closures still queued in a strand that is destroyed do run.
  virtual std::unique_ptr<Strand> NewStrand(std::string_view name) = 0;

  // A strand with a thread of its own in production, for calls that wait for a disk: the log's
  // writer, snapshot transfer, opening of databases.
  virtual std::unique_ptr<Strand> NewBlockingStrand(std::string_view name) = 0;

  // Runs `closure` on the pool, in no order. Any thread.
  virtual void Post(Closure closure) = 0;
};

}  // namespace flotilla
