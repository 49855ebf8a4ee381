// Executor, Strand: where code runs, and when.
//
// Place in the picture: the first of the four injected interfaces. Production runs strands on a
// pool of threads sized to the cores (real_executor.h); the simulator runs all strands of all
// nodes on one thread in virtual time. One contract suite (tests/base/executor_contract.h) holds
// for both.
//
// The end: whoever owns the executor stops it (RealExecutor::Stop(), SimProcess::Stop()). Closures
// that run at that moment end, and nothing runs once the stop has returned: what still waits, on
// blocking strands too, is destroyed unrun, and so is whatever is posted later. Flows that must end
// well are ended by their owners before.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/function.h"

namespace flotilla {

// Identifies a timer of one strand. 0 is never used.
using TimerId = std::uint64_t;

// A queue of closures that run one at a time, in the order of their posting.
//
// State that belongs to a strand needs no lock: it is touched by closures of that strand only.
// Everything done before Post() is visible to the closure, and everything that a closure did is
// visible to the next. A closure is destroyed right after it ran, still on the strand. Closures
// must not block, except on a blocking strand; a busy strand holds up no other.
//
// A strand may be destroyed while closures wait in it, even by one of them: what was posted still
// runs, timers that have not run are destroyed unrun. Only a blocking strand, whose end waits for
// what was posted, is never destroyed by its own closures.
class Strand {
 public:
  virtual ~Strand() = default;

  // Runs `closure` on this strand later, never inside this call. After the executor has stopped,
  // the closure is destroyed unrun. Any thread.
  virtual void Post(Closure closure) = 0;

  // As Post(), but an idle strand may run `closure` at once, inside this call and on this thread:
  // that spares a lone request the wait for another one. For closures that never block, from
  // callers that hold no lock which the closure could want. Any thread; see also HurriedTurn.
  virtual void Dispatch(Closure closure) { Post(std::move(closure)); }

  // Runs `closure` on this strand once, no earlier than `delay` from now (at once, when it is
  // negative) by the monotonic clock, never inside this call. Timers run in the order of their
  // times; of equal times, in the order of their making. Any thread.
  virtual TimerId After(Duration delay, Closure closure) = 0;

  // Takes a timer back. True: the closure has not run, never will, and is destroyed on return, even
  // if its time has come. False: there is no such timer; it has run, runs now or was taken back.
  // Called on this strand.
  virtual bool Cancel(TimerId timer) = 0;

  // True inside a closure of this strand, its destructor included, and inside what that closure has
  // dispatched to other strands, if it runs at once.
  virtual bool IsCurrent() const = 0;

  // True once the executor has stopped: nothing runs here any more. Any thread.
  virtual bool Stopped() const = 0;
};

class Executor {
 public:
  virtual ~Executor() = default;

  // A strand that shares the pool. `name` is for traces. The strand must not outlive the executor.
  virtual std::unique_ptr<Strand> NewStrand(std::string_view name) = 0;

  // A strand for calls that wait for a disk. Those of all groups share some threads in production:
  // a few of them may be stuck before the others notice. What is dispatched to it does not wait.
  virtual std::unique_ptr<Strand> NewBlockingStrand(std::string_view name) = 0;

  // A blocking strand with a thread of its own in production, for what a node has one of: the
  // log's writer, snapshot transfer, opening of databases.
  virtual std::unique_ptr<Strand> NewThreadStrand(std::string_view name) {
    return NewBlockingStrand(name);
  }

  // Runs `closure` on the pool, in no order, never inside this call. Any thread.
  virtual void Post(Closure closure) = 0;
};

}  // namespace flotilla
