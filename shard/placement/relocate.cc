// Relocation: off nodes that are to be empty, onto nodes with the right labels, and to where the
// ring wants shards.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <tuple>

#include "shard/placement/spread.h"
#include "shard/placement/steps.h"

namespace flotilla {
namespace {

bool Movable(const Draft& draft, const ShardState& shard) {
  return !shard.busy && shard.leader && draft.AllHealthy(shard);
}

std::string LeavingText(const Draft& draft, NodeId id) {
  const bool draining = draft.node(id).view->record.role == NodeRole::kDraining;
  return fmt::format("{} is {}", NodeText(id), draining ? "draining" : "decommissioned");
}

void DrainReplica(Draft& draft, ShardState& shard, NodeId from) {
  if (!draft.AllHealthy(shard)) {
    draft.Obstruct(fmt::format("{} keeps its replica until all voters are alive and caught up",
                               NodeText(from)),
                   shard.group());
    return;
  }
  const NodeId replaced = shard.voters.contains(from) ? from : NodeId();
  const NodeId to = draft.PickTarget(shard, replaced);
  if (!to && draft.node(from).going && draft.NobodyElse(shard) &&
      (!replaced || shard.voters.size() > 1)) {
    draft.Remove(shard, from, {Purpose::kDrain, LeavingText(draft, from)});
    return;
  }
  if (!to) {
    draft.Obstruct(fmt::format("cannot leave {}: no other node {}is alive, active and has room",
                               NodeText(from),
                               shard.keyspace->require.empty()
                                   ? ""
                                   : "with " + LabelsText(shard.keyspace->require) + " "),
                   shard.group());
    return;
  }
  draft.Move(shard, from, to, {Purpose::kDrain, LeavingText(draft, from)});
}

// The exchange of one voter that leaves the fewest conflicts; of equals the one that spares the
// leader, then the one that fills the emptiest node, or the
// first.
struct Exchange {
  NodeId from;
  NodeId to;
  std::tuple<std::uint32_t, bool, double> cost;
};
Exchange BestExchange(Draft& draft, const ShardState& shard, const std::vector<NodeId>& from,
                      const std::vector<NodeId>& to, bool by_fill) {
  Exchange best;
  for (const NodeId leaves : from) {
    for (const NodeId comes : to) {
      if (!draft.CanTake(shard, comes)) continue;
      const NodeState& node = draft.node(comes);
      const std::tuple<std::uint32_t, bool, double> cost{
          draft.ConflictsAfter(shard, leaves, comes), leaves == shard.leader,
          by_fill ? (node.replicas + 1) / node.weight : 0};
      if (!best.to || cost < best.cost) best = {leaves, comes, cost};
    }
  }
  return best;
}

std::vector<NodeId> AllNodes(Draft& draft) {
  std::vector<NodeId> all;
  for (const auto& [id, node] : draft.nodes()) all.push_back(id);
  return all;
}

bool MoveToRequired(Draft& draft, ShardState& shard) {
  const Labels& require = shard.keyspace->require;
  for (const NodeId voter : shard.voters) {
    if (Satisfies(draft.node(voter).view->record, require)) continue;
    const NodeId to = draft.PickTarget(shard, voter);
    if (!to) {
      draft.Obstruct(fmt::format("{} lacks {}, and no other node that has it can take the replica",
                                 NodeText(voter), LabelsText(require)),
                     shard.group());
      return false;
    }
    draft.Move(
        shard, voter, to,
        {Purpose::kConstraint, fmt::format("{} lacks {}", NodeText(voter), LabelsText(require))});
    return true;
  }
  return false;
}

std::string ApartText(const KeyspaceDescriptor& keyspace) {
  return fmt::format("{}", fmt::join(keyspace.apart, ", "));
}

bool MoveApart(Draft& draft, ShardState& shard, const std::vector<NodeId>& nodes) {
  const std::uint32_t now = draft.ConflictsOf(shard, shard.voters);
  if (now == 0) return false;
  const std::vector<NodeId> voters(shard.voters.begin(), shard.voters.end());
  const Exchange best = BestExchange(draft, shard, voters, nodes, /*by_fill=*/true);
  if (!best.to || std::get<0>(best.cost) >= now) {
    draft.Obstruct(fmt::format("replicas share their {}: no node that could take one would "
                               "spread them better",
                               ApartText(*shard.keyspace)),
                   shard.group());
    return false;
  }
  draft.Move(shard, best.from, best.to,
             {Purpose::kConstraint, fmt::format("{} shares its {} with another replica",
                                                NodeText(best.from), ApartText(*shard.keyspace))});
  return true;
}

bool MoveOnRing(Draft& draft, ShardState& shard, const std::vector<NodeId>& places) {
  std::vector<NodeId> from;
  std::vector<NodeId> to;
  for (const NodeId voter : shard.voters) {
    if (std::find(places.begin(), places.end(), voter) == places.end()) from.push_back(voter);
  }
  for (const NodeId place : places) {
    if (!shard.Has(place)) to.push_back(place);
  }
  // The same way whatever else the nodes hold, so that every plan on the way is the same.
  const Exchange best = BestExchange(draft, shard, from, to, /*by_fill=*/false);
  // Never less apart on the way than at both of its ends.
  const std::uint32_t most =
      std::max(draft.ConflictsOf(shard, shard.voters),
               draft.ConflictsOf(shard, std::set<NodeId>(places.begin(), places.end())));
  if (!best.to || std::get<0>(best.cost) > most) return false;
  draft.Move(shard, best.from, best.to,
             {Purpose::kRing, fmt::format("{} is next to it on the ring, {} is not",
                                          NodeText(best.to), NodeText(best.from))});
  return true;
}

}  // namespace

void Drain(Draft& draft) {
  for (ShardState& shard : draft.shards()) {
    if (shard.busy || !shard.leader || !draft.HasQuorum(shard)) continue;
    std::vector<NodeId> leaving;
    for (const std::set<NodeId>* replicas : {&shard.voters, &shard.learners}) {
      for (const NodeId replica : *replicas) {
        const NodeState& node = draft.node(replica);
        if (node.leaving && !node.lost) leaving.push_back(replica);
      }
    }
    // Leaderships go at once, be it that replicas cannot.
    if (draft.node(shard.leader).leaving) {
      if (const NodeId heir = draft.PickLeader(shard, shard.leader, /*leaving_too=*/false)) {
        draft.Transfer(shard, heir, {Purpose::kDrain, LeavingText(draft, shard.leader)});
      }
    }
    for (const NodeId from : leaving) DrainReplica(draft, shard, from);
  }
}

void ObeyLabels(Draft& draft) {
  const std::vector<NodeId> nodes = AllNodes(draft);
  for (ShardState& shard : draft.shards()) {
    if (shard.view->descriptor.pinned || shard.OnRing() || !Movable(draft, shard)) continue;
    while (MoveToRequired(draft, shard)) {
    }
    while (MoveApart(draft, shard, nodes)) {
    }
  }
}

void FollowRing(Draft& draft) {
  for (ShardState& shard : draft.shards()) {
    if (!shard.OnRing() || !Movable(draft, shard)) continue;
    const std::vector<NodeId> places = draft.RingPlaces(shard);
    while (MoveOnRing(draft, shard, places)) {
    }
  }
}

}  // namespace flotilla
