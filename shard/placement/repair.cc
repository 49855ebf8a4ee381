// Repair: as many replicas as the keyspace asks for, on nodes that are not lost.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <tuple>

#include "shard/placement/spread.h"
#include "shard/placement/steps.h"

namespace flotilla {
namespace {

std::string RequiredText(const KeyspaceDescriptor& keyspace) {
  return keyspace.require.empty() ? "" : fmt::format(" with {}", LabelsText(keyspace.require));
}

// How many voters the shard can have: as its keyspace asks, or as nodes allow; not an even number
// for want of nodes, as two voters stop when either is lost, and four when two are, like three.
struct Wanted {
  std::size_t voters = 0;
  std::size_t fit = 0;  // nodes, those that have one included
};
Wanted WantedOf(Draft& draft, const ShardState& shard) {
  Wanted wanted;
  for (const auto& [id, node] : draft.nodes()) {
    wanted.fit += draft.CanTake(shard, id) || (shard.voters.contains(id) && !node.leaving) ||
                  (shard.learners.contains(id) && node.takes);
  }
  const std::size_t replicas = shard.keyspace->replicas;
  wanted.voters = std::min(replicas, wanted.fit);
  if (wanted.voters < replicas && wanted.voters > 0 && wanted.voters % 2 == 0) --wanted.voters;
  return wanted;
}

// Of the voters of a healthy shard that has too many: off the nodes to be emptied, off the ring's
// other nodes, with the labels apart, off the fullest.
NodeId PickVictim(Draft& draft, const ShardState& shard) {
  std::vector<NodeId> places;
  if (shard.OnRing()) places = draft.RingPlaces(shard);
  NodeId best;
  std::tuple<bool, bool, std::uint32_t, bool, double> best_cost;
  for (const NodeId voter : shard.voters) {
    const NodeState& node = draft.node(voter);
    const bool placed = std::find(places.begin(), places.end(), voter) != places.end();
    const double weight = std::max(node.weight, kWeightMin / 100.0);
    const std::tuple<bool, bool, std::uint32_t, bool, double> cost{
        !node.leaving, placed, draft.ConflictsAfter(shard, voter, NodeId()), voter == shard.leader,
        -(node.replicas / weight)};
    if (!best || cost < best_cost) {
      best = voter;
      best_cost = cost;
    }
  }
  return best;
}

NodeId FirstLost(const Draft& draft, const std::set<NodeId>& replicas) {
  const auto lost = std::find_if(replicas.begin(), replicas.end(),
                                 [&](NodeId replica) { return draft.node(replica).lost; });
  return lost == replicas.end() ? NodeId() : *lost;
}

void ObstructTooFew(Draft& draft, const ShardState& shard, std::size_t fit) {
  const std::size_t replicas = shard.keyspace->replicas;
  if (shard.voters.size() >= replicas || fit >= replicas) return;
  draft.Obstruct(
      fmt::format("has {} of {} replicas: needs {} more node(s){} that are alive, active and have "
                  "room{}",
                  shard.voters.size(), replicas, replicas - fit, RequiredText(*shard.keyspace),
                  fit > shard.voters.size()
                      ? "; an even number of voters would be lost sooner than an odd one"
                      : ""),
      shard.group());
}

// One that could vote as well: where nobody else can take a replica, for which it has the place.
NodeId LearnerToPromote(const Draft& draft, const ShardState& shard) {
  const auto found = std::find_if(shard.learners.begin(), shard.learners.end(),
                                  [&](NodeId learner) { return draft.node(learner).takes; });
  return found == shard.learners.end() ? NodeId() : *found;
}

// One step, if there is one.
bool RepairVoters(Draft& draft, ShardState& shard) {
  const std::size_t replicas = shard.keyspace->replicas;
  const NodeId lost = FirstLost(draft, shard.voters);
  if (shard.voters.size() > replicas) {
    if (!lost && !draft.AllHealthy(shard)) return false;
    const NodeId victim = lost ? lost : PickVictim(draft, shard);
    draft.Remove(
        shard, victim,
        {Purpose::kRepair, fmt::format("{} replicas, {} wanted", shard.voters.size(), replicas)});
    return true;
  }
  if (lost) {
    const NodeId to = draft.PickTarget(shard, lost);
    if (!to && draft.node(lost).going && draft.NobodyElse(shard)) {
      draft.Remove(shard, lost, {Purpose::kRepair, LostText(draft, lost)});
      return true;
    }
    if (!to) {
      draft.Obstruct(fmt::format("a replica is lost ({}), and no other node{} can take one",
                                 LostText(draft, lost), RequiredText(*shard.keyspace)),
                     shard.group());
      return false;
    }
    draft.Move(shard, lost, to, {Purpose::kRepair, LostText(draft, lost)});
    return true;
  }
  if (!draft.AllHealthy(shard)) return false;
  const Wanted wanted = WantedOf(draft, shard);
  if (shard.voters.size() < wanted.voters) {
    NodeId to = draft.PickTarget(shard, NodeId());
    if (!to) to = LearnerToPromote(draft, shard);
    if (to) {
      draft.Add(
          shard, to,
          {Purpose::kRepair, fmt::format("{} of {} replicas", shard.voters.size(), replicas)});
      return true;
    }
  }
  ObstructTooFew(draft, shard, wanted.fit);
  return false;
}

// Learners are no part of the replica count, and not replaced where nobody can take them.
bool RepairLearners(Draft& draft, ShardState& shard) {
  const NodeId lost = FirstLost(draft, shard.learners);
  if (!lost) return false;
  const NodeId to = draft.PickTarget(shard, NodeId());
  if (to) {
    draft.Move(shard, lost, to, {Purpose::kRepair, LostText(draft, lost)});
  } else {
    draft.Remove(shard, lost, {Purpose::kRepair, LostText(draft, lost)});
  }
  return true;
}

// How many more voters the shard can lose.
std::size_t Slack(const Draft& draft, const ShardState& shard) {
  const std::size_t healthy =
      std::count_if(shard.voters.begin(), shard.voters.end(),
                    [&](NodeId voter) { return draft.Healthy(shard, voter); });
  const std::size_t quorum = shard.voters.size() / 2 + 1;
  return healthy > quorum ? healthy - quorum : 0;
}

void ObstructWaiting(Draft& draft) {
  for (const auto& [id, node] : draft.nodes()) {
    if (node.view->liveness != Liveness::kDead || node.lost || node.replicas == 0) continue;
    draft.Obstruct(fmt::format("{} is dead since {}; its {} replicas are replaced after {}",
                               NodeText(id), DurationText(draft.view().now - node.view->since),
                               node.replicas, DurationText(draft.options().dead_after)),
                   GroupId());
  }
}

}  // namespace

void Repair(Draft& draft) {
  ObstructWaiting(draft);
  std::vector<ShardState*> shards;
  for (ShardState& shard : draft.shards()) {
    if (!shard.busy) shards.push_back(&shard);
  }
  // Those that are nearest to losing their quorum first.
  std::sort(shards.begin(), shards.end(), [&](const ShardState* a, const ShardState* b) {
    return std::tuple(Slack(draft, *a), a) < std::tuple(Slack(draft, *b), b);
  });
  for (ShardState* shard : shards) {
    if (!draft.HasQuorum(*shard)) {
      draft.Obstruct("most of its voters are dead or behind: nothing can change before they return",
                     shard->group());
    } else if (!shard->leader) {
      draft.Obstruct("nobody leads it at the moment", shard->group());
    } else {
      while (RepairVoters(draft, *shard)) {
      }
      while (RepairLearners(draft, *shard)) {
      }
    }
  }
}

}  // namespace flotilla
