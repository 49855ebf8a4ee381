// HeldLog: how much of its log a leader keeps for followers that would need a snapshot without it.
//
// Place in the picture: part of raft/group.h, which releases the log. Decides only; raft strand.
//
//        log's start            a snapshot was asked for          durable         last
//   ---------+---------------------------+---------------------------+--------------+
//            |         may go            | held for who receives it, |
//                                          and then catches up
#pragma once

#include <cstddef>
#include <map>

#include "raft/core/core.h"

namespace flotilla::raft {

class HeldLog {
 public:
  // For whom log is held.
  enum class For {
    kEveryone,   // that is there
    kReceivers,  // of a snapshot, until they have caught up: without the log it was sent for
                 // nothing
    kNobody,
  };

  // `caught_up_bytes`: who lacks no more than that of the log is no receiver any more.
  explicit HeldLog(std::size_t caught_up_bytes) : caught_up_bytes_(caught_up_bytes) {}

  // A follower is to be sent a snapshot of a state that has `applied`, or a later one.
  void Sending(NodeId to, Index applied) { receivers_[to] = {.from = applied}; }
  void Sent(NodeId to, bool delivered);
  void Clear() { receivers_.clear(); }

  // Up to where the log may go that is in the state machine, which is durable up to `durable`.
  Index MayGo(Index durable, For whom, const CoreStatus& status);

 private:
  struct Receiver {
    Index from;  // needs what comes after
    bool under_way = true;
  };

  void Forget(const CoreStatus& status);

  const std::size_t caught_up_bytes_;
  std::map<NodeId, Receiver> receivers_;
};

}  // namespace flotilla::raft
