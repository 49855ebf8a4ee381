#include "raft/core/roles.h"

#include <set>
#include <utility>

namespace flotilla::raft {

Progress* Leading::Find(NodeId node) {
  for (Progress& follower : followers) {
    if (follower.node == node) return &follower;
  }
  return nullptr;
}

void Leading::SetMembers(const Configuration& configuration, NodeId self, Index next, bool active) {
  std::set<NodeId> members = configuration.voters;
  members.insert(configuration.outgoing.begin(), configuration.outgoing.end());
  members.insert(configuration.learners.begin(), configuration.learners.end());
  members.insert(configuration.learners_next.begin(), configuration.learners_next.end());
  members.erase(self);

  std::vector<Progress> now;
  now.reserve(members.size());
  for (NodeId node : members) {
    if (Progress* known = Find(node)) {
      now.push_back(std::move(*known));
    } else {
      Progress& added = now.emplace_back();
      added.node = node;
      added.next = next;
      added.recently_active = active;
    }
    now.back().voter = configuration.voters.contains(node);
    now.back().outgoing = configuration.outgoing.contains(node);
  }
  followers = std::move(now);
  self_voter = configuration.voters.contains(self);
  self_outgoing = configuration.outgoing.contains(self);
}

}  // namespace flotilla::raft
