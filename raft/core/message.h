// What cores say to each other. Names and fields follow Figure 2 of the Raft paper where it has
// them; pre-vote, transfer and read index follow chapters 3, 6 and 9 of the thesis.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "raft/core/types.h"

namespace flotilla::raft {

// RequestVote. A pre-vote asks "would you vote for me in `term`?" and changes no state.
struct VoteRequest {
  Index last_index;
  Term last_term;
  bool pre_vote = false;
  // Set by the target of a leadership transfer: voters skip leader stickiness.
  bool transfer = false;
};

struct VoteReply {
  bool pre_vote = false;
  bool granted = false;
};

// AppendEntries with entries, or a probe of where the logs agree (no entries).
struct AppendRequest {
  Index previous_index;
  Term previous_term;
  Index commit;
  std::vector<Entry> entries;  // consecutive, from previous_index + 1
};

// What the leader's core emits in place of an AppendRequest: the driver reads the entries of
// `range` from the log (its cache, or the disk) and sends an AppendRequest.
struct AppendRange {
  Index previous_index;
  Term previous_term;
  Index commit;
  IndexRange range;
};

struct AppendReply {
  bool accepted = false;
  // Accepted: the log agrees with the leader's up to here, and is durable up to here.
  Index match;
  // Rejected: the request's previous_index, and the follower's hint: the last index whose term is
  // not above the request's previous term, with that term (fast back-up, section 5.3).
  Index rejected;
  Index hint_index;
  Term hint_term;
};

// Keeps followers from campaigning, carries the commit index and confirms reads.
struct Heartbeat {
  // Never beyond what the follower is known to match.
  Index commit;
  // The newest read round; its echo by a quorum confirms every read up to it. 0: a commit index in
  // passing, which wants no answer.
  std::uint64_t read_round = 0;
  // The group falls asleep after this one: the follower stops counting time.
  bool quiesce = false;
};

struct HeartbeatReply {
  std::uint64_t read_round = 0;
};

// The follower needs a snapshot. The state itself travels on a stream of its own, driven by the
// snapshot transfer; this message announces it and arrives last, once the state is in place.
struct SnapshotRequest {
  SnapshotMark mark;
};

// Leadership transfer: campaign at once (thesis, 3.10).
struct TimeoutNow {};

// A follower's read index (thesis, 6.4); `context` is the asker's, echoed.
struct ReadIndexRequest {
  std::uint64_t context = 0;
};

struct ReadIndexReply {
  std::uint64_t context = 0;
  // Empty when the asked node does not lead or cannot confirm.
  std::optional<Index> index;
};

using MessageBody =
    std::variant<VoteRequest, VoteReply, AppendRequest, AppendReply, Heartbeat, HeartbeatReply,
                 SnapshotRequest, TimeoutNow, ReadIndexRequest, ReadIndexReply>;

struct Message {
  NodeId from;
  NodeId to;
  Term term;
  MessageBody body;
};

// As the core emits it.
using OutgoingBody = std::variant<VoteRequest, VoteReply, AppendRange, AppendReply, Heartbeat,
                                  HeartbeatReply, TimeoutNow, ReadIndexRequest, ReadIndexReply>;

struct OutgoingMessage {
  NodeId to;
  Term term;
  OutgoingBody body;
};

}  // namespace flotilla::raft
