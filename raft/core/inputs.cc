#include <utility>
#include <variant>

#include "base/check.h"
#include "base/planted.h"
#include "raft/core/impl.h"

namespace flotilla::raft {
namespace {

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

template <class Body>
bool Is(const Message& message) {
  return std::holds_alternative<Body>(message.body);
}

// Only the leader of the message's term sends these.
bool FromLeader(const Message& message) {
  return Is<AppendRequest>(message) || Is<Heartbeat>(message) || Is<SnapshotRequest>(message);
}

}  // namespace

void Core::Impl::Tick() {
  if (quiescent_) return;
  ++ticks_;
  if (Leading* lead = leading()) {
    TickLeader(*lead);
  } else {
    TickFollower();
  }
}

void Core::Impl::TickFollower() {
  ++timer_.elapsed;
  ++timer_.since_leader;
  for (std::uint64_t context : forwarded_.Tick()) {
    out_.reads_refused.push_back({context});
    work_ = true;
  }
  if (timer_.elapsed < timer_.timeout) return;
  if (MayCampaign()) {
    PreCampaign();
  } else {
    ResetElectionTimer();
    SetLeader(NodeId{});
  }
}

void Core::Impl::TickLeader(Leading& lead) {
  if (++lead.ticks_since_quorum_check >= options_.election_timeout_ticks) {
    // Check-quorum (thesis, 6.2): who cannot reach a majority does not lead.
    lead.ticks_since_quorum_check = 0;
    const bool active =
        lead.Reached(1, [](const Progress& follower) { return follower.recently_active; }) >= 1;
    if (!active) {
      BecomeFollower(term_, NodeId{});
      return;
    }
    for (Progress& follower : lead.followers) {
      const bool assumed = std::exchange(follower.activity_assumed, false);
      follower.active_before = std::exchange(follower.recently_active, false) && !assumed;
    }
  }
  TickTransfer(lead);
  if (++lead.ticks_since_heartbeat >= options_.heartbeat_ticks) {
    lead.ticks_since_heartbeat = 0;
    for (Progress& follower : lead.followers) {
      const bool stalled = follower.state == Progress::State::kProbe
                               ? follower.probe_paused
                               : !follower.inflights.empty() && !follower.advanced;
      follower.retry_armed = stalled;
      follower.advanced = false;
    }
    BroadcastHeartbeat(lead, /*quiesce=*/false);
  } else {
    TickReads(lead);
    for (Progress& follower : lead.followers) SendCommitAlone(follower);
  }
  TickQuiescence(lead);
}

void Core::Impl::Step(Message message) {
  if (!message.from || message.from == options_.self) return;
  if (message.term > term_) {
    if (!AdmitHigherTerm(message)) return;
  } else if (message.term < term_) {
    AnswerLowerTerm(message);
    return;
  }
  const NodeId from = message.from;
  std::visit(Overloaded{
                 [&](VoteRequest& body) { OnVoteRequest(message, body); },
                 [&](VoteReply& body) { OnVoteReply(message, body); },
                 [&](AppendRequest& body) { OnAppendRequest(from, std::move(body)); },
                 [&](AppendReply& body) { OnAppendReply(from, body); },
                 [&](Heartbeat& body) { OnHeartbeat(from, body); },
                 [&](HeartbeatReply& body) { OnHeartbeatReply(from, body); },
                 [&](SnapshotRequest& body) { OnSnapshotRequest(from, std::move(body)); },
                 [&](TimeoutNow&) { OnTimeoutNow(); },
                 [&](ReadIndexRequest& body) { OnReadIndexRequest(from, body); },
                 [&](ReadIndexReply& body) { OnReadIndexReply(body); },
             },
             message.body);
}

// True when the message is to be handled. A newer term makes anyone a follower, but for a
// pre-vote, which changes no state, and for those who would disturb a working leader.
bool Core::Impl::AdmitHigherTerm(const Message& message) {
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    if (!request->transfer && Sticky()) {
      // A member misses the leader: if the group sleeps, that is why.
      if (configuration().Contains(message.from)) Wake();
      return false;
    }
    if (!request->pre_vote) BecomeFollower(message.term, NodeId{});
    return true;
  }
  if (const auto* reply = std::get_if<VoteReply>(&message.body)) {
    // Granted in the term that the pre-vote asked about, which nobody has entered yet.
    if (reply->pre_vote && reply->granted) return true;
  }
  if (FromLeader(message)) {
    BecomeFollower(message.term, message.from);
    return true;
  }
  // The answer of a removed node, however high its term, does not depose a leader.
  if (leading() && !configuration().Contains(message.from)) return false;
  BecomeFollower(message.term, NodeId{});
  return true;
}

// The sender learns of the newer term: a deposed leader steps down, a candidate that fell behind
// catches up. Without this a node whose term ran ahead could never rejoin.
void Core::Impl::AnswerLowerTerm(const Message& message) {
  if (FromLeader(message)) {
    Send(message.from, AppendReply{});
  } else if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    Send(message.from, VoteReply{.pre_vote = request->pre_vote, .granted = false});
  }
}

void Core::Impl::Send(NodeId to, OutgoingBody body) {
  const bool may_leave = disk_.hard_state_durable() || Planted(Plant::kVoteNotDurable);
  (may_leave ? out_.now : out_.waiting).push_back({to, term_, std::move(body)});
}

void Core::Impl::Persisted(const PersistToken& token) {
  const Index before = disk_.durable();
  disk_.Completed(token, log_);
  if (Campaigning* campaign = campaigning()) {
    // The own vote counts once a crash cannot take it back.
    if (!campaign->pre_vote && disk_.hard_state_durable()) RecordVote(options_.self, true);
  } else if (leading() && disk_.durable() > before) {
    CommitReached();
  }
}

void Core::Impl::Applied(Index index) {
  CHECK_LE(index, given_);
  applied_ = std::max(applied_, index);
  Leading* lead = leading();
  if (lead && std::exchange(lead->snapshot_waits, false)) work_ = true;
}

}  // namespace flotilla::raft
