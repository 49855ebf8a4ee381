#include <utility>

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
  BroadcastHeartbeat(lead, /*voters_only=*/true, /*quiesce=*/false);
  lead.reads.Start(lead.round, commit_);
  ConfirmReads(lead);  // alone, a leader is its own quorum
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
  if (!options_.leases) return false;
  if (lead.transfer && !Planted(Plant::kLeaseThroughTransfer)) return false;
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
