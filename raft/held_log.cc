#include "raft/held_log.h"

#include <algorithm>

namespace flotilla::raft {

void HeldLog::Sent(NodeId to, bool delivered) {
  const auto found = receivers_.find(to);
  if (found == receivers_.end()) return;
  if (delivered) {
    found->second.under_way = false;
  } else {
    receivers_.erase(found);
  }
}

// Who has left the group, has caught up, went away since, or needs another snapshot.
void HeldLog::Forget(const CoreStatus& status) {
  std::erase_if(receivers_, [&](const auto& one) {
    const auto& [node, receiver] = one;
    const auto follower = std::ranges::find(status.followers, node, &FollowerProgress::node);
    if (follower == status.followers.end()) return true;
    if (std::max(follower->match, receiver.from) < status.snapshot.index) return true;
    const bool caught_up = follower->state == FollowerProgress::State::kReplicate &&
                           follower->lag_bytes <= caught_up_bytes_;
    return !receiver.under_way && (caught_up || !follower->recently_active);
  });
}

Index HeldLog::MayGo(Index durable, For whom, const CoreStatus& status) {
  Forget(status);
  Index target = durable;
  if (whom == For::kNobody) return target;
  for (const FollowerProgress& follower : status.followers) {
    const auto receiver = receivers_.find(follower.node);
    if (receiver != receivers_.end()) {
      target = std::min(target, std::max(follower.match, receiver->second.from));
    } else if (whom == For::kEveryone && follower.recently_active) {
      target = std::min(target, follower.match);
    }
  }
  return target;
}

}  // namespace flotilla::raft
