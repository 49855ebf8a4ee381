#include "cmd/kvctl/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace flotilla::kvctl {
namespace {

// An applied index this far behind the leader's commit is called lagging.
constexpr std::uint64_t kLagEntriesMax = 100'000;

// It was removed from the cluster: whatever it has and knows is old.
bool HasLeft(const v1::NodeStatus& node) { return node.state() == v1::NODE_STATE_LEFT; }

std::map<std::string, std::uint64_t> MembersOf(const std::vector<NodeAnswer>& answers) {
  std::map<std::string, std::uint64_t> members;
  for (const NodeAnswer& answer : answers) {
    if (!answer.status.ok() || HasLeft(answer.status->node())) continue;
    for (const v1::GroupStatus& group : answer.status->groups()) {
      for (const v1::MemberStatus& member : group.members()) {
        if (!member.address().empty()) members[member.address()] = member.node_id();
      }
    }
  }
  return members;
}

// The leader's own line of the highest term; nodes of older terms may still believe in others.
const StatusLine* LeaderOf(const std::vector<StatusLine>& lines, std::uint64_t group) {
  const StatusLine* leader = nullptr;
  for (const StatusLine& line : lines) {
    if (!line.reachable || line.group.group_id() != group || line.group.role() != v1::ROLE_LEADER) {
      continue;
    }
    if (leader == nullptr || line.group.term() > leader->group.term()) leader = &line;
  }
  return leader;
}

void FindProblems(ClusterView& view, const std::map<std::string, std::uint64_t>& members) {
  std::set<std::uint64_t> groups;
  std::set<std::uint64_t> clusters;
  for (const StatusLine& line : view.lines) {
    const std::string name =
        line.node_id != 0 ? fmt::format("n{} {}", line.node_id, line.address) : line.address;
    if (!line.reachable) {
      if (members.empty() || members.count(line.address) > 0) view.problems.push_back(line.error);
      continue;
    }
    if (line.node.cluster_id() != 0) clusters.insert(line.node.cluster_id());
    if (HasLeft(line.node)) continue;
    if (line.node.state() == v1::NODE_STATE_SLOW_DISK) {
      view.problems.push_back(name + ": its disk does not answer; it gives its leaderships away");
    } else if (line.node.state() != v1::NODE_STATE_SERVING) {
      view.problems.push_back(name + " is not serving");
    }
    if (line.group.group_id() != 0) groups.insert(line.group.group_id());
    if (line.lag && *line.lag > kLagEntriesMax) {
      view.problems.push_back(fmt::format("{} is {} entries behind", name, *line.lag));
    }
  }
  for (const std::uint64_t group : groups) {
    if (LeaderOf(view.lines, group) == nullptr) {
      view.problems.push_back(fmt::format("group {} has no leader that answers", group));
    }
  }
  if (clusters.size() > 1) view.problems.push_back("the endpoints belong to different clusters");
}

}  // namespace

std::vector<std::string> UnaskedMembers(const std::vector<NodeAnswer>& answers) {
  std::vector<std::string> unasked;
  for (const auto& [address, node] : MembersOf(answers)) {
    const bool asked = std::any_of(answers.begin(), answers.end(), [&](const NodeAnswer& answer) {
      return answer.address == address ||
             (answer.status.ok() && answer.status->node().node_id() == node);
    });
    if (!asked) unasked.push_back(address);
  }
  return unasked;
}

ClusterView ViewOf(const std::vector<NodeAnswer>& answers) {
  ClusterView view;
  const auto members = MembersOf(answers);
  std::set<std::uint64_t> seen;
  for (const NodeAnswer& answer : answers) {
    StatusLine line;
    line.address = answer.address;
    if (!answer.status.ok()) {
      const auto member = members.find(answer.address);
      if (member != members.end()) line.node_id = member->second;
      line.error = std::string(MessageOf(answer.status.status()));
      view.lines.push_back(std::move(line));
      continue;
    }
    line.reachable = true;
    line.node = answer.status->node();
    line.node_id = line.node.node_id();
    if (line.node_id != 0 && !seen.insert(line.node_id).second) continue;  // named twice
    if (line.node.cluster_id() != 0) view.cluster_id = line.node.cluster_id();
    if (answer.status->groups().empty()) view.lines.push_back(line);
    for (const v1::GroupStatus& group : answer.status->groups()) {
      line.group = group;
      view.lines.push_back(line);
    }
  }
  for (StatusLine& line : view.lines) {
    const StatusLine* leader = LeaderOf(view.lines, line.group.group_id());
    if (!line.reachable || leader == nullptr) continue;
    view.leader_id = leader->node_id;
    const std::uint64_t commit = leader->group.commit_index();
    line.lag = commit - std::min(commit, line.group.applied_index());
  }
  std::sort(view.lines.begin(), view.lines.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.node_id == 0, a.node_id, a.group.group_id(), a.address) <
           std::tuple(b.node_id == 0, b.node_id, b.group.group_id(), b.address);
  });
  FindProblems(view, members);
  return view;
}

}  // namespace flotilla::kvctl
