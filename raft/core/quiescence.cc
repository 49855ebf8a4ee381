#include "raft/core/impl.h"

namespace flotilla::raft {

// Everybody has everything, and nobody waits for anything.
bool Core::Impl::MayQuiesce(const Leading& lead) const {
  if (lead.transfer || !lead.reads.empty() || configuration().joint()) return false;
  if (disk_.durable() != log_.last() || commit_ != log_.last()) return false;
  for (const Progress& follower : lead.followers) {
    // One that is away would come back to a silent group.
    if (follower.match != log_.last() || !follower.recently_active) return false;
  }
  return true;
}

void Core::Impl::TickQuiescence(Leading& lead) {
  if (options_.quiesce_after_ticks == 0) return;
  if (++lead.idle_ticks < options_.quiesce_after_ticks || !MayQuiesce(lead)) return;
  BroadcastHeartbeat(lead, /*quiesce=*/true);
  lead.lease.Reset();  // ticks stand still from here
  quiescent_ = true;
}

void Core::Impl::Wake() {
  if (!quiescent_) return;
  quiescent_ = false;
  Leading* lead = leading();
  if (!lead) {
    ResetElectionTimer();
    return;
  }
  lead->idle_ticks = 0;
  lead->ticks_since_heartbeat = 0;
  lead->ticks_since_quorum_check = 0;
  for (Progress& follower : lead->followers) {
    follower.recently_active = follower.activity_assumed = true;
  }
  BroadcastHeartbeat(*lead, /*quiesce=*/false);
}

void Core::Impl::KeepAwake() {
  if (Leading* lead = leading()) lead->idle_ticks = 0;
}

}  // namespace flotilla::raft
