#include "raft/core/impl.h"

namespace flotilla::raft {
namespace {

// The voter that needs least to catch up; one that was heard lately before any other.
const Progress* BestSuccessor(const Leading& lead) {
  const Progress* best = nullptr;
  for (const Progress& follower : lead.followers) {
    if (!follower.voter) continue;
    if (!best || follower.recently_active > best->recently_active ||
        (follower.recently_active == best->recently_active && follower.match > best->match)) {
      best = &follower;
    }
  }
  return best;
}

}  // namespace

bool Core::Impl::TransferLeadership(NodeId target) {
  Leading* lead = leading();
  if (!lead || lead->transfer) return false;
  const Progress* successor = target ? lead->Find(target) : BestSuccessor(*lead);
  if (!successor || !successor->voter) return false;
  Wake();
  lead->idle_ticks = 0;
  lead->transfer = Transfer{.target = successor->node};
  AdvanceTransfer(*lead);
  work_ = true;
  return true;
}

// Nothing new is proposed meanwhile, so the target catches up and may campaign (thesis, 3.10).
void Core::Impl::AdvanceTransfer(Leading& lead) {
  if (!lead.transfer || lead.transfer->sent) return;
  const Progress* target = lead.Find(lead.transfer->target);
  if (!target || !target->voter) {
    lead.transfer.reset();
    return;
  }
  if (target->match != log_.last()) return;
  lead.transfer->sent = true;
  lead.lease.Forfeit();
  Send(target->node, TimeoutNow{});
}

void Core::Impl::TickTransfer(Leading& lead) {
  if (!lead.transfer) return;
  if (++lead.transfer->ticks >= options_.election_timeout_ticks) lead.transfer.reset();
}

void Core::Impl::OnTimeoutNow() {
  // A learner, or a node that was removed since, is not to lead.
  if (std::holds_alternative<Following>(role_) && MayCampaign()) Campaign(/*transfer=*/true);
}

}  // namespace flotilla::raft
