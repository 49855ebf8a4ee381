#include "tests/sim/operator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "shard/directory/job_edits.h"

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kOperate = 45;
constexpr Duration kPollInterval = std::chrono::milliseconds(100);
constexpr Duration kPatience = std::chrono::seconds(3);
constexpr Duration kLinger = std::chrono::seconds(5);
// Who is let in hears of it sooner.
constexpr Duration kStrandedAfter = std::chrono::seconds(5);
constexpr std::size_t kVotersMin = 3;
// As shard/membership.cc has it.
constexpr std::size_t kDirectoryVotersMax = 5;

}  // namespace

Operator::Operator(const Options& options, EventLoop* loop, SimCluster* cluster)
    : options_(options), loop_(loop), cluster_(cluster), random_(options.seed) {}

void Operator::Start() {
  next_plan_ = loop_->now() + options_.between_changes_max;
  Poll();
}

void Operator::End() { ended_ = true; }

void Operator::After(Duration max, Closure closure) {
  const Duration wait(
      static_cast<std::int64_t>(random_.Below(static_cast<std::uint64_t>(max.count()) + 1)));
  loop_->At(loop_->now() + wait, kNoProcess, kOperate, std::move(closure));
}

std::vector<int> Operator::Machines(bool in_use) const {
  std::vector<int> machines;
  for (int node = 0; node < cluster_->size(); ++node) {
    if (cluster_->in_use(node) == in_use) machines.push_back(node);
  }
  return machines;
}

int Operator::Pick(std::vector<int>& among) {
  const std::size_t at = random_.Below(among.size());
  const int node = among[at];
  among.erase(among.begin() + static_cast<std::ptrdiff_t>(at));
  return node;
}

std::optional<NodeId> Operator::Member(int node) const {
  const auto known = registry_.addresses.find(SimCluster::AddressOf(node));
  if (known == registry_.addresses.end()) return {};
  return known->second;
}

bool Operator::RegistryHasVotersEnough(std::size_t nodes) const {
  return registry_.voters.size() >= std::min(nodes, kDirectoryVotersMax);
}

// Fewer voters than usual would not outlive the loss of a disk, nor would those of whom one has
// gone already; and what a job is changing may be otherwise than the directory has it.
bool Operator::ShardsAreWhole() const {
  // Nobody has shown it yet.
  if (directory_->shards().empty()) return false;
  std::set<NodeId> members;
  for (const auto& [address, node] : registry_.addresses) members.insert(node);
  const auto& shards = directory_->shards();
  return std::all_of(shards.begin(), shards.end(), [&](const auto& one) {
    const ShardDescriptor& shard = one.second;
    return shard.voters.size() >= kVotersMin && std::ranges::includes(members, shard.voters) &&
           JobAbout(*directory_, shard.group) == nullptr;
  });
}

bool Operator::Settled() const {
  if (!departing_.empty() || !arriving_.empty() || !data_.learners.empty()) return false;
  if (!ShardsAreWhole()) return false;
  const std::vector<int> machines = Machines(true);
  std::set<NodeId> strangers = data_.voters;
  for (const int node : machines) {
    const std::optional<NodeId> member = Member(node);
    if (!member) return false;
    strangers.erase(*member);
  }
  return strangers.empty() && data_.voters.size() >= kVotersMin &&
         registry_.addresses.size() == machines.size() && RegistryHasVotersEnough(machines.size());
}

std::string Operator::Describe() const {
  std::string text;
  for (const auto& [address, node] : registry_.addresses) {
    text += fmt::format("\n  {} is node {}: {} of the directory, {} of the data", address,
                        node.value(), registry_.voters.contains(node) ? "voter" : "learner",
                        data_.voters.contains(node)     ? "voter"
                        : data_.learners.contains(node) ? "learner"
                                                        : "no member");
  }
  for (const auto& [node, departure] : departing_) {
    text += fmt::format("\n  {}, node {}, is to go{}", SimCluster::AddressOf(node),
                        departure.node.value(), departure.removed ? " and is removed" : "");
  }
  for (const int node : arriving_) {
    text += fmt::format("\n  {} is to come", SimCluster::AddressOf(node));
  }
  for (const auto& [node, said] : said_) {
    text += fmt::format("\n  {}{}: {}", SimCluster::AddressOf(node),
                        cluster_->running(node) ? "" : " (gone)", said);
  }
  return text;
}

void Operator::Poll() {
  Look();
  for (int node = 0; node < cluster_->size(); ++node) {
    if (cluster_->running(node)) RemoveFormerSelf(node);
  }
  for (auto& [node, departure] : departing_) {
    if (!departure.asking && !departure.removed) AskToRemove(node, departure);
  }
  changes_ += std::erase_if(arriving_, [this](int node) { return Arrived(node); });
  if (options_.changes && !ended_ && loop_->now() >= next_plan_ && Settled()) Plan();
  loop_->At(loop_->now() + kPollInterval, kNoProcess, kOperate, [this] { Poll(); });
}

// A machine that asked to be let in while its disk was about to be taken away may have become a
// member that nobody is any more.
void Operator::RemoveFormerSelf(int node) {
  const std::optional<NodeId> member = Member(node);
  const bool stranded = member && !departing_.contains(node) && is_.contains(node) && !is_[node];
  if (!stranded) {
    stranded_since_.erase(node);
    return;
  }
  const auto since = stranded_since_.try_emplace(node, loop_->now()).first;
  if (loop_->now() - since->second < kStrandedAfter) return;
  departing_[node] = {.node = *member, .lost = false, .comes_back = true};
}

// ---- looking --------------------------------------------------------------------------------

void Operator::Look() {
  for (int node = 0; node < cluster_->size(); ++node) {
    if (!cluster_->running(node)) continue;
    std::shared_ptr<const DirectoryImage> image = cluster_->node(node)->DirectoryView();
    if (image->version() > directory_->version()) directory_ = std::move(image);
    cluster_->node(node)->Info([this, node](const NodeInfo& info) { NoteInfo(node, info); });
  }
}

void Operator::NoteInfo(int node, const NodeInfo& info) {
  is_[node] = info.node;
  said_[node] = fmt::format("node {}, state {}", info.node.value(), static_cast<int>(info.state));
  for (const GroupInfo& group : info.groups) {
    const raft::CoreStatus& core = group.core;
    said_[node] += fmt::format(
        "; group {}: role {} in term {}, leader {}, log {}..{}, durable {}, commit {}, applied {}, "
        "configuration at {}",
        group.group.value(), static_cast<int>(core.role), core.term.value(), core.leader.value(),
        core.snapshot.index.value(), core.last.value(), core.durable.value(), core.commit.value(),
        group.applied.value(), core.configuration_index.value());
    const auto list = [&](std::string_view what, const std::set<NodeId>& nodes) {
      if (nodes.empty()) return;
      said_[node] += fmt::format(", {}", what);
      for (const NodeId one : nodes) said_[node] += fmt::format(" {}", one.value());
    };
    list("voters", core.configuration.voters);
    list("outgoing", core.configuration.outgoing);
    list("learners", core.configuration.learners);
    if (core.configuration_index > core.commit || core.configuration.joint()) continue;
    if (group.group != kDirectoryGroup && group.group != kFirstDataGroup) continue;
    View& view = group.group == kDirectoryGroup ? registry_ : data_;
    if (core.configuration_index < view.index) continue;
    view.index = core.configuration_index;
    view.voters = core.configuration.voters;
    view.learners = core.configuration.learners;
    view.addresses.clear();
    for (const MemberInfo& member : group.members) view.addresses[member.address] = member.node;
  }
}

// ---- changing -------------------------------------------------------------------------------

void Operator::Plan() {
  next_plan_ =
      loop_->now() + Duration(static_cast<std::int64_t>(random_.Below(
                         static_cast<std::uint64_t>(options_.between_changes_max.count()))));
  std::vector<int> members = Machines(true);
  std::vector<int> free = Machines(false);
  const std::size_t voters = members.size();
  const bool may_shrink = voters > kVotersMin;
  if (options_.hasty && random_.Chance(0.5)) return PlanHastily(std::move(members));
  switch (random_.Below(6)) {
    case 0:  // one more, or two
      if (!free.empty()) Arrive(Pick(free));
      if (!free.empty() && random_.Chance(0.5)) Arrive(Pick(free));
      return;
    case 1:  // one less, or two
      if (may_shrink) Depart(Pick(members), false, false);
      if (voters > kVotersMin + 1 && random_.Chance(0.5)) Depart(Pick(members), false, false);
      return;
    case 2:  // one for another, at once
      if (!free.empty()) {
        Depart(Pick(members), false, false);
        Arrive(Pick(free));
      }
      return;
    case 3:  // the leader goes
      for (const int node : members) {
        if (!cluster_->Leads(node)) continue;
        Depart(node, false, !may_shrink);
        return;
      }
      return;
    default:  // one loses its disk
      Depart(Pick(members), true, true);
      return;
  }
}

void Operator::PlanHastily(std::vector<int> members) {
  const auto leader = std::find_if(members.begin(), members.end(),
                                   [this](int node) { return cluster_->Leads(node); });
  if (leader == members.end()) return;
  const int asked = *leader;
  members.erase(leader);
  options_.cut_off(asked);
  for (int i = 0; i < 2 && !members.empty(); ++i) {
    const int node = Pick(members);
    Depart(node, false, true);
    const auto departure = departing_.find(node);
    if (departure != departing_.end()) AskToRemove(node, departure->second, asked);
  }
}

void Operator::Depart(int node, bool loses_disk, bool comes_back) {
  const std::optional<NodeId> known = Member(node);
  if (!known) return;
  departing_[node] = {.node = *known, .lost = loses_disk, .comes_back = comes_back};
  if (!loses_disk) return;
  cluster_->LoseDisk(node);
  // Perhaps it is back, and asks to be let in, before anybody has removed its old self.
  if (random_.Chance(0.5)) {
    After(std::chrono::seconds(1), [this, node] {
      if (cluster_->in_use(node)) cluster_->Start(node);
    });
  }
}

void Operator::AskToRemove(int node, Departure& departure) {
  std::vector<int> others;
  for (int other = 0; other < cluster_->size(); ++other) {
    if (cluster_->running(other) && cluster_->node(other)->Ready()) others.push_back(other);
  }
  if (others.empty()) return;
  AskToRemove(node, departure, Pick(others));
}

void Operator::AskToRemove(int node, Departure& departure, int asked) {
  departure.asking = true;
  const NodeId leaves = departure.node;
  const auto again = [this, node, leaves] {
    const auto found = departing_.find(node);
    if (found != departing_.end() && found->second.node == leaves) found->second.asking = false;
  };
  cluster_->node(asked)->RemoveReplica(GroupId(), leaves,
                                       cluster_->process(asked)->Now() + kPatience,
                                       [this, node, leaves, again](const Status& status) {
                                         if (status.ok()) {
                                           Removed(node, leaves);
                                         } else {
                                           again();
                                         }
                                       });
  // Should the asked one die, nobody answers.
  loop_->At(loop_->now() + 2 * kPatience, kNoProcess, kOperate, again);
}

// In an event of the node that was asked, which may be the very one. An answer may be so late that
// the machine is another node by now, and is leaving as that.
void Operator::Removed(int node, NodeId removed) {
  const auto found = departing_.find(node);
  if (found == departing_.end() || found->second.node != removed) return;
  if (std::exchange(found->second.removed, true)) return;
  ++changes_;
  former_[node] = found->second.node;
  // The removed may run on for a while, and must disturb nobody.
  After(found->second.lost ? Duration(0) : kLinger, [this, node] { Leave(node); });
}

void Operator::Leave(int node) {
  const Departure departure = departing_.at(node);
  departing_.erase(node);
  // Its machine may have lost its identity before, and be let in as another by now, who stays.
  const std::optional<NodeId> member = Member(node);
  if (member && *member != departure.node) return;
  if (!departure.comes_back) {
    cluster_->Retire(node);
    return;
  }
  if (!departure.lost) cluster_->LoseDisk(node);
  Arrive(node);
}

bool Operator::Arrived(int node) const {
  const std::optional<NodeId> member = Member(node);
  if (!member) return false;
  const auto former = former_.find(node);
  if (former != former_.end() && former->second == *member) return false;
  return registry_.voters.contains(*member) || RegistryHasVotersEnough(registry_.addresses.size());
}

void Operator::Arrive(int node) {
  arriving_.insert(node);
  cluster_->Start(node);
}

}  // namespace flotilla::sim
