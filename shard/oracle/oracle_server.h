// OracleServer: gives out timestamps on the node that leads the directory.
//
//   Take() ──▶ confirm that this node leads ──▶ allocate ──────────────▶ answer
//                                                  └ window too short: extend ┘
//
// Two promises, and why they hold:
//
// 1. No timestamp is given twice: see TimestampOracle. It takes no leadership, and no clock.
//
// 2. A timestamp is larger than all that anybody had received when it was asked for, so that a
// write
//    has a larger one than every write acknowledged before it came. Each answer waits until this
//    node has confirmed, after the question came, that it led: by a read index, of which one round
//    serves all who wait, or by a valid lease. So no later leader had been elected when the
//    question came. Whatever was received by then came from this leadership, which counts upwards,
//    or from one before it, whose windows lie below the row that this one has applied before its
//    first. The answer itself may be late, and this node deposed by then: it is still above all
//    that were received before the question.
//
// Without the second step a deposed leader would go on giving out what is left of its window, below
// what its successor has given out already.
//
// Place in the picture: on every node, beside its replica of group 1; asked by OracleClients, the
// one of its own node included.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>

#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "raft/core/types.h"
#include "shard/oracle/asker.h"
#include "shard/oracle/timestamp_oracle.h"

namespace flotilla {

class OracleServer {
 public:
  struct World {
    const Clock* clock = nullptr;
    // Calls back with the term in which this node led the directory at some moment after the call,
    // everything of earlier terms being applied; NOT_LEADER otherwise.
    std::function<void(const OracleAsker&, UniqueFunction<void(StatusOr<raft::Term>)>)> confirm;
    // What the row says here.
    std::function<Timestamp()> row;
    // Moves the row, if it says `from`. OK: that is durable.
    std::function<void(const TimestampOracle::Move&, UniqueFunction<void(const Status&)>)> move_row;
  };
  explicit OracleServer(World world) : world_(std::move(world)) {}

  using Done = UniqueFunction<void(StatusOr<Timestamp>)>;
  // `count` timestamps, the first of which is given to `done`, in any thread, which must not block.
  // NOT_LEADER, BAD_REQUEST, or what prevents the window from being extended. Any thread.
  void Take(std::uint64_t count, const OracleAsker& asker, Done done);

  // This node leads the directory no more: who waits is turned away. Any thread.
  void OnDeposed();

 private:
  struct Waiting {
    std::uint64_t count = 0;
    Done done;
  };

  void OnConfirmed(StatusOr<raft::Term> term, Waiting waiting);
  // Extends the window if it is time to. Lets go of the lock.
  void Extend(std::unique_lock<std::mutex> lock);
  void OnMoved(raft::Term term, const TimestampOracle::Move& move, const Status& status);

  const World world_;
  std::mutex mutex_;
  TimestampOracle oracle_;
  raft::Term term_;  // in which it has what it has
  bool moving_ = false;
  std::deque<Waiting> waiting_;  // for the window
};

}  // namespace flotilla
