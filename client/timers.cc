// Dispatcher: deadlines, back-offs, silent and idle connections; on the strand.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/dispatcher.h"
#include "client/retry.h"

namespace flotilla::client {
namespace {

constexpr int kTimesWhenAlone = 8;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

// One timer is pending that matters: the one for armed_for_. Earlier ones that were overtaken find
// another time there and do nothing.
void Dispatcher::Arm(MonoTime at, MonoTime now) {
  if (at >= armed_for_) return;
  armed_for_ = at;
  strand_->After(std::max(at - now, Duration::zero()), [weak = weak_from_this(), at] {
    if (const auto self = weak.lock()) self->Tick(at);
  });
}

void Dispatcher::Tick(MonoTime armed_for) {
  Lock lock(mutex_);
  if (stopping_ || armed_for != armed_for_) return;
  armed_for_ = MonoTime::max();
  const MonoTime now = clock_->Now();
  ExpireCalls(now);
  CheckLanes(now);
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    if (Call* call = calls_.Find(delayed_.begin()->second)) Requeue(call, /*at_once=*/true, now);
    delayed_.erase(delayed_.begin());
  }
  if (!delayed_.empty()) Arm(delayed_.begin()->first, now);
  Drive(lock);
}

void Dispatcher::ExpireCalls(MonoTime now) {
  bool again = false;
  for (Call* call : deadlines_.Expired(now)) {
    if (call->lane != nullptr && call->lane->senders > 0) {
      again = true;  // its request is being read right now
      continue;
    }
    const Status error = ExpiryError(*call);
    if (call->lane != nullptr && call->is_write) call->perhaps = true;
    FinishWith(call, error);
  }
  if (again) Arm(now + Deadlines::kBucket, now);
  const MonoTime next = deadlines_.Next();
  if (next > now && next != MonoTime::max()) Arm(next, now);
}

Status Dispatcher::ExpiryError(const Call& call) const {
  if (call.lane != nullptr) {
    return Error(Reason::kDeadlineExceeded,
                 fmt::format("{} gave no answer before the deadline", call.lane->address));
  }
  if (!call.last_error.ok()) {
    // Why it never got anywhere says more than that the time is up.
    return Error(ReasonOf(call.last_error),
                 fmt::format("{} (gave up at the deadline, after {} attempts)",
                             MessageOf(call.last_error), call.attempts),
                 MetadataOf(call.last_error));
  }
  return Error(Reason::kDeadlineExceeded,
               fmt::format("the deadline passed before the request left ({})",
                           MessageOf(routes_.Unreachable())));
}

void Dispatcher::CheckLanes(MonoTime now) {
  std::vector<std::pair<std::shared_ptr<Lane>, Status>> lost;
  for (auto& [address, lanes] : pool_) {
    std::size_t spare = lanes.size() > options_.min_idle ? lanes.size() - options_.min_idle : 0;
    // Youngest first: the first lane is the one in use.
    for (auto it = lanes.rbegin(); it != lanes.rend(); ++it) {
      const std::shared_ptr<Lane>& lane = *it;
      MonoTime due = MonoTime::max();
      Status error;
      if (lane->state == Lane::State::kConnecting) {
        due = lane->heard + options_.connection_timeout;
        error =
            Error(Reason::kUnreachable, fmt::format("no connection to {} within {:g} s", address,
                                                    Seconds(options_.connection_timeout)));
      } else if (lane->in_flight > 0) {
        Duration patience = patience_.With(lane->batch_bytes);
        due = lane->heard + patience;
        if (!routes_.AnyBut(address, now)) {
          // Where nobody else can be asked, leaving gains little: is it slow, or gone?
          if (due <= now && !std::exchange(lane->probing, true)) probes_.push_back(lane);
          patience *= kTimesWhenAlone;
          if (lane->probing) due = lane->heard + patience;
        }
        error = Error(Reason::kUnreachable,
                      fmt::format("{} has been silent for {:g} s", address, Seconds(patience)));
      } else if (spare > 0) {
        --spare;
        due = lane->heard + options_.idle_timeout;
      }
      if (due <= now && lane->senders == 0) {
        if (lane->in_flight > 0) patience_.RanOut();
        lost.emplace_back(lane, error);
      } else if (due != MonoTime::max()) {
        Arm(std::max(due, now + Deadlines::kBucket), now);
      }
    }
  }
  for (const auto& [lane, error] : lost) {
    lane->connection->Close();
    if (error.ok()) {
      // Idle, not broken.
      lane->state = Lane::State::kDown;
      std::erase(pool_[lane->address], lane);
    } else {
      Lose(*lane, error);
    }
  }
}

}  // namespace flotilla::client
