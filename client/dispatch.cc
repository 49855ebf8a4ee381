// Dispatcher: from pending to the wire.
#include <algorithm>
#include <limits>
#include <utility>

#include "client/dispatcher.h"
#include "client/wire.h"

namespace flotilla::client {

void Dispatcher::Drive(Lock& lock) {
  ++busy_;
  for (;;) {
    // While callbacks run elsewhere, what they submit gathers; their thread drives afterwards.
    Lanes lanes;
    if (corked_ == 0 && !stopping_) lanes = PrepareBatches(clock_->Now());
    Finished finished = std::move(finished_);
    finished_.clear();
    if (lanes.empty() && finished.empty()) break;
    if (!finished.empty()) ++corked_;
    lock.unlock();
    for (const auto& lane : lanes) {
      std::lock_guard sending(lane->send_mutex);
      lane->connection->Send(lane->batch);
      auto* requests = lane->batch.mutable_requests();
      while (!requests->empty()) requests->UnsafeArenaReleaseLast();  // the calls' own
    }
    const bool ran_callbacks = !finished.empty();
    for (const auto& call : finished) RunCallback(*call);
    finished.clear();
    lock.lock();
    if (ran_callbacks) --corked_;
    for (const auto& lane : lanes) --lane->senders;
    if (!lanes.empty()) send_over_.notify_all();
  }
  if (--busy_ == 0 && stopping_) idle_.notify_all();
}

Dispatcher::Lanes Dispatcher::PrepareBatches(MonoTime now) {
  Lanes lanes;
  for (std::shared_ptr<Lane>& lane : std::exchange(probes_, {})) {
    if (lane->state != Lane::State::kUp || lane->sending) continue;
    lane->BeginSend();
    lanes.push_back(std::move(lane));
  }
  if (assigned_by_ != routes_.version()) Unassign();
  Assign(now);
  const auto send = [&](const std::string& address, std::deque<std::uint64_t>& queue) {
    while (!queue.empty() && in_flight_ < window_.size()) {
      std::shared_ptr<Lane> lane = FreeLane(address, queue.size(), now);
      if (!lane || Gathers(*lane, queue.size(), now) || !FillBatch(*lane, queue, now)) return;
      last_served_ = address;
      lanes.push_back(std::move(lane));
    }
  };
  // Each address has its turn, should there not be room for all.
  const auto first = assigned_.upper_bound(std::string(last_served_));
  for (auto it = first; it != assigned_.end(); ++it) send(it->first, it->second);
  for (auto it = assigned_.begin(); it != first; ++it) send(it->first, it->second);
  while (!for_replica_.empty() && in_flight_ < window_.size()) {
    const auto address = routes_.ForReplica(now);
    if (!address) {
      NowhereToGo(now);
      break;
    }
    std::shared_ptr<Lane> lane = FreeLane(*address, for_replica_.size(), now);
    if (!lane || !FillBatch(*lane, for_replica_, now)) break;
    lanes.push_back(std::move(lane));
  }
  return lanes;
}

void Dispatcher::Assign(MonoTime now) {
  // Those that come together mostly go together.
  GroupId group;
  std::deque<std::uint64_t>* queue = nullptr;
  while (!for_leader_.empty()) {
    const Call* call = calls_.Find(for_leader_.front());
    if (call == nullptr || call->lane != nullptr) {  // ended, or queued twice
      for_leader_.pop_front();
      continue;
    }
    const GroupId wanted = shard_map_.Locate(RoutingKey(call->request));
    if (queue == nullptr || wanted != group) {
      group = wanted;
      const auto address = group ? routes_.ForGroup(group, now) : routes_.ForLeader(now);
      if (!address) {
        NowhereToGo(now);
        return;
      }
      queue = &assigned_[*address];
    }
    queue->push_back(for_leader_.front());
    for_leader_.pop_front();
  }
  assigned_by_ = routes_.version();
}

void Dispatcher::Unassign() {
  for (auto it = assigned_.rbegin(); it != assigned_.rend(); ++it) {
    for_leader_.insert(for_leader_.begin(), it->second.begin(), it->second.end());
  }
  assigned_.clear();
}

bool Dispatcher::Gathers(const Lane& lane, std::size_t waiting, MonoTime now) {
  if (waiting >= options_.batch_requests_max) return false;
  const MonoTime until = lane.pace.Until(waiting, now);
  if (until <= now) return false;
  Arm(until, now);
  return true;
}

bool Dispatcher::FillBatch(Lane& lane, std::deque<std::uint64_t>& queue, MonoTime now) {
  std::size_t bytes = 0;
  std::size_t requests = 0;
  while (!queue.empty() && requests < options_.batch_requests_max &&
         in_flight_ + requests < window_.size()) {
    Call* call = calls_.Find(queue.front());
    if (call == nullptr || call->lane != nullptr) {  // ended, or queued twice
      queue.pop_front();
      continue;
    }
    if (requests > 0 && bytes + call->bytes > options_.batch_bytes_max) break;
    queue.pop_front();
    if (call->is_write && call->sequence == 0) {
      WriteSession& session = *sessions_.back();
      if (!session.sequences.Open()) {
        for_window_.push_back(call->id);
        continue;
      }
      if (!session.since) session.since = newest_;
      call->session = &session;
      call->sequence = session.sequences.Next();
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(call->deadline - now).count();
    Stamp(*call, static_cast<std::uint32_t>(
                     std::clamp<std::int64_t>(left, 1, std::numeric_limits<std::uint32_t>::max())));
    lane.batch.mutable_requests()->UnsafeArenaAddAllocated(&call->request);
    call->lane = &lane;
    call->sent = now;
    bytes += call->bytes;
    ++requests;
  }
  if (requests == 0) return false;
  lane.batch_bytes = bytes;
  lane.pace.Sent(now, requests);
  if (lane.in_flight == 0) {
    lane.heard = now;  // it owes an answer from now on
    Arm(now + patience_.With(bytes), now);
  }
  lane.in_flight += requests;
  in_flight_ += requests;
  lane.BeginSend();
  return true;
}

std::shared_ptr<Lane> Dispatcher::FreeLane(const std::string& address, std::size_t backlog,
                                           MonoTime now) {
  Lanes& lanes = pool_[address];
  if (lanes.empty()) {
    OpenLane(address, now);
    return nullptr;
  }
  // One connection carries large batches more cheaply than two carry small ones: another is used,
  // and opened, only once a whole batch is waiting.
  const std::size_t usable = backlog >= options_.batch_requests_max ? lanes.size() : 1;
  bool connecting = false;
  for (std::size_t i = 0; i < usable; ++i) {
    if (lanes[i]->state == Lane::State::kConnecting) connecting = true;
    if (lanes[i]->state == Lane::State::kUp && !lanes[i]->sending) return lanes[i];
  }
  if (usable == lanes.size() && usable < options_.max_pool_size && !connecting &&
      backlog >= options_.batch_requests_max) {
    OpenLane(address, now);
  }
  return nullptr;
}

void Dispatcher::OpenLane(const std::string& address, MonoTime now) {
  auto lane = std::make_shared<Lane>(weak_from_this(), address, now);
  pool_[address].push_back(lane);
  Arm(now + options_.connection_timeout, now);
  lane->connection = connector_->Connect(address, lane);
}

void Dispatcher::NowhereToGo(MonoTime now) {
  if (options_.wait_for_ready) {
    Arm(routes_.NextTry(), now);
    return;
  }
  const Status unreachable = routes_.Unreachable();
  for (auto* queue : {&for_leader_, &for_replica_}) {
    for (const std::uint64_t id : *queue) {
      Call* call = calls_.Find(id);
      if (call != nullptr && call->lane == nullptr) FinishWith(call, unreachable);
    }
    queue->clear();
  }
}

}  // namespace flotilla::client
