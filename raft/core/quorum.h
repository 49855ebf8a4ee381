// Quorums: what a majority of voters has reached, and how an election stands.
//
// Pure functions. A joint configuration needs a majority of both of its halves (section 6).
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "raft/core/types.h"

namespace flotilla::raft {

// The largest value that a majority of the voters has reached, given one value per voter. Sorts
// in place. No voters decide nothing: UINT64_MAX, which never holds back the other half.
std::uint64_t MajorityReached(std::span<std::uint64_t> values);

enum class VoteOutcome : std::uint8_t { kPending, kWon, kLost };

// One answer per node at most.
using Votes = std::vector<std::pair<NodeId, bool>>;

// How an election stands under `configuration`, joint or not. Answers of nodes that are not voters
// in it do not count. A configuration without voters elects nobody.
VoteOutcome TallyVotes(const Configuration& configuration, const Votes& votes);

}  // namespace flotilla::raft
