#include "raft/peer_calls.h"

#include <utility>
#include <vector>

#include "base/check.h"

namespace flotilla::raft {

PeerCalls::PeerCalls(Transport* transport, const Clock* clock, Strand* strand,
                     std::uint64_t first_id)
    : transport_(transport), clock_(clock), strand_(strand), next_id_(first_id) {
  CHECK(transport_ != nullptr);
  CHECK(clock_ != nullptr);
}

PeerCalls::~PeerCalls() { Stop(); }

void PeerCalls::SetSelf(NodeId self) { self_ = self; }

void PeerCalls::Handle(PeerMethod method, Handler handler) {
  handlers_[static_cast<std::uint32_t>(method)] = std::move(handler);
}

void PeerCalls::Call(NodeId to, PeerMethod method, Bytes body, Duration timeout, Options options,
                     UniqueFunction<void(StatusOr<Bytes>)> done) {
  raft::Call call;
  {
    std::unique_lock lock(mutex_);
    if (stopped_) {
      lock.unlock();
      done(Error(Reason::kNodeStopping, "this node is stopping: ask another one"));
      return;
    }
    call.id = next_id_++;
    Waiting& waiting = waiting_[call.id];
    waiting.to = to;
    waiting.done = std::move(done);
    waiting.timer =
        strand_->After(timeout, [this, alive = std::weak_ptr<bool>(alive_), id = call.id] {
          if (alive.expired()) return;
          Finish(id, Error(Reason::kDeadlineExceeded, "the peer did not answer in time"));
        });
  }
  call.method = static_cast<std::uint32_t>(method);
  call.bulk = options.bulk;
  call.body = std::move(body);
  Send(to, std::move(call));
}

void PeerCalls::Notify(NodeId to, PeerMethod method, std::uint64_t id, Bytes body) {
  raft::Call call;
  call.id = id;
  call.method = static_cast<std::uint32_t>(method);
  call.body = std::move(body);
  Send(to, std::move(call));
}

void PeerCalls::Send(NodeId to, raft::Call call) {
  std::vector<PeerMessage> messages;
  messages.push_back({.from = self_, .to = to, .payload = std::move(call)});
  transport_->Send(std::move(messages));
}

void PeerCalls::OnCall(NodeId from, raft::Call call) {
  if (call.answer) {
    Finish(call.id, std::move(call.body));
    return;
  }
  const auto found = handlers_.find(call.method);
  if (found == handlers_.end()) return;  // a newer peer's; it will time out there
  Reply reply = [this, alive = std::weak_ptr<bool>(alive_), from, id = call.id,
                 method = call.method](Bytes body) {
    if (alive.expired()) return;
    raft::Call answer;
    answer.id = id;
    answer.answer = true;
    answer.method = method;
    answer.body = std::move(body);
    Send(from, std::move(answer));
  };
  found->second(from, call.id, std::move(call.body), std::move(reply));
}

void PeerCalls::OnUnreachable(NodeId node) {
  std::vector<std::uint64_t> lost;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, waiting] : waiting_) {
      if (waiting.to == node) lost.push_back(id);
    }
  }
  for (const std::uint64_t id : lost) {
    Finish(id, Error(Reason::kUnreachable,
                     "the connection to node " + std::to_string(node.value()) + " broke"));
  }
}

void PeerCalls::Finish(std::uint64_t id, StatusOr<Bytes> answer) {
  Waiting waiting;
  {
    std::lock_guard lock(mutex_);
    const auto found = waiting_.find(id);
    if (found == waiting_.end()) return;
    waiting = std::move(found->second);
    waiting_.erase(found);
  }
  if (strand_->IsCurrent()) {
    strand_->Cancel(waiting.timer);
  } else {
    strand_->Post([this, alive = std::weak_ptr<bool>(alive_), timer = waiting.timer] {
      if (!alive.expired()) strand_->Cancel(timer);
    });
  }
  waiting.done(std::move(answer));
}

void PeerCalls::Stop() {
  std::map<std::uint64_t, Waiting> waiting;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    waiting.swap(waiting_);
  }
  for (auto& [id, one] : waiting) {
    one.done(Error(Reason::kNodeStopping, "this node is stopping: ask another one"));
  }
}

}  // namespace flotilla::raft
