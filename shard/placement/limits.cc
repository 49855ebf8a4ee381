// Limits: of the steps thought out, in order of urgency, those that may start now.

#include <spdlog/fmt/fmt.h>

#include <map>
#include <set>

#include "base/check.h"
#include "shard/placement/steps.h"

namespace flotilla {
namespace {

JobKind JobOf(ActionKind kind) {
  switch (kind) {
    case ActionKind::kSplit:
      return JobKind::kSplit;
    case ActionKind::kMerge:
      return JobKind::kMerge;
    default:
      return JobKind::kMove;
  }
}

Purpose Next(Purpose purpose) {
  return static_cast<Purpose>(static_cast<std::uint8_t>(purpose) + 1);
}

class Limits {
 public:
  explicit Limits(Draft& draft) : draft_(draft) {
    for (const ShardState& shard : draft.shards()) {
      shards_[shard.group()] = &shard;
      leaders_.insert({shard.group(), shard.view->leader});
    }
    for (const JobRecord& job : draft.view().jobs) {
      if (Burdens(job)) {
        Occupy(job.kind, NodesOf(job.kind, job.group, job.other, job.from, job.to));
      }
    }
  }

  // Why the action has to wait; empty: it may start, and takes its place.
  std::string Start(const Action& action) {
    std::string waits = Refusal(action);
    changed_.insert(action.group);
    if (action.other) changed_.insert(action.other);
    if (action.kind == ActionKind::kReplaceVoter) return waits;  // it costs its nodes nothing
    if (!waits.empty()) {
      Hold(action);
    } else if (action.kind == ActionKind::kTransferLeader) {
      ++transfers_;
    } else {
      const JobKind kind = JobOf(action.kind);
      Occupy(kind, NodesOf(kind, action.group, action.other, action.from, action.to));
    }
    return waits;
  }

 private:
  bool Burdens(const JobRecord& job) const {
    const bool runs = job.state == JobState::kRunning || job.state == JobState::kCancelling;
    const bool counts =
        job.kind == JobKind::kMove || job.kind == JobKind::kSplit || job.kind == JobKind::kMerge;
    const auto shard = shards_.find(job.group);
    return runs && counts && (shard == shards_.end() || draft_.HasQuorumNow(*shard->second));
  }

  // Those that a job burdens; a node that is lost is none.
  std::set<NodeId> NodesOf(JobKind kind, GroupId group, GroupId other, NodeId from,
                           NodeId to) const {
    std::set<NodeId> nodes;
    if (kind == JobKind::kMove) {
      for (const NodeId node : {from, to}) {
        if (node && !draft_.node(node).lost) nodes.insert(node);
      }
      return nodes;
    }
    for (const GroupId one : {group, other}) {
      const auto found = shards_.find(one);
      if (found == shards_.end()) continue;
      const std::set<NodeId>& voters = found->second->view->descriptor.voters;
      nodes.insert(voters.begin(), voters.end());
    }
    return nodes;
  }

  void Occupy(JobKind kind, const std::set<NodeId>& nodes) {
    ++jobs_;
    ++of_kind_[kind];
    for (const NodeId node : nodes) ++of_node_[node];
  }

  // A step that waits may be another one by the time that it is for it. What was thought out to
  // follow it on its nodes waits, too: it may be wrong otherwise. Only the ring never changes its
  // mind.
  void Hold(const Action& action) {
    const bool leads = action.kind == ActionKind::kTransferLeader ||
                       leaders_.contains({action.group, action.from});
    if (action.purpose == Purpose::kRing) return;
    for (const NodeId node : {action.from, action.to}) {
      if (action.kind != ActionKind::kTransferLeader) held_[Purpose::kReplicas].insert(node);
      if (leads) held_[Purpose::kLeaders].insert(node);
    }
  }

  std::string Refusal(const Action& action) const {
    if (action.kind == ActionKind::kReplaceVoter) {
      return changed_.contains(action.group) ? "for an earlier change of who votes" : "";
    }
    if (changed_.contains(action.group) || (action.other && changed_.contains(action.other))) {
      return "for an earlier change of the shard";
    }
    const auto shard = shards_.find(action.group);
    CHECK(shard != shards_.end());
    if (shard->second->moving) return "for a running job of the shard";
    if (const auto held = held_.find(action.purpose); held != held_.end()) {
      for (const NodeId node : {action.from, action.to}) {
        if (held->second.contains(node)) {
          return fmt::format("for an earlier step of {}", NodeText(node));
        }
      }
    }
    const Duration settle = draft_.options().settle_after;
    const bool even = action.purpose == Purpose::kReplicas || action.purpose == Purpose::kLeaders;
    if (even && !draft_.Quiet(*shard->second, settle)) {
      return fmt::format("for {} without a change of the shard", DurationText(settle));
    }
    return action.kind == ActionKind::kTransferLeader ? TransferRefusal() : JobRefusal(action);
  }

  std::string TransferRefusal() const {
    const std::uint32_t most = draft_.options().transfers_max;
    return transfers_ < most ? "" : fmt::format("at most {} leaderships at a time", most);
  }

  std::string JobRefusal(const Action& action) const {
    const BalancerOptions& options = draft_.options();
    const bool urgent = action.purpose == Purpose::kRepair || action.purpose == Purpose::kDrain;
    const std::uint32_t kept = std::min(options.jobs_max, options.jobs_kept_for_repair);
    const std::uint32_t jobs_max = urgent ? options.jobs_max : options.jobs_max - kept;
    if (jobs_ >= jobs_max) return fmt::format("at most {} jobs at a time", jobs_max);
    const JobKind kind = JobOf(action.kind);
    const std::uint32_t kind_max = kind == JobKind::kMove    ? options.moves_max
                                   : kind == JobKind::kSplit ? options.splits_max
                                                             : options.merges_max;
    const auto of_kind = of_kind_.find(kind);
    if (of_kind != of_kind_.end() && of_kind->second >= kind_max) {
      return fmt::format("at most {} jobs of its kind at a time", kind_max);
    }
    for (const NodeId node : NodesOf(kind, action.group, action.other, action.from, action.to)) {
      const auto of_node = of_node_.find(node);
      if (of_node != of_node_.end() && of_node->second >= options.jobs_per_node_max) {
        return fmt::format("at most {} jobs at a time on {}", options.jobs_per_node_max,
                           NodeText(node));
      }
    }
    return "";
  }

  Draft& draft_;
  std::map<GroupId, const ShardState*> shards_;
  std::set<std::pair<GroupId, NodeId>> leaders_;
  std::uint32_t jobs_ = 0;
  std::uint32_t transfers_ = 0;
  std::map<JobKind, std::uint32_t> of_kind_;
  std::map<NodeId, std::uint32_t> of_node_;
  std::set<GroupId> changed_;  // has a step before, started or waiting
  std::map<Purpose, std::set<NodeId>> held_;
};

}  // namespace

void ApplyLimits(Draft& draft, Plan& plan) {
  Limits limits(draft);
  for (auto purpose = Purpose::kRepair; purpose <= Purpose::kLoad; purpose = Next(purpose)) {
    for (Action& action : draft.actions()) {
      if (action.purpose != purpose) continue;
      action.waits_for = limits.Start(action);
      (action.waits_for.empty() ? plan.actions : plan.later).push_back(std::move(action));
    }
  }
}

}  // namespace flotilla
