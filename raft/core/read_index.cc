#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "base/planted.h"
#include "raft/core/impl.h"

namespace flotilla::raft {

void Core::Impl::ReadIndex(std::uint64_t context) {
  bool taken = false;
  Wake();
  if (Leading* lead = leading()) {
    lead->idle_ticks = 0;
    taken = lead->reads.Add({NodeId{}, context});
  } else if (leader_) {
    taken = forwarded_.Add(context);
  }
  if (taken) {
    work_ = true;
  } else {
    out_.reads_refused.push_back({context});
  }
}

bool Core::Impl::CommittedInTerm(const Leading& lead) const { return commit_ >= lead.term_start; }

// Called when a Ready is taken: who waits by then shares what starts now.
void Core::Impl::StartReads(Leading& lead) {
  // An older leader's commits are known for certain only after the first one of this term (6.4).
  if (!lead.reads.waiting()) return;
  if (!CommittedInTerm(lead) && !Planted(Plant::kReadBeforeNoop)) return;
  if (LeaseValid(lead) || Planted(Plant::kReadsUnconfirmed)) {
    lead.reads.ConfirmWaiting([&](const ReadWaiter& waiter) { AnswerRead(waiter, commit_); });
    return;
  }
  if (!lead.reads.may_start()) return;
  AskQuorum(lead);
  lead.reads.Start(lead.round, commit_, ticks_);
  ConfirmReads(lead);  // alone, a leader is its own quorum
}

// A round that asks no more voters than are needed: those whose echoes are the newest. Should they
// not answer within a tick, everyone is asked.
void Core::Impl::AskQuorum(Leading& lead) {
  NextRound(lead);
  std::vector<Progress*>& asked = lead.asked;
  asked.clear();
  std::size_t voters = lead.self_voter ? 1 : 0;
  for (Progress& follower : lead.followers) {
    if (follower.voter || follower.outgoing) asked.push_back(&follower);
    if (follower.voter) ++voters;
  }
  if (!configuration().joint()) {
    std::sort(asked.begin(), asked.end(), [](const Progress* one, const Progress* other) {
      return std::tuple(other->read_round, one->node) < std::tuple(one->read_round, other->node);
    });
    const std::size_t majority = voters / 2 + 1;
    asked.resize(std::min(asked.size(), majority - (lead.self_voter ? 1 : 0)));
  }
  for (Progress* follower : asked) SendHeartbeat(lead, *follower, /*quiesce=*/false);
}

void Core::Impl::TickReads(Leading& lead) {
  if (lead.reads.AskedFewBefore(ticks_ - 1)) BroadcastHeartbeat(lead, /*quiesce=*/false);
}

void Core::Impl::ConfirmReads(Leading& lead) {
  const std::uint64_t reached =
      lead.Reached(lead.round, [](const Progress& follower) { return follower.read_round; });
  lead.lease.ConfirmedTo(reached);
  const bool any = lead.reads.ConfirmTo(
      reached, [&](const ReadWaiter& waiter, Index index) { AnswerRead(waiter, index); });
  if (any && lead.reads.waiting()) work_ = true;
}

void Core::Impl::AnswerRead(const ReadWaiter& waiter, std::optional<Index> index) {
  if (waiter.from) {
    // It waits until it has applied what is committed.
    Leading* const lead = leading();
    Progress* const follower = lead != nullptr ? lead->Find(waiter.from) : nullptr;
    if (follower != nullptr) SendCommitAlone(*follower);
    Send(waiter.from, ReadIndexReply{waiter.context, index});
  } else if (index) {
    out_.reads_confirmed.push_back({waiter.context, *index});
  } else {
    out_.reads_refused.push_back({waiter.context});
  }
}

void Core::Impl::RefuseReads(Leading& lead) {
  lead.reads.Drain([&](const ReadWaiter& waiter) { AnswerRead(waiter, std::nullopt); });
}

bool Core::Impl::LeaseValid(const Leading& lead) const {
  if (!options_.leases || lead.transfer) return false;
  // One tick less: a voter's count of ticks may be that much ahead of its clock.
  const double span = (options_.election_timeout_ticks - 1) * (1 - options_.lease_drift_max);
  return lead.lease.ValidAt(ticks_, span);
}

void Core::Impl::OnReadIndexRequest(NodeId from, const ReadIndexRequest& request) {
  Leading* lead = leading();
  if (lead) {
    Wake();
    lead->idle_ticks = 0;
  }
  if (lead && lead->reads.Add({from, request.context})) {
    work_ = true;
  } else {
    Send(from, ReadIndexReply{request.context, std::nullopt});
  }
}

// On a follower: who waits shares a request, and a few requests may be under way.
void Core::Impl::ForwardReads() {
  if (!leader_ || !forwarded_.may_start()) return;
  const std::uint64_t wire_id = forwarded_.Start(options_.election_timeout_ticks);
  Send(leader_, ReadIndexRequest{wire_id});
}

void Core::Impl::OnReadIndexReply(const ReadIndexReply& reply) {
  for (std::uint64_t context : forwarded_.Answered(reply.context)) {
    if (reply.index) {
      out_.reads_confirmed.push_back({context, *reply.index});
    } else {
      out_.reads_refused.push_back({context});
    }
  }
  work_ = true;
}

void Core::Impl::RefuseForwarded() {
  if (forwarded_.empty()) return;
  for (std::uint64_t context : forwarded_.Drain()) out_.reads_refused.push_back({context});
}

}  // namespace flotilla::raft
