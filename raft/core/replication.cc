#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "raft/core/impl.h"

namespace flotilla::raft {

ProposeResult Core::Impl::Propose(std::vector<Bytes> payloads, EntryKind kind) {
  CHECK(!payloads.empty());
  CHECK(kind == EntryKind::kCommand || kind == EntryKind::kControl);
  ProposeResult result;
  result.term = term_;
  Leading* lead = leading();
  if (!lead) {
    result.refusal = ProposeRefusal::kNotLeader;
    return result;
  }
  if (lead->transfer) {
    result.refusal = ProposeRefusal::kTransferring;
    return result;
  }
  if (kind == EntryKind::kControl && MembersChanging()) {
    result.refusal = ProposeRefusal::kMembersChanging;
    return result;
  }
  std::size_t bytes = 0;
  for (const Bytes& payload : payloads) bytes += payload.size();
  const std::uint64_t unapplied = log_.BytesIn({applied_.Next(), log_.last().Next()});
  // A proposal larger than the bound passes when it is alone.
  if (unapplied > 0 && unapplied + bytes > options_.uncommitted_bytes_max) {
    result.refusal = ProposeRefusal::kTooMuchInFlight;
    return result;
  }
  Wake();
  lead->idle_ticks = 0;
  result.first = log_.last().Next();
  for (Bytes& payload : payloads) AppendLocal(kind, std::move(payload));
  return result;
}

Index Core::Impl::AppendLocal(EntryKind kind, Bytes payload) {
  const Index index = log_.last().Next();
  log_.Append(term_, static_cast<std::uint32_t>(payload.size()));
  disk_.Append({term_, index, kind, std::move(payload)});
  if (kind == EntryKind::kControl) leading()->control = index;
  work_ = true;
  return index;
}

void Core::Impl::CommitReached() {
  Leading* lead = leading();
  const Index own = Planted(Plant::kOwnEntryUndurable) ? log_.last() : disk_.durable();
  const Index reached{
      lead->Reached(own.value(), [](const Progress& follower) { return follower.match.value(); })};
  if (reached <= commit_) return;
  if (log_.TermAt(reached) != term_ && !Planted(Plant::kOldTermCounted)) return;
  commit_ = reached;
  work_ = true;
  ConfigurationCommitted();
}

void Core::Impl::ReplicateToAll(Leading& lead) {
  for (Progress& follower : lead.followers) ReplicateTo(follower);
}

void Core::Impl::ReplicateTo(Progress& follower) {
  using State = Progress::State;
  while (follower.state != State::kSnapshot) {
    const bool probing = follower.state == State::kProbe;
    const bool has_entries = follower.next <= log_.last();
    if (probing) {
      if (follower.probe_paused) break;
    } else if (follower.empty_probe_due) {
      // Falls through with an empty range: it asks where the pipeline got stuck.
    } else if (!has_entries || follower.inflights.requests() >= options_.inflight_requests_max ||
               follower.inflights.bytes() >= options_.inflight_bytes_max) {
      break;
    }
    const std::optional<Term> previous_term = log_.TermAt(follower.next.Previous());
    const bool newcomer = !follower.voter && !follower.outgoing && follower.next <= follower.joined;
    if (!previous_term || newcomer) {
      WantSnapshot(follower);
      break;
    }
    const bool empty = !has_entries || (!probing && follower.empty_probe_due);
    const Index end =
        empty ? follower.next : log_.EndWithin(follower.next, options_.append_bytes_max);
    SendRange(follower, *previous_term, end);
    if (probing) break;
  }
}

void Core::Impl::SendRange(Progress& follower, Term previous_term, Index end) {
  const IndexRange range{follower.next, end};
  Send(follower.node, AppendRange{range.first.Previous(), previous_term, commit_, range});
  follower.commit_sent = std::max(follower.commit_sent, std::min(commit_, end.Previous()));
  if (follower.state == Progress::State::kProbe) {
    follower.probe_paused = true;
  } else if (range.empty()) {
    follower.empty_probe_due = false;
  } else {
    follower.inflights.Add(end.Previous(), log_.BytesIn(range));
    follower.next = end;
  }
}

// Followers learn of a commit with the next entries. When none have come within a tick that would
// tell them, a heartbeat does, and asks for no answer: a message for every commit would be a third
// of all that are sent.
void Core::Impl::SendCommitAlone(Progress& follower) {
  const Index known = std::min(commit_, follower.match);
  if (known <= follower.commit_sent || !follower.inflights.empty() || follower.probe_paused) return;
  follower.commit_sent = known;
  Send(follower.node, Heartbeat{.commit = known, .read_round = 0, .quiesce = false});
}

void Core::Impl::NextRound(Leading& lead) {
  ++lead.round;
  if (options_.leases) lead.lease.Sent(lead.round, ticks_);
}

void Core::Impl::SendHeartbeat(const Leading& lead, Progress& follower, bool quiesce) {
  const Index known =
      std::min(commit_, Planted(Plant::kHeartbeatCommitsAll) ? commit_ : follower.match);
  follower.commit_sent = std::max(follower.commit_sent, known);
  Send(follower.node, Heartbeat{known, lead.round, quiesce});
}

void Core::Impl::BroadcastHeartbeat(Leading& lead, bool quiesce) {
  NextRound(lead);
  for (Progress& follower : lead.followers) SendHeartbeat(lead, follower, quiesce);
  lead.reads.AskedEveryone();
}

void Core::Impl::OnAppendReply(NodeId from, const AppendReply& reply) {
  Leading* lead = leading();
  Progress* follower = lead ? lead->Find(from) : nullptr;
  if (!follower) return;
  follower->NoteHeard();
  if (!reply.accepted) {
    const Index agreed = log_.LastNotAbove(reply.hint_index, reply.hint_term);
    if (follower->OnRejected(reply.rejected, agreed)) work_ = true;
    return;
  }
  if (reply.match > log_.last()) return;  // no follower of this leader says that
  const bool news = follower->OnAccepted(reply.match);
  const bool compacted = follower->match.Next() < log_.first();
  if (follower->state == Progress::State::kProbe ||
      (follower->state == Progress::State::kSnapshot && !compacted)) {
    follower->BecomeReplicate();
  }
  work_ = true;
  if (!news) return;
  lead->idle_ticks = 0;
  AdvanceTransfer(*lead);
  CommitReached();
}

void Core::Impl::OnHeartbeatReply(NodeId from, const HeartbeatReply& reply) {
  Leading* lead = leading();
  Progress* follower = lead ? lead->Find(from) : nullptr;
  if (!follower || reply.read_round > lead->round) return;
  follower->NoteHeard();
  if (follower->retry_armed) {
    follower->retry_armed = false;
    if (follower->state == Progress::State::kReplicate) {
      follower->empty_probe_due = !follower->inflights.empty();
    } else {
      follower->probe_paused = false;
    }
    work_ = true;
  }
  // Perhaps only its silence kept it from getting a snapshot.
  if (follower->state == Progress::State::kProbe) work_ = true;
  if (reply.read_round > follower->read_round) {
    follower->read_round = reply.read_round;
    ConfirmReads(*lead);
  }
}

void Core::Impl::ReportUnreachable(NodeId node) {
  Leading* lead = leading();
  Progress* follower = lead ? lead->Find(node) : nullptr;
  if (!follower || follower->state != Progress::State::kReplicate) return;
  follower->BecomeProbe(follower->match.Next());
  // Not before it answers a heartbeat.
  follower->probe_paused = true;
}

}  // namespace flotilla::raft
