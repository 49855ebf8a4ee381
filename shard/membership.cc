#include "shard/membership.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "shard/placement/cluster_view.h"

namespace flotilla {
namespace {

// Requests that wait, of each kind.
constexpr std::size_t kWaitingMax = 64;
// How long a removal waits for signs of life of those that remain.
constexpr Duration kPatience = std::chrono::seconds(1);
// Removed nodes that are remembered; requests that come late do not come as late as that.
constexpr std::size_t kRemovedMax = 64;

Status WasRemoved(const std::string& who) {
  return Error(Reason::kNodeNotFound,
               fmt::format("{} has been removed: empty its data directory to let it join as a new "
                           "one",
                           who));
}

void Forget(NodeId node, Members& members) {
  const MemberRecord* const record = members.Find(node);
  if (record == nullptr) return;
  if (record->uuid) members.removed.push_back(record->uuid);
  if (members.removed.size() > kRemovedMax) members.removed.erase(members.removed.begin());
  std::erase_if(members.records, [&](const MemberRecord& one) { return one.node == node; });
}

}  // namespace

Membership::Membership(GroupId id, raft::Group* group, const Clock* clock)
    : id_(id), group_(group), clock_(clock) {}

StatusOr<Members> Membership::Current() const {
  return DecodeMembers(group_->core().configuration().context);
}

void Membership::Add(NodeId member, NodeUuid uuid, const std::string& address, bool promote,
                     MonoTime deadline, Done done) {
  if (!registry()) {
    AddById(member, promote, deadline, std::move(done));
    return;
  }
  StatusOr<Members> members = Current();
  if (!members.ok()) {
    done(members.status());
    return;
  }
  const auto known = std::find_if(members->records.begin(), members->records.end(),
                                  [&](const MemberRecord& record) { return record.uuid == uuid; });
  if (known != members->records.end() && known->address == address) {
    AwaitCurrent(known->node, deadline, std::move(done));
    return;
  }
  if (known == members->records.end() && member) {
    AnswerRemoved(fmt::format("node {}", member.value()), deadline, std::move(done));
    return;
  }
  // It was let in and removed again before it heard of that, or has yet to hear that it was.
  if (known == members->records.end() &&
      std::ranges::find(members->removed, uuid) != members->removed.end()) {
    AnswerRemoved("the node at " + address, deadline, std::move(done));
    return;
  }
  if (const MemberRecord* same = members->FindAddress(address)) {
    done(
        Error(Reason::kMembershipRefused,
              fmt::format("{} is the address of node {} already, which had another data directory: "
                          "remove that node first, then let the new one join",
                          address, same->node.value())));
    return;
  }
  const raft::Configuration& now = group_->core().configuration();
  raft::MembershipChange change{.voters = now.voters, .learners = now.learners, .context = {}};
  NodeId node = members->next_node;
  if (known != members->records.end()) {
    node = known->node;
    known->address = address;
  } else {
    members->next_node = node.Next();
    members->records.push_back(
        {.node = node, .uuid = uuid, .address = address, .promote = promote});
    change.learners.insert(node);
  }
  change.context = EncodeMembers(*members);
  Change(node, std::move(change), deadline, std::move(done),
         [this, member, uuid, address, promote, deadline](Done again) {
           Add(member, uuid, address, promote, deadline, std::move(again));
         });
}

void Membership::AddById(NodeId member, bool promote, MonoTime deadline, Done done) {
  StatusOr<Members> members = Current();
  if (!members.ok()) {
    done(members.status());
    return;
  }
  const raft::Configuration& now = group_->core().configuration();
  if (now.Contains(member)) {
    AwaitCurrent(member, deadline, std::move(done));
    return;
  }
  members->records.push_back({.node = member, .uuid = {}, .address = {}, .promote = promote});
  raft::MembershipChange change{
      .voters = now.voters, .learners = now.learners, .context = EncodeMembers(*members)};
  change.learners.insert(member);
  Change(member, std::move(change), deadline, std::move(done),
         [this, member, promote, deadline](Done again) {
           AddById(member, promote, deadline, std::move(again));
         });
}

void Membership::Remove(NodeId node, MonoTime deadline, Done done) {
  // A leader that is new, or has slept, has yet to hear the others.
  group_->Wake();
  RemoveSafely(node, deadline, std::min(deadline, clock_->Now() + kPatience), std::move(done));
}

void Membership::RemoveSafely(NodeId node, MonoTime deadline, MonoTime patient_until, Done done) {
  StatusOr<Members> members = Current();
  if (!members.ok()) {
    done(members.status());
    return;
  }
  const raft::Configuration& now = group_->core().configuration();
  if (!now.Contains(node)) {
    // Ids are never used again: one that was given has been removed, perhaps by an earlier try.
    if (node && (!registry() || node < members->next_node)) {
      AwaitCurrent(node, deadline, std::move(done));
    } else {
      done(Error(Reason::kNodeNotFound,
                 fmt::format("node {} is no member of group {}", node.value(), id_.value())));
    }
    return;
  }
  Forget(node, *members);
  raft::MembershipChange change{
      .voters = now.voters, .learners = now.learners, .context = EncodeMembers(*members)};
  change.voters.erase(node);
  change.learners.erase(node);
  UniqueFunction<void(Done)> again = [this, node, deadline, patient_until](Done later) {
    RemoveSafely(node, deadline, patient_until, std::move(later));
  };
  if (now.voters.contains(node) && !HasActiveMajority(change.voters)) {
    if (clock_->Now() < patient_until && later_.size() < kWaitingMax) {
      later_.push_back({.deadline = deadline, .done = std::move(done), .again = std::move(again)});
      return;
    }
    done(Error(Reason::kMembershipRefused,
               fmt::format("without node {} group {} would have no majority of voters that are "
                           "running: start the others, or remove those that are lost first",
                           node.value(), id_.value())));
    return;
  }
  Change(node, std::move(change), deadline, std::move(done), std::move(again));
}

std::size_t Membership::CountActive(const std::set<NodeId>& nodes, bool assumed) const {
  const raft::CoreStatus status = group_->core().Status();
  std::size_t active = nodes.contains(status.leader) ? 1 : 0;
  for (const raft::FollowerProgress& follower : status.followers) {
    const bool counts = follower.recently_active && (assumed || !follower.activity_assumed);
    if (counts && nodes.contains(follower.node)) ++active;
  }
  return active;
}

bool Membership::HasActiveMajority(const std::set<NodeId>& voters) const {
  // With none left the core has its say.
  return voters.empty() || 2 * CountActive(voters, /*assumed=*/false) > voters.size();
}

void Membership::Promote(NodeId node, MonoTime deadline, Done done) {
  StatusOr<Members> members = Current();
  if (!members.ok()) {
    done(members.status());
    return;
  }
  const raft::Configuration& now = group_->core().configuration();
  if (now.voters.contains(node)) {
    AwaitCurrent(node, deadline, std::move(done));
    return;
  }
  if (!now.learners.contains(node)) {
    done(Error(Reason::kNodeNotFound, fmt::format("node {} is no member of group {}: add it first",
                                                  node.value(), id_.value())));
    return;
  }
  for (MemberRecord& record : members->records) {
    if (record.node == node) record.promote = false;
  }
  raft::MembershipChange change{
      .voters = now.voters, .learners = now.learners, .context = EncodeMembers(*members)};
  change.learners.erase(node);
  change.voters.insert(node);
  Change(node, std::move(change), deadline, std::move(done),
         [this, node, deadline](Done again) { Promote(node, deadline, std::move(again)); });
}

void Membership::ReplaceVoter(NodeId voter, NodeId by, MonoTime deadline, Done done) {
  // While the group sleeps nobody is heard: who died meanwhile is found out when it is awake.
  group_->Wake();
  ReplaceLost(voter, by, deadline, std::min(deadline, clock_->Now() + kPatience), std::move(done));
}

void Membership::ReplaceLost(NodeId voter, NodeId by, MonoTime deadline, MonoTime patient_until,
                             Done done) {
  StatusOr<Members> members = Current();
  if (!members.ok()) {
    done(members.status());
    return;
  }
  const raft::Configuration& now = group_->core().configuration();
  const bool wanted = voter ? now.voters.contains(voter) : LacksDirectoryVoter(now.voters.size());
  if (!wanted) {  // perhaps by an earlier try
    AwaitCurrent(by, deadline, std::move(done));
    return;
  }
  if (by && !now.learners.contains(by)) {
    done(Error(Reason::kMembershipRefused,
               fmt::format("node {} is no learner of group {}", by.value(), id_.value())));
    return;
  }
  for (MemberRecord& record : members->records) {
    if (record.node == by) record.promote = false;
  }
  raft::MembershipChange change{
      .voters = now.voters, .learners = now.learners, .context = EncodeMembers(*members)};
  if (voter) {
    change.voters.erase(voter);
    change.learners.insert(voter);
  }
  if (by) {
    change.learners.erase(by);
    change.voters.insert(by);
  }
  UniqueFunction<void(Done)> again = [this, voter, by, deadline, patient_until](Done later) {
    ReplaceLost(voter, by, deadline, patient_until, std::move(later));
  };
  // Whoever leads hears a majority: that goes on without one that is not heard.
  if (voter && CountActive({voter}, /*assumed=*/true) > 0) {
    if (clock_->Now() < patient_until && later_.size() < kWaitingMax) {
      later_.push_back({.deadline = deadline, .done = std::move(done), .again = std::move(again)});
      return;
    }
    done(Error(Reason::kMembershipRefused,
               fmt::format("node {} is running, and goes on to vote in group {}", voter.value(),
                           id_.value())));
    return;
  }
  Change(by, std::move(change), deadline, std::move(done), std::move(again));
}

bool Membership::Applied(raft::Index configuration_index) const {
  return group_->applied() >= configuration_index && !group_->core().configuration().joint();
}

void Membership::AnswerRemoved(const std::string& who, MonoTime deadline, Done done) {
  AwaitCurrent(NodeId(), deadline, [who, done = std::move(done)](StatusOr<NodeId> sure) mutable {
    if (sure.ok()) sure = WasRemoved(who);
    done(std::move(sure));
  });
}

void Membership::AwaitCurrent(NodeId node, MonoTime deadline, Done done) {
  const raft::CoreStatus status = group_->core().Status();
  if (status.role != raft::Role::kLeader) {
    done(Refusal(raft::MembershipRefusal::kNotLeader));
  } else if (Applied(status.configuration_index)) {
    done(node);
  } else if (waits_.size() >= kWaitingMax) {
    done(Refusal(raft::MembershipRefusal::kChangeUnderWay));
  } else {
    waits_.push_back({.deadline = deadline,
                      .index = status.configuration_index,
                      .node = node,
                      .done = std::move(done)});
  }
}

void Membership::Change(NodeId node, raft::MembershipChange change, MonoTime deadline, Done done,
                        UniqueFunction<void(Done)> again) {
  const raft::MembershipRefusal refusal = group_->ProposeMembership(std::move(change));
  if (refusal == raft::MembershipRefusal::kNoChange) {
    AwaitCurrent(node, deadline, std::move(done));
    return;
  }
  if (refusal == raft::MembershipRefusal::kChangeUnderWay && later_.size() < kWaitingMax &&
      clock_->Now() < deadline) {
    later_.push_back({.deadline = deadline, .done = std::move(done), .again = std::move(again)});
    return;
  }
  if (refusal != raft::MembershipRefusal::kNone) {
    done(Refusal(refusal));
    return;
  }
  waits_.push_back({.deadline = deadline,
                    .index = group_->core().last_index(),
                    .node = node,
                    .done = std::move(done)});
}

Status Membership::Refusal(raft::MembershipRefusal refusal) const {
  switch (refusal) {
    case raft::MembershipRefusal::kNotLeader:
      return Error(Reason::kNotLeader,
                   fmt::format("this node does not lead group {}", id_.value()));
    case raft::MembershipRefusal::kChangeUnderWay:
      return Error(Reason::kMembershipRefused,
                   fmt::format("another change of the members of group {} is under way and has "
                               "not ended in time: see `kvctl member list`, and try again",
                               id_.value()));
    case raft::MembershipRefusal::kNotCaughtUp:
      return Error(Reason::kMembershipRefused,
                   "the learner has not caught up with the leader yet: wait until its lag in "
                   "`kvctl status` is small, then promote it");
    case raft::MembershipRefusal::kNoVoters:
      return Error(Reason::kMembershipRefused,
                   fmt::format("group {} would be left without a voter: add another one first",
                               id_.value()));
    case raft::MembershipRefusal::kNone:
    case raft::MembershipRefusal::kNoChange:
      break;
  }
  return Error(Reason::kInternal, "the change of members was refused");
}

void Membership::TryLater() {
  std::vector<Later> later;
  later.swap(later_);
  for (Later& one : later) {
    // It comes back to `later_` if the time has not come.
    one.again(std::move(one.done));
  }
}

void Membership::Progress() {
  if (!later_.empty() && !group_->core().configuration().joint()) TryLater();
  if (waits_.empty()) return;
  const MonoTime now = clock_->Now();
  std::vector<Wait> settled;
  std::vector<Wait> waiting;
  for (Wait& wait : waits_) {
    const bool ends = Applied(wait.index) || now >= wait.deadline;
    (ends ? settled : waiting).push_back(std::move(wait));
  }
  waits_ = std::move(waiting);
  for (Wait& wait : settled) {
    if (Applied(wait.index)) {
      wait.done(wait.node);
    } else {
      wait.done(Error(Reason::kOutcomeUnknown,
                      "the change of members was not committed in time and may still be: see "
                      "`kvctl member list`"));
    }
  }
}

void Membership::OnConfiguration(const raft::Configuration& configuration) {
  promotion_waits_ = false;
  if (configuration.learners.empty()) return;
  if (registry() && configuration.voters.size() >= kDirectoryVotersMax) return;
  const StatusOr<Members> members = DecodeMembers(configuration.context);
  if (!members.ok()) return;
  promotion_waits_ = std::any_of(
      members->records.begin(), members->records.end(), [&](const MemberRecord& record) {
        return record.promote && configuration.learners.contains(record.node);
      });
}

void Membership::PromoteWaiting() {
  if (group_->core().role() != raft::Role::kLeader || !waits_.empty()) return;
  const raft::Configuration& now = group_->core().configuration();
  if (now.learners.empty() || (registry() && now.voters.size() >= kDirectoryVotersMax)) return;
  const StatusOr<Members> members = Current();
  if (!members.ok()) return;
  for (const MemberRecord& record : members->records) {
    if (!record.promote || !now.learners.contains(record.node)) continue;
    // A refusal (it still lags, another change runs) means: later.
    Promote(record.node, clock_->Now(), [](const StatusOr<NodeId>&) {});
    return;
  }
}

void Membership::OnDeposed() {
  std::vector<Later> later;
  later.swap(later_);
  for (Later& one : later) one.done(Refusal(raft::MembershipRefusal::kNotLeader));
  std::vector<Wait> waits;
  waits.swap(waits_);
  for (Wait& wait : waits) {
    wait.done(Error(Reason::kOutcomeUnknown,
                    "leadership was lost while the members changed; the change may still happen: "
                    "see `kvctl member list`"));
  }
}

}  // namespace flotilla
