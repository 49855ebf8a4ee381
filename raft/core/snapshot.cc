#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core/impl.h"

namespace flotilla::raft {

void Core::Impl::OnSnapshotRequest(NodeId from, SnapshotRequest request) {
  if (!HeardLeader(from)) return;
  // One at a time; the leader offers another when this one is in place and too old.
  if (install_) return;
  const SnapshotMark& mark = request.mark;
  if (mark.index <= commit_) {
    OweReply(commit_);  // stale: tell the leader how far this node is
  } else if (log_.TermAt(mark.index) == mark.term) {
    // The log has it all, and now it is known to be committed.
    FollowCommit(mark.index);
    OweReply(mark.index);
  } else {
    install_ = Install{.mark = std::move(request.mark)};
  }
}

void Core::Impl::SnapshotInstalled(Index index) {
  CHECK(install_.has_value() && install_->given);
  CHECK_EQ(index, install_->mark.index);
  CHECK(!leading());
  SnapshotMark mark = std::move(install_->mark);
  install_.reset();
  // The log disagreed with the snapshot, so nothing that it had further on was ever committed.
  if (log_.last() > index) out_.overwritten = {index.Next()};
  log_.ResetTo(index, mark.term);
  disk_.ResetTo(index);
  configurations_.ResetTo(index, std::move(mark.configuration));
  commit_ = given_ = applied_ = index;
  if (leader_) {
    owed_.reset();
    OweReply(index);
  }
}

void Core::Impl::WantSnapshot(Progress& follower) {
  // It is worth its while only for somebody who is there.
  if (!follower.recently_active) return;
  // A learner must not meet entries of before it was a member: the state machine goes by who is one
  // at a kControl entry. A voter may be needed for what is to be applied.
  Leading* lead = leading();
  const bool learner = !follower.voter && !follower.outgoing;
  if (learner && applied_ < std::max(lead->term_start, follower.joined)) {
    lead->snapshot_waits = true;
    return;
  }
  follower.BecomeSnapshot();
  out_.snapshot_wanted_by.push_back(follower.node);
}

void Core::Impl::Compacted(Index index) {
  CHECK_LE(index, given_);
  applied_ = std::max(applied_, index);  // the report of it may still be on its way
  if (index <= log_.start()) return;
  log_.CompactTo(index);
  configurations_.CompactTo(index);
}

void Core::Impl::SnapshotSent(NodeId to, bool delivered, Index mark_index) {
  Leading* lead = leading();
  Progress* follower = lead ? lead->Find(to) : nullptr;
  if (!follower || follower->state != Progress::State::kSnapshot) return;
  const Index next =
      delivered ? std::max(follower->match.Next(), mark_index.Next()) : follower->match.Next();
  follower->BecomeProbe(std::min(next, log_.last().Next()));
  // After a failure, not before the next heartbeat is answered.
  follower->probe_paused = !delivered;
  work_ = true;
}

}  // namespace flotilla::raft
