#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "raft/core/impl.h"

namespace flotilla::raft {
namespace {

bool Intersects(const std::set<NodeId>& a, const std::set<NodeId>& b) {
  return std::any_of(a.begin(), a.end(), [&](NodeId node) { return b.contains(node); });
}

std::size_t CountDifferences(const std::set<NodeId>& a, const std::set<NodeId>& b) {
  std::vector<NodeId> different;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(),
                                std::back_inserter(different));
  return different.size();
}

// The first configuration on the way from `now`, which is not joint, to what is wanted.
Configuration FirstStep(const Configuration& now, MembershipChange change) {
  Configuration next;
  next.context = std::move(change.context);
  next.voters = std::move(change.voters);
  const bool joint =
      CountDifferences(now.voters, next.voters) > 1 || Intersects(now.voters, change.learners);
  if (joint) next.outgoing = now.voters;
  for (NodeId node : change.learners) {
    if (next.voters.contains(node)) continue;
    // A voter of the outgoing half cannot be a learner at the same time.
    (next.outgoing.contains(node) ? next.learners_next : next.learners).insert(node);
  }
  return next;
}

}  // namespace

MembershipRefusal Core::Impl::ProposeMembership(MembershipChange change) {
  Leading* lead = leading();
  if (!lead) return MembershipRefusal::kNotLeader;
  const Configuration& now = configuration();
  // Control entries change what members have to have: who proposes a change knows them all.
  const bool settled = configurations_.index() <= commit_ && applied_ >= lead->control;
  if (now.joint() || (!settled && !Planted(Plant::kOverlappingChanges)) || lead->transfer) {
    return MembershipRefusal::kChangeUnderWay;
  }
  if (change.voters.empty()) return MembershipRefusal::kNoVoters;
  if (change.voters == now.voters && change.learners == now.learners &&
      change.context == now.context) {
    return MembershipRefusal::kNoChange;
  }
  for (NodeId node : change.voters) {
    if (!now.learners.contains(node)) continue;
    // A promoted learner that must still catch up would hold up every commit that needs it.
    const Progress* learner = lead->Find(node);
    if (!learner) continue;
    if (learner->state != Progress::State::kReplicate ||
        LagBytes(*learner) > options_.inflight_bytes_max) {
      return MembershipRefusal::kNotCaughtUp;
    }
  }
  Wake();
  lead->idle_ticks = 0;
  AppendConfiguration(FirstStep(now, std::move(change)));
  CommitReached();
  return MembershipRefusal::kNone;
}

bool Core::Impl::MembersChanging() const {
  return configuration().joint() || configurations_.index() > commit_;
}

void Core::Impl::NoteJoined(Leading& lead) const {
  for (Progress& follower : lead.followers) {
    follower.joined = configurations_.JoinedAt(follower.node);
  }
}

// In force from here on, committed or not (section 6).
void Core::Impl::AppendConfiguration(Configuration next) {
  Leading* lead = leading();
  const Index index = AppendLocal(EntryKind::kConfiguration, Bytes(EncodeConfiguration(next)));
  // Who leaves is told, once, and once more when it is committed: it need not guess why nobody
  // talks to it any more.
  for (Progress& follower : lead->followers) {
    const bool leaves = !next.Contains(follower.node);
    if (!leaves || follower.state != Progress::State::kReplicate) continue;
    ReplicateTo(follower);
    lead->leavers.push_back(follower.node);
  }
  configurations_.Append(index, std::move(next));
  lead->SetMembers(configuration(), options_.self, index, /*active=*/true);
  NoteJoined(*lead);
  // A smaller quorum may have answered already, and one without others never answers again.
  ConfirmReads(*lead);
}

void Core::Impl::ConfigurationCommitted() {
  const Index index = configurations_.index();
  if (index > commit_) return;
  for (const NodeId node : std::exchange(leading()->leavers, {})) {
    // With the entry, which may have been lost.
    Send(node, AppendRange{
                   index.Previous(), *log_.TermAt(index.Previous()), index, {index, index.Next()}});
  }
  if (configuration().joint()) {
    Configuration next = configuration();
    next.outgoing.clear();
    next.learners.insert(next.learners_next.begin(), next.learners_next.end());
    next.learners_next.clear();
    AppendConfiguration(std::move(next));
    // The new quorum may already have what the old half was still waiting for.
    CommitReached();
  } else if (!configuration().IsVoter(options_.self)) {
    LeaveLeadership(*leading());
  }
}

// The leader has removed itself, and that is committed (section 6). It tells the others, asks the
// best of them to go on at once, and stops.
void Core::Impl::LeaveLeadership(Leading& lead) {
  const Progress* best = nullptr;
  for (Progress& follower : lead.followers) {
    const Index known = std::min(commit_, follower.match);
    Send(follower.node, Heartbeat{.commit = known, .read_round = 0, .quiesce = false});
    if (follower.voter && (!best || follower.match > best->match)) best = &follower;
  }
  if (best) Send(best->node, TimeoutNow{});
  BecomeFollower(term_, NodeId{});
}

}  // namespace flotilla::raft
