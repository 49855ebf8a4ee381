// Who votes on the directory: as many as before, when some of them are lost or were removed.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <tuple>

#include "shard/placement/spread.h"
#include "shard/placement/steps.h"

namespace flotilla {
namespace {

// Labels by which any keyspace keeps replicas apart: what is lost together.
std::vector<std::string> LabelsApart(const ClusterView& view) {
  std::set<std::string> labels;
  for (const KeyspaceDescriptor& keyspace : view.keyspaces) {
    labels.insert(keyspace.apart.begin(), keyspace.apart.end());
  }
  return {labels.begin(), labels.end()};
}

bool MostAlive(const Draft& draft, const std::set<NodeId>& voters) {
  const std::size_t alive = std::count_if(voters.begin(), voters.end(),
                                          [&](NodeId voter) { return draft.node(voter).alive; });
  return 2 * alive > voters.size();
}

// The learner with the fewest conflicts with the voters that stay; none: nobody may.
NodeId PickVoter(const Draft& draft, const DirectoryMembers& members,
                 const std::vector<std::string>& apart) {
  NodeId best;
  std::uint32_t fewest = 0;
  for (const NodeId learner : members.learners) {
    const NodeState& node = draft.node(learner);
    if (!node.alive || node.leaving || members.behind.contains(learner)) continue;
    std::vector<const NodeRecord*> records{&node.view->record};
    for (const NodeId voter : members.voters) {
      if (!draft.node(voter).lost) records.push_back(&draft.node(voter).view->record);
    }
    const std::uint32_t conflicts = Conflicts(records, apart);
    if (!best || conflicts < fewest) {
      best = learner;
      fewest = conflicts;
    }
  }
  return best;
}

void ObstructWaiting(Draft& draft, const std::set<NodeId>& voters) {
  for (const NodeId voter : voters) {
    const NodeState& node = draft.node(voter);
    if (node.view->liveness != Liveness::kDead || node.lost) continue;
    draft.Obstruct(fmt::format("{}, which votes on the directory, is dead since {}; another does "
                               "instead after {}",
                               NodeText(voter), DurationText(draft.view().now - node.view->since),
                               DurationText(draft.options().dead_after)),
                   GroupId());
  }
}

// In the place of one that was removed. Not while another is about to be.
void CompleteVoters(Draft& draft, const DirectoryMembers& members,
                    const std::vector<std::string>& apart) {
  const std::size_t voters = members.voters.size();
  const bool goes = std::any_of(members.voters.begin(), members.voters.end(),
                                [&](NodeId voter) { return draft.node(voter).going; });
  if (!LacksDirectoryVoter(voters) || goes || !MostAlive(draft, members.voters)) return;
  const NodeId to = PickVoter(draft, members, apart);
  if (!to) return;
  draft.ReplaceVoter(NodeId(), to,
                     {Purpose::kRepair,
                      fmt::format("{} voters stand no more losses than {}", voters, voters - 1)});
}

}  // namespace

void RepairDirectory(Draft& draft) {
  DirectoryMembers members = draft.view().directory;
  ObstructWaiting(draft, members.voters);
  const std::set<NodeId> voters = members.voters;
  const std::vector<std::string> apart = LabelsApart(draft.view());
  for (const NodeId voter : voters) {
    if (!draft.node(voter).lost) continue;
    if (!MostAlive(draft, members.voters)) {
      draft.Obstruct(
          "most of the directory's voters are dead: nothing can change before they return",
          GroupId());
      return;
    }
    const NodeId to = PickVoter(draft, members, apart);
    // Without a successor an even number is better off as an odd one, which stops no sooner.
    if (!to && members.voters.size() % 2 != 0) {
      draft.Obstruct(fmt::format("{}, which votes on the directory, is lost, and no other node can "
                                 "vote instead",
                                 NodeText(voter)),
                     GroupId());
      return;
    }
    draft.ReplaceVoter(voter, to, {Purpose::kRepair, LostText(draft, voter)});
    members.voters.erase(voter);
    members.learners.insert(voter);
    if (to) {
      members.voters.insert(to);
      members.learners.erase(to);
    }
  }
  CompleteVoters(draft, members, apart);
}

}  // namespace flotilla
