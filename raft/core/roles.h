// What a core keeps only while it has a role: a follower nothing, a candidate its votes, a leader
// its followers, its reads and its transfer. Leaving the role forgets it all.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "base/planted.h"
#include "raft/core/lease.h"
#include "raft/core/progress.h"
#include "raft/core/quorum.h"
#include "raft/core/read_queue.h"
#include "raft/core/types.h"

namespace flotilla::raft {

struct Following {};

struct Campaigning {
  bool pre_vote = false;
  Votes votes;  // one per node
};

// A leadership transfer under way.
struct Transfer {
  NodeId target;
  int ticks = 0;
  bool sent = false;  // TimeoutNow has left
};

struct Leading {
  Index term_start;  // the no-op of this term
  Index control;     // the last kControl entry of this term, or the no-op
  bool self_voter = false;
  bool self_outgoing = false;
  std::vector<Progress> followers;  // by node, without this one
  std::vector<NodeId> leavers;      // with the configuration in force, which is not committed
  ReadQueue reads;
  std::uint64_t round = 0;       // of heartbeats; the newest
  std::vector<Progress*> asked;  // by the newest round of reads; kept for its memory
  Lease lease;
  std::optional<Transfer> transfer;
  int ticks_since_heartbeat = 0;
  int ticks_since_quorum_check = 0;
  int idle_ticks = 0;
  bool snapshot_waits = false;  // for more to be applied

  // Null for a node that is no follower.
  Progress* Find(NodeId node);

  // Takes over who follows; newcomers start as probes at `next`, and count as active or not until
  // the next check of the quorum.
  void SetMembers(const Configuration& configuration, NodeId self, Index next, bool active);

  // The largest value that a quorum has reached, this node having reached `own`.
  template <class ValueOf>
  std::uint64_t Reached(std::uint64_t own, ValueOf value_of) {
    return std::min(ReachedIn(&Progress::voter, self_voter, own, value_of),
                    ReachedIn(&Progress::outgoing, self_outgoing, own, value_of));
  }

 private:
  template <class ValueOf>
  std::uint64_t ReachedIn(bool Progress::* member, bool self, std::uint64_t own, ValueOf value_of) {
    scratch_.clear();
    if (self) scratch_.push_back(own);
    for (const Progress& follower : followers) {
      if (follower.*member) scratch_.push_back(value_of(follower));
    }
    if (Planted(Plant::kLearnerCounted)) {
      for (const Progress& follower : followers) {
        if (follower.voter || follower.outgoing || scratch_.empty()) continue;
        auto least = std::min_element(scratch_.begin(), scratch_.end());
        *least = std::max<std::uint64_t>(*least, value_of(follower));
      }
    }
    return MajorityReached(scratch_);
  }

  std::vector<std::uint64_t> scratch_;  // kept for its memory
};

using RoleState = std::variant<Following, Campaigning, Leading>;

}  // namespace flotilla::raft
