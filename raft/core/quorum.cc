#include "raft/core/quorum.h"

#include <algorithm>

namespace flotilla::raft {
namespace {

VoteOutcome TallyHalf(const std::set<NodeId>& voters, const Votes& votes) {
  std::size_t granted = 0;
  std::size_t refused = 0;
  for (const auto& [node, grant] : votes) {
    if (!voters.contains(node)) continue;
    ++(grant ? granted : refused);
  }
  const std::size_t majority = voters.size() / 2 + 1;
  if (granted >= majority) return VoteOutcome::kWon;
  if (voters.size() - refused < majority) return VoteOutcome::kLost;
  return VoteOutcome::kPending;
}

}  // namespace

std::uint64_t MajorityReached(std::span<std::uint64_t> values) {
  if (values.empty()) return UINT64_MAX;
  // Of n ascending values, the one with a majority at or above it.
  auto nth = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

VoteOutcome TallyVotes(const Configuration& configuration, const Votes& votes) {
  const VoteOutcome incoming = TallyHalf(configuration.voters, votes);
  if (!configuration.joint()) return incoming;
  const VoteOutcome outgoing = TallyHalf(configuration.outgoing, votes);
  if (incoming == VoteOutcome::kLost || outgoing == VoteOutcome::kLost) return VoteOutcome::kLost;
  if (incoming == VoteOutcome::kWon && outgoing == VoteOutcome::kWon) return VoteOutcome::kWon;
  return VoteOutcome::kPending;
}

}  // namespace flotilla::raft
