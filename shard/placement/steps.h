// The ranks of the balancer's steps, in the order in which they are thought out. Each looks at the
// draft as those before left it, and adds its own steps.
#pragma once

#include "shard/placement/draft.h"

namespace flotilla {

// Has other nodes vote on the directory instead of those that are lost (directory_voters.cc).
void RepairDirectory(Draft& draft);
// Replaces lost replicas, adds missing ones, removes ones too many (repair.cc).
void Repair(Draft& draft);
// Empties nodes that are to be (relocate.cc).
void Drain(Draft& draft);
// Brings replicas onto nodes with the required labels, and apart (relocate.cc).
void ObeyLabels(Draft& draft);
// Brings shards of hash keyspaces to where the ring wants them (relocate.cc).
void FollowRing(Draft& draft);
// Evens out replicas over nodes: their number, their bytes and the load they attract (even.cc).
void EvenReplicas(Draft& draft);
// Evens out leaders over nodes: their number and their load (even.cc).
void EvenLeaders(Draft& draft);
// Splits what is big or hot. Before evening out, which has to leave these alone (sizes.cc).
void SplitShards(Draft& draft);
// Merges small cold neighbours (sizes.cc).
void MergeShards(Draft& draft);

// Which of the draft's steps, in order of purpose, start now, given the jobs that run; the rest is
// for later (limits.cc). Takes the steps out of the draft.
void ApplyLimits(Draft& draft, Plan& plan);

}  // namespace flotilla
