// Requests that wait for a leader, or for the directory to say where they belong.

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "shard/answers.h"
#include "shard/request_router.h"

namespace flotilla {
namespace {

constexpr Duration kParkedRetry = std::chrono::milliseconds(20);

}  // namespace

void RequestRouter::Park(std::vector<Ticket> tickets) {
  if (tickets.empty()) return;
  const MonoTime now = clock_->Now();
  bool arm = false;
  {
    std::lock_guard lock(parked_mutex_);
    for (Ticket& ticket : tickets) parked_.push_back({.ticket = std::move(ticket), .since = now});
    arm = !retry_armed_;
    retry_armed_ = true;
  }
  if (arm) strand_->After(kParkedRetry, [this] { RetryParked(false); });
}

void RequestRouter::OnLeader(GroupId group, NodeId leader) {
  strand_->Post([this, group, leader] {
    if (leader) TakeBackFromOthers(group, leader);
    RetryParked(true);
  });
}

void RequestRouter::RetryParked(bool extra) {
  std::vector<Parked> parked;
  {
    std::lock_guard lock(parked_mutex_);
    if (!extra) retry_armed_ = false;
    parked.swap(parked_);
  }
  if (parked.empty()) return;
  const MonoTime now = clock_->Now();
  std::vector<Ticket> ready;
  std::vector<Parked> waiting;
  AnswerCollector answers;
  for (Parked& one : parked) {
    if (one.ticket.batch->Answered(one.ticket.slot)) continue;
    if (one.ticket.batch->rerouter() != nullptr) {
      std::vector<Ticket> placed = Place({one.ticket});
      if (placed.empty()) continue;
      one.ticket = std::move(placed.front());
    }
    const GroupId group = one.ticket.group;
    const std::shared_ptr<Replica> replica = FindMember(group);
    const NodeId leader = LeaderOf(group, replica.get());
    const bool misplaced = one.ticket.misplaced_since != MonoTime() &&
                           now - one.ticket.misplaced_since >= options_.misplaced_timeout;
    const bool routable =
        !misplaced && ((replica && replica->leads()) || (leader && leader != NodeId(self_.load())));
    if (!replica && !leader) AskWhoLeads(group);
    // Of another node, which has to know that the group has gone.
    const bool gone = !replica && one.ticket.batch->rerouter() == nullptr &&
                      directory_->image()->Find(group) == nullptr && group != kDirectoryGroup;
    const bool eventual = replica && Eventual(one.ticket.request());
    if ((routable || eventual) && !left_.load()) {
      ready.push_back(std::move(one.ticket));
    } else if (const Status refusal = Refusal(); !refusal.ok()) {
      answers.Fail(one.ticket, refusal);
    } else if (gone) {
      answers.Fail(one.ticket, kv::WrongShard(group, {}));
    } else if (misplaced) {
      answers.Fail(one.ticket, Error(Reason::kNotReady,
                                     "the directory has not said for a while which group holds the "
                                     "keys: see `kvctl job list` and `kvctl shard list`"));
    } else if (now - one.since >= options_.no_leader_timeout) {
      answers.Fail(one.ticket,
                   replica ? Error(Reason::kNoQuorum,
                                   fmt::format("group {} has no leader: a majority of its members "
                                               "must be running and reachable; see `kvctl status`",
                                               group.value()))
                           : Error(Reason::kNotReady,
                                   "the node is not a member of a cluster yet: start the other "
                                   "nodes, or see its log"));
    } else {
      waiting.push_back(std::move(one));
    }
  }
  answers.Flush();
  bool arm = false;
  {
    std::lock_guard lock(parked_mutex_);
    for (Parked& one : waiting) parked_.push_back(std::move(one));
    arm = !parked_.empty() && !retry_armed_;
    if (arm) retry_armed_ = true;
  }
  if (arm) strand_->After(kParkedRetry, [this] { RetryParked(false); });
  if (!ready.empty()) Route(std::move(ready));
}

}  // namespace flotilla
