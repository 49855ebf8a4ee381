#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "raft/core/impl.h"

namespace flotilla::raft {

Role Core::Impl::role() const {
  if (leading()) return Role::kLeader;
  const auto* campaign = std::get_if<Campaigning>(&role_);
  if (!campaign) return Role::kFollower;
  return campaign->pre_vote ? Role::kPreCandidate : Role::kCandidate;
}

bool Core::Impl::LacksWhatItHad() const {
  return LogEnd{log_.last_term(), log_.last()} < forgotten_ && !Planted(Plant::kVotesWithNothing);
}

bool Core::Impl::MayCampaign() const {
  if (install_ || LacksWhatItHad()) return false;
  if (configuration().IsVoter(options_.self)) return true;
  // A voter that is being removed, or made a learner, is needed until that is committed: perhaps
  // only the logs of the removed have the entry (thesis, 4.2.2).
  return configurations_.index() > commit_ && configurations_.previous().IsVoter(options_.self);
}

bool Core::Impl::Sticky() const {
  const bool heard = timer_.since_leader < options_.election_timeout_ticks;
  return leading() || (heard && !Planted(Plant::kLeaderDeposed));
}

void Core::Impl::ResetElectionTimer() {
  timer_.elapsed = 0;
  const auto timeout = static_cast<std::uint64_t>(options_.election_timeout_ticks);
  timer_.timeout = static_cast<int>(timeout + random_.Below(timeout));
}

void Core::Impl::SetLeader(NodeId leader) {
  if (leader == leader_) return;
  leader_ = leader;
  owed_.reset();
  // What was asked of another leader is answered by nobody.
  RefuseForwarded();
}

void Core::Impl::BecomeFollower(Term term, NodeId leader) {
  CHECK_GE(term, term_);
  if (Leading* lead = leading()) {
    RefuseReads(*lead);
    timer_.since_leader = options_.election_timeout_ticks;
  }
  role_.emplace<Following>();
  if (term > term_) {
    term_ = term;
    vote_ = NodeId{};
    disk_.HardStateChanged();
    owed_.reset();
    // Those of the older term; a newer leader answers its own.
    RefuseForwarded();
  }
  SetLeader(leader);
  ResetElectionTimer();
  quiescent_ = false;
}

void Core::Impl::PreCampaign() {
  role_ = Campaigning{.pre_vote = true, .votes = {}};
  SetLeader(NodeId{});
  ResetElectionTimer();
  AskForVotes(term_.Next(), /*pre_vote=*/true, /*transfer=*/false);
  RecordVote(options_.self, true);
}

// A pre-vote promises nothing, and may be asked for again of those who were not there.
void Core::Impl::CampaignUnled() {
  const bool idle = role() == Role::kFollower || role() == Role::kPreCandidate;
  if (!leader_ && idle && MayCampaign()) PreCampaign();
}

void Core::Impl::Campaign(bool transfer) {
  CHECK(!leading());
  role_ = Campaigning{.pre_vote = false, .votes = {}};
  term_ = term_.Next();
  vote_ = options_.self;
  disk_.HardStateChanged();
  SetLeader(NodeId{});
  ResetElectionTimer();
  // These leave once the own vote is durable, which is also when it counts.
  AskForVotes(term_, /*pre_vote=*/false, transfer);
}

void Core::Impl::AskForVotes(Term term, bool pre_vote, bool transfer) {
  const VoteRequest request{log_.last(), log_.last_term(), pre_vote, transfer};
  auto& queue = disk_.hard_state_durable() ? out_.now : out_.waiting;
  const Configuration& members = configuration();
  for (NodeId node : members.voters) {
    if (node != options_.self) queue.push_back({node, term, request});
  }
  for (NodeId node : members.outgoing) {
    if (node != options_.self && !members.voters.contains(node)) {
      queue.push_back({node, term, request});
    }
  }
}

void Core::Impl::RecordVote(NodeId from, bool granted) {
  Campaigning* campaign = campaigning();
  const auto known = std::find_if(campaign->votes.begin(), campaign->votes.end(),
                                  [&](const auto& vote) { return vote.first == from; });
  if (known != campaign->votes.end()) return;
  campaign->votes.emplace_back(from, granted);
  switch (TallyVotes(configuration(), campaign->votes)) {
    case VoteOutcome::kPending:
      return;
    case VoteOutcome::kLost:
      BecomeFollower(term_, NodeId{});
      return;
    case VoteOutcome::kWon:
      if (campaign->pre_vote) {
        Campaign(/*transfer=*/false);
      } else {
        BecomeLeader();
      }
      return;
  }
}

void Core::Impl::BecomeLeader() {
  const Index next = log_.last().Next();
  Leading& lead = role_.emplace<Leading>();
  lead.SetMembers(configuration(), options_.self, next, /*active=*/false);
  NoteJoined(lead);
  lead.term_start = lead.control = next;
  SetLeader(options_.self);
  // Nothing of an older term is committed by counting; the no-op commits it all (5.4.2, 8).
  AppendLocal(EntryKind::kNoop, Bytes());
}

void Core::Impl::OnVoteRequest(const Message& message, const VoteRequest& request) {
  // Within the term a promised lease binds too: the term may have been entered without a vote.
  if (options_.leases && !request.transfer && Sticky()) return;
  // Who asks need not be in this node's configuration, nor need this node be a voter in it: the
  // candidate may know of a newer one (section 6).
  const bool newer_pre_vote = request.pre_vote && message.term > term_;
  const bool free_to_vote = newer_pre_vote || vote_ == message.from || (!vote_ && !leader_) ||
                            Planted(Plant::kVoteForAnyone);
  const bool up_to_date = request.last_term != log_.last_term()
                              ? request.last_term > log_.last_term()
                              : request.last_index >= log_.last();
  const bool granted =
      free_to_vote && !LacksWhatItHad() && (up_to_date || Planted(Plant::kVoteForStaleLog));
  if (request.pre_vote) {
    if (granted) {
      // Promises nothing, so it waits for nothing.
      out_.now.push_back({message.from, message.term, VoteReply{true, true}});
    } else {
      Send(message.from, VoteReply{.pre_vote = true, .granted = false});
    }
    return;
  }
  if (granted) {
    if (vote_ != message.from) {
      vote_ = message.from;
      disk_.HardStateChanged();
    }
    timer_.elapsed = 0;
  }
  Send(message.from, VoteReply{.pre_vote = false, .granted = granted});
}

void Core::Impl::OnVoteReply(const Message& message, const VoteReply& reply) {
  Campaigning* campaign = campaigning();
  if (!campaign) return;
  if (campaign->pre_vote != reply.pre_vote && !Planted(Plant::kPreVoteCounted)) return;
  const Term asked = campaign->pre_vote && reply.granted ? term_.Next() : term_;
  if (message.term != asked) return;
  RecordVote(message.from, reply.granted);
}

void Core::Impl::StepDown() {
  if (!leading()) return;
  BecomeFollower(term_, NodeId{});
  // Let the others go first.
  timer_.elapsed = -2 * options_.election_timeout_ticks;
}

}  // namespace flotilla::raft
