// Progress: how far one follower has come, as its leader sees it, and what may be sent to it.
//
//              rejected, or unreachable
//      +--------------------------------------+
//      v                                      |
//   kProbe ------- accepted ------------> kReplicate
//      ^  |
//      |  | needs compacted entries
//      |  v
//   kSnapshot   (ended, either way)
//
// Probe: one request at a time, to find where the logs agree. Replicate: a pipeline, bounded in
// requests and in bytes. Snapshot: nothing but heartbeats. Pure data; owned by a leading core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "raft/core/types.h"

namespace flotilla::raft {

// The unacknowledged requests to one follower, oldest first: a ring that grows on demand.
class Inflights {
 public:
  std::size_t requests() const { return count_; }
  std::size_t bytes() const { return bytes_; }
  bool empty() const { return count_ == 0; }

  // A request whose last entry is `last` left.
  void Add(Index last, std::size_t bytes);
  // Everything up to and including `index` has arrived.
  void FreeTo(Index index);
  void Clear();

 private:
  struct Request {
    Index last;
    std::size_t bytes = 0;
  };

  void Grow();

  std::vector<Request> ring_;  // its size is zero or a power of two
  std::size_t head_ = 0;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

struct Progress {
  enum class State : std::uint8_t { kProbe, kReplicate, kSnapshot };

  NodeId node;
  bool voter = false;     // in Configuration::voters
  bool outgoing = false;  // in Configuration::outgoing
  Index joined;           // where it became a member; zero: before the leader's log

  State state = State::kProbe;
  // Durable there, and equal to the leader's log up to here.
  Index match;
  // The next entry to send; above match.
  Index next;
  // A probe is out: wait for its answer, or for the next heartbeat's.
  bool probe_paused = false;
  // Set at every periodic heartbeat, consumed by its answer: at most one retry per heartbeat.
  bool retry_armed = false;
  // Something was acknowledged since the last periodic heartbeat.
  bool advanced = false;
  // Replicate: the pipeline stands still; ask where the follower is by an empty request.
  bool empty_probe_due = false;
  // Heard from since the last check of the quorum.
  bool recently_active = false;
  // Or not even that: the group was asleep until then, and everybody is given until the next check.
  bool activity_assumed = false;
  // In the time before that check.
  bool active_before = false;
  // The highest commit index that the follower was told.
  Index commit_sent;
  // The newest heartbeat round that it echoed.
  std::uint64_t read_round = 0;
  Inflights inflights;

  void NoteHeard() {
    recently_active = true;
    activity_assumed = false;
  }
  void BecomeProbe(Index next_index);
  void BecomeReplicate();
  void BecomeSnapshot();

  // An acknowledgement up to `index`. True when it is news.
  bool OnAccepted(Index index);
  // A rejection of a request whose previous index was `rejected`; `agreed` is the last index where
  // the logs may still agree. False when it is stale: it answers a question that was settled since.
  bool OnRejected(Index rejected, Index agreed);
};

}  // namespace flotilla::raft
