#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "raft/core/impl.h"

namespace flotilla::raft {

// Committed, and on this node's own disk: a state machine never runs ahead of its own log. A write
// may still become durable while a snapshot takes the log's place: it comes too late.
Index Core::Impl::AppliableEnd() const {
  if (install_ && install_->given) return given_.Next();
  return std::min(commit_, disk_.durable()).Next();
}

bool Core::Impl::ReplyReleasable() const {
  return owed_ && *owed_ <= disk_.durable() && disk_.hard_state_durable();
}

bool Core::Impl::HasReady() const {
  if (work_ || disk_.wanted() || ReplyReleasable()) return true;
  if (!out_.now.empty() || (!out_.waiting.empty() && disk_.hard_state_durable())) return true;
  if (given_.Next() < AppliableEnd()) return true;
  if (!out_.reads_confirmed.empty() || !out_.reads_refused.empty()) return true;
  if (!out_.snapshot_wanted_by.empty() || out_.overwritten) return true;
  if (install_ && !install_->given) return true;
  return announced_.role != role() || announced_.term != term_ || announced_.leader != leader_;
}

Ready Core::Impl::TakeReady() {
  Ready ready;
  if (work_) {
    work_ = false;
    if (Leading* lead = leading()) {
      StartReads(*lead);
      ReplicateToAll(*lead);
    } else {
      ForwardReads();
    }
  }
  const LeadershipChange now{role(), term_, leader_};
  if (announced_.role != now.role || announced_.term != now.term ||
      announced_.leader != now.leader) {
    ready.leadership = announced_ = now;
  }

  ready.persist = disk_.Take({term_, vote_, commit_, forgotten_});
  EmitReply(ready);
  EmitWaiting(ready);
  ready.send_now = std::exchange(out_.now, {});

  const Index end = AppliableEnd();
  if (given_.Next() < end) {
    ready.committed = {given_.Next(), end};
    given_ = end.Previous();
  }
  ready.reads_confirmed = std::exchange(out_.reads_confirmed, {});
  ready.reads_refused = std::exchange(out_.reads_refused, {});
  ready.snapshot_wanted_by = std::exchange(out_.snapshot_wanted_by, {});
  ready.overwritten = std::exchange(out_.overwritten, std::nullopt);
  // Entries of the log that is about to go are written first, in a Ready of their own.
  if (install_ && !install_->given && (!ready.persist || ready.persist->entries.empty())) {
    install_->given = true;
    ready.install = install_->mark;
  }
  return ready;
}

// One acknowledgement for all requests since the last Ready. It promises durability: it leaves at
// once when there is nothing to wait for, after this Ready's batch when there is one, and else is
// held here until the batch under way is completed.
void Core::Impl::EmitReply(Ready& ready) {
  if (!owed_) return;
  const bool releasable = ReplyReleasable();
  const bool by_index = Planted(Plant::kOldCompletionConfirms);
  if (!releasable && (!ready.persist || by_index)) return;
  AppendReply reply;
  reply.accepted = true;
  reply.match = *owed_;
  (releasable ? out_.now : ready.send_after_persist).push_back({leader_, term_, reply});
  owed_.reset();
}

// The same for everything that carries a term which is not durable yet.
void Core::Impl::EmitWaiting(Ready& ready) {
  if (out_.waiting.empty()) return;
  auto take = [&](std::vector<OutgoingMessage>& into) {
    into.insert(into.end(), std::make_move_iterator(out_.waiting.begin()),
                std::make_move_iterator(out_.waiting.end()));
    out_.waiting.clear();
  };
  if (ready.persist) {
    take(ready.send_after_persist);
  } else if (disk_.hard_state_durable()) {
    take(out_.now);
  }
}

CoreStatus Core::Impl::Status() const {
  CoreStatus status;
  status.role = role();
  status.term = term_;
  status.vote = vote_;
  status.leader = leader_;
  status.commit = commit_;
  status.applied = applied_;
  status.last = log_.last();
  status.durable = disk_.durable();
  status.snapshot = {log_.start(), log_.start_term(), configurations_.At(log_.start())};
  status.configuration = configuration();
  status.configuration_index = configurations_.index();
  status.quiescent = quiescent_;
  const Leading* lead = leading();
  if (!lead) return status;
  if (lead->transfer) status.transfer_target = lead->transfer->target;
  for (const Progress& follower : lead->followers) {
    FollowerProgress shown;
    shown.node = follower.node;
    shown.match = follower.match;
    shown.next = follower.next;
    shown.state = static_cast<FollowerProgress::State>(follower.state);
    shown.inflight_bytes = follower.inflights.bytes();
    shown.lag_bytes = LagBytes(follower);
    shown.recently_active = follower.recently_active || follower.active_before;
    shown.activity_assumed = follower.activity_assumed;
    shown.learner = !follower.voter && !follower.outgoing;
    status.followers.push_back(shown);
  }
  return status;
}

}  // namespace flotilla::raft
