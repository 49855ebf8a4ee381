#include "client/transactor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/errors.h"
#include "client/retry.h"

namespace flotilla::client {
namespace {

// A connection that owes answers is asked for a sign of life after one stall_timeout of silence,
// and given up after so many.
constexpr int kSilentTimes = 2;

Status Stopped() { return Error(Reason::kCancelled, "the client has been shut down"); }

Status Late() {
  return Error(Reason::kDeadlineExceeded,
               "the deadline has passed before the transaction was answered");
}

// Of a call that is about to be queued.
TxnCall::Kind KindOf(TxnCall& call) {
  const v1::TxnRequest& request = call.request;
  if (request.has_begin()) call.seat->locks = request.begin().locking() == v1::LOCKING_PESSIMISTIC;
  switch (request.request_case()) {
    case v1::TxnRequest::kGet:
      return call.seat->locks || request.get().has_lock() ? TxnCall::Kind::kOther
                                                          : TxnCall::Kind::kRead;
    case v1::TxnRequest::kBatchGet:
      return call.seat->locks || request.batch_get().has_lock() ? TxnCall::Kind::kOther
                                                                : TxnCall::Kind::kRead;
    case v1::TxnRequest::kCommit:
      return TxnCall::Kind::kCommit;
    case v1::TxnRequest::kScan:
      return TxnCall::Kind::kOther;
    case v1::TxnRequest::kPut:
    case v1::TxnRequest::kDelete:
      return call.seat->locks ? TxnCall::Kind::kOther : TxnCall::Kind::kTaking;
    default:
      return TxnCall::Kind::kTaking;
  }
}

// What an answer that never came means for its call.
Status WithoutAnswer(const TxnCall& call, const Status& why) {
  if (!call.perhaps) return why;
  return Error(Reason::kOutcomeUnknown,
               fmt::format("the transaction may or may not have been committed ({}); read what it "
                           "wrote to find out",
                           MessageOf(why)));
}

}  // namespace

void TxnLane::OnConnected(Timestamp) {
  if (const auto transactor = transactor_.lock()) transactor->Connected(*this);
}
void TxnLane::OnSent() {
  if (const auto transactor = transactor_.lock()) transactor->Sent(*this);
}
void TxnLane::OnResponses(v1::TransactResponse& responses) {
  if (const auto transactor = transactor_.lock()) transactor->Answered(*this, responses);
}
void TxnLane::OnClosed(const Status& status) {
  if (const auto transactor = transactor_.lock()) transactor->Closed(*this, status);
}

Transactor::Transactor(const ClientOptions& options, const ClientWorld& world)
    : options_(options),
      clock_(world.clock),
      connector_(world.connector),
      strand_(world.executor->NewStrand("transactions of a client")),
      random_(Random(world.seed).Fork()),
      routes_(options.endpoints, random_.Fork()) {}

std::shared_ptr<TxnSeat> Transactor::NewSeat() {
  auto seat = std::make_shared<TxnSeat>();
  std::lock_guard lock(mutex_);
  seat->number = next_number_++;
  return seat;
}

Duration Transactor::BackoffAfter(std::uint32_t attempt) {
  std::lock_guard lock(mutex_);
  return Backoff(attempt, options_.backoff_min, options_.backoff_max, random_);
}

void Transactor::After(Duration delay, UniqueFunction<void(bool)> done) {
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) {
      strand_->After(delay, [done = std::move(done)]() mutable { done(true); });
      return;
    }
  }
  done(false);
}

// ---- calls ------------------------------------------------------------------------------------

void Transactor::Send(const std::shared_ptr<TxnSeat>& seat, Calls calls, Admission admission) {
  Lock lock(mutex_);
  const MonoTime now = clock_->Now();
  Status refused;
  if (stopping_) {
    refused = Stopped();
  } else if (admission == Admission::kBounded &&
             outstanding_ + calls.size() > options_.outstanding_max) {
    refused = Error(Reason::kOverloaded,
                    fmt::format("{} calls of transactions are outstanding already: wait for some",
                                outstanding_));
  }
  for (std::unique_ptr<TxnCall>& call : calls) {
    call->seat = seat;
    ++outstanding_;
    if (!refused.ok()) {
      End(std::move(call), refused);
    } else {
      Place(std::move(call), now);
    }
  }
  Drive(lock);
}

void Transactor::Place(std::unique_ptr<TxnCall> call, MonoTime now) {
  if (call->deadline <= now) return End(std::move(call), Late());
  TxnSeat& seat = *call->seat;
  if (seat.lane == nullptr) {
    const std::optional<std::string> address = routes_.ForLeader(now);
    if (!address) return End(std::move(call), routes_.Unreachable());
    seat.lane = LaneFor(*address, now);
    if (seat.lane == nullptr) {
      return End(std::move(call),
                 Error(Reason::kUnimplemented, "this network carries no transactions"));
    }
  }
  TxnLane& lane = *seat.lane;
  if (lane.state == TxnLane::State::kDown) return End(std::move(call), lane.why_down);
  earliest_ = std::min(earliest_, call->deadline);
  Arm(std::min(earliest_, now + options_.stall_timeout), now);
  call->kind = KindOf(*call);
  if (call->kind == TxnCall::Kind::kTaking) ++lane.taking;
  lane.queue.push_back(std::move(call));
}

std::shared_ptr<TxnLane> Transactor::LaneFor(const std::string& address, MonoTime now) {
  std::shared_ptr<TxnLane>& lane = lanes_[address];
  if (lane != nullptr) return lane;
  auto opened = std::make_shared<TxnLane>(weak_from_this(), address, now);
  opened->stream = connector_->ConnectTxns(address, opened);
  if (opened->stream == nullptr) {
    lanes_.erase(address);
    return nullptr;
  }
  lane = opened;
  return opened;
}

void Transactor::End(std::unique_ptr<TxnCall> call, const Status& status) {
  --outstanding_;
  ended_.push_back({std::move(call), status});
}

// ---- from the queue to the wire ---------------------------------------------------------------

void Transactor::Drive(Lock& lock) {
  while (true) {
    if (!ended_.empty()) {
      std::deque<Ended> ended = std::exchange(ended_, {});
      ++busy_;
      lock.unlock();
      for (Ended& one : ended) {
        if (one.call->done) one.call->done(one.status, nullptr);
        one.call.reset();
      }
      lock.lock();
      if (--busy_ == 0) idle_.notify_all();
      continue;
    }
    if (corked_ > 0 || stopping_ || !SendOne(lock)) return;
  }
}

bool Transactor::SendOne(Lock& lock) {
  const MonoTime now = clock_->Now();
  for (const auto& [address, one] : lanes_) {
    if (one->state != TxnLane::State::kUp || one->sending) continue;
    if (!one->probe_due && (one->queue.empty() || Gathers(*one, now))) continue;
    const std::shared_ptr<TxnLane> lane = one;
    const std::shared_ptr<TxnStream> stream = lane->stream;
    v1::TransactRequest batch;
    FillBatch(*lane, batch, now);
    lane->sending = true;
    ++busy_;
    lock.unlock();
    stream->Send(batch);
    lock.lock();
    if (--busy_ == 0) idle_.notify_all();
    return true;
  }
  return false;
}

bool Transactor::Gathers(const TxnLane& lane, MonoTime now) {
  if (lane.queue.size() >= options_.batch_requests_max) return false;
  const std::size_t waiting = std::max<std::size_t>(lane.queue.size() - lane.taking, 1);
  const MonoTime until = (lane.reads.Expects(now) + lane.commits.Expects(now)).Until(waiting);
  if (until <= now) return false;
  Arm(until, now);
  return true;
}

void Transactor::FillBatch(TxnLane& lane, v1::TransactRequest& batch, MonoTime now) {
  // A message without requests is a question of its own.
  if (std::exchange(lane.probe_due, false) && lane.queue.empty()) return;
  if (lane.owed.empty()) lane.heard = now;
  std::size_t bytes = 0;
  std::size_t reads = 0;
  std::size_t commits = 0;
  while (!lane.queue.empty() &&
         static_cast<std::size_t>(batch.requests_size()) < options_.batch_requests_max) {
    std::unique_ptr<TxnCall>& call = lane.queue.front();
    const std::size_t more = call->request.ByteSizeLong();
    if (bytes > 0 && bytes + more > options_.batch_bytes_max) break;
    bytes += more;
    if (call->kind == TxnCall::Kind::kTaking) --lane.taking;
    reads += call->kind == TxnCall::Kind::kRead ? 1 : 0;
    commits += call->kind == TxnCall::Kind::kCommit ? 1 : 0;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(call->deadline - now).count();
    call->request.set_id(next_id_++);
    call->request.set_transaction(call->seat->number);
    call->request.set_timeout_ms(
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 1, UINT32_MAX)));
    call->seat->aboard = true;
    call->sent = now;
    const std::uint64_t id = call->request.id();
    batch.add_requests()->Swap(&call->request);
    lane.owed.emplace(id, std::move(call));
    lane.queue.pop_front();
  }
  if (reads > 0) lane.reads.Sent(now, reads);
  if (commits > 0) lane.commits.Sent(now, commits);
}

// ---- what lanes report ------------------------------------------------------------------------

void Transactor::Connected(TxnLane& lane) {
  bool ask = false;
  Lock lock(mutex_);
  if (lane.state != TxnLane::State::kConnecting || stopping_) return;
  lane.state = TxnLane::State::kUp;
  lane.heard = clock_->Now();
  routes_.Worked(lane.address);
  ask = !std::exchange(asked_for_members_, true);
  Drive(lock);
  lock.unlock();
  if (!ask) return;
  // For when none of the given endpoints can be reached any more.
  connector_->ListMembers(
      lane.address, options_.connection_timeout,
      [weak = weak_from_this()](const StatusOr<std::vector<MemberAddress>>& members) {
        const auto self = weak.lock();
        if (self == nullptr) return;
        std::lock_guard guard(self->mutex_);
        self->asked_for_members_ = members.ok();
        if (members.ok()) self->routes_.SetMembers(*members);
      });
}

void Transactor::Sent(TxnLane& lane) {
  Lock lock(mutex_);
  lane.sending = false;
  Drive(lock);
}

void Transactor::Answered(TxnLane& lane, v1::TransactResponse& responses) {
  std::vector<std::pair<std::unique_ptr<TxnCall>, v1::TxnResponse*>> answered;
  Lock lock(mutex_);
  const MonoTime now = clock_->Now();
  lane.heard = now;
  lane.probed = false;
  if (stopping_) return;
  Duration slowest_read{};
  Duration slowest_commit{};
  for (v1::TxnResponse& response : *responses.mutable_responses()) {
    const auto found = lane.owed.find(response.id());
    if (found == lane.owed.end()) continue;  // its time was up
    if (Pace* const pace = lane.PaceOf(found->second->kind)) {
      pace->Answered(found->second->sent);
      Duration& slowest = pace == &lane.reads ? slowest_read : slowest_commit;
      slowest = std::max(slowest, now - found->second->sent);
    }
    answered.emplace_back(std::move(found->second), &response);
    lane.owed.erase(found);
    --outstanding_;
  }
  if (slowest_read > Duration(0)) lane.reads.Learn(slowest_read);
  if (slowest_commit > Duration(0)) lane.commits.Learn(slowest_commit);
  // What the callbacks bring about leaves together.
  ++corked_;
  ++busy_;
  lock.unlock();
  Status unfit;
  for (auto& [call, response] : answered) {
    const Status status = response->has_error() ? FromWire(response->error()) : absl::OkStatus();
    const Reason reason = ReasonOf(status);
    if (reason == Reason::kNodeStopping || reason == Reason::kNotReady ||
        reason == Reason::kNoQuorum) {
      unfit = status;  // perhaps others do better
    }
    if (call->done) call->done(status, status.ok() ? response : nullptr);
    call.reset();
  }
  lock.lock();
  --corked_;
  if (!unfit.ok()) routes_.Failed(lane.address, unfit, now);
  if (--busy_ == 0) idle_.notify_all();
  Drive(lock);
}

void Transactor::Closed(TxnLane& lane, const Status& status) {
  Lock lock(mutex_);
  Lose(lane, status, clock_->Now());
  Drive(lock);
}

void Transactor::Lose(TxnLane& lane, const Status& status, MonoTime now) {
  if (lane.state == TxnLane::State::kDown) return;
  const bool connected = lane.state == TxnLane::State::kUp;
  lane.state = TxnLane::State::kDown;
  // It holds this lane, and is held by it; perhaps nobody reports its end any more.
  lane.stream = nullptr;
  lane.why_down = status;
  if (connected && !stopping_ && ReasonOf(status) != Reason::kUnimplemented) {
    lane.why_down =
        Error(Reason::kUnreachable,
              fmt::format("the stream to {} has broken, and the transaction with it ({}): begin it "
                          "anew",
                          lane.address, MessageOf(status)));
  }
  routes_.Failed(lane.address, status, now);
  std::shared_ptr<TxnLane> self;
  if (const auto found = lanes_.find(lane.address);
      found != lanes_.end() && found->second.get() == &lane) {
    self = std::move(found->second);
    lanes_.erase(found);
  }
  for (auto& [id, call] : std::exchange(lane.owed, {})) {
    const Status lost = WithoutAnswer(*call, lane.why_down);
    End(std::move(call), lost);
  }
  for (std::unique_ptr<TxnCall>& call : std::exchange(lane.queue, {})) {
    TxnSeat& seat = *call->seat;
    if (seat.aboard || stopping_) {
      End(std::move(call), lane.why_down);
      continue;
    }
    if (seat.lane.get() == &lane) seat.lane = nullptr;
    Place(std::move(call), now);
  }
}

// ---- time -------------------------------------------------------------------------------------

// One timer is pending that matters: the one for armed_for_.
void Transactor::Arm(MonoTime at, MonoTime now) {
  if (at >= armed_for_) return;
  armed_for_ = at;
  strand_->After(std::max(at - now, Duration::zero()), [weak = weak_from_this(), at] {
    if (const auto self = weak.lock()) self->Tick(at);
  });
}

void Transactor::Tick(MonoTime armed_for) {
  Lock lock(mutex_);
  if (stopping_ || armed_for != armed_for_) return;
  armed_for_ = MonoTime::max();
  const MonoTime now = clock_->Now();
  if (earliest_ <= now) ExpireCalls(now);
  CheckLanes(now);
  if (outstanding_ > 0) Arm(std::min(earliest_, now + options_.stall_timeout), now);
  Drive(lock);
}

void Transactor::ExpireCalls(MonoTime now) {
  earliest_ = MonoTime::max();
  const Status late = Late();
  for (const auto& [address, lane] : lanes_) {
    std::deque<std::unique_ptr<TxnCall>> waiting;
    for (std::unique_ptr<TxnCall>& call : std::exchange(lane->queue, {})) {
      if (call->deadline <= now) {
        if (call->kind == TxnCall::Kind::kTaking) --lane->taking;
        End(std::move(call), late);
      } else {
        earliest_ = std::min(earliest_, call->deadline);
        waiting.push_back(std::move(call));
      }
    }
    lane->queue = std::move(waiting);
    for (auto one = lane->owed.begin(); one != lane->owed.end();) {
      if (one->second->deadline > now) {
        earliest_ = std::min(earliest_, one->second->deadline);
        ++one;
        continue;
      }
      const Status lost = WithoutAnswer(*one->second, late);
      End(std::move(one->second), lost);
      one = lane->owed.erase(one);
    }
  }
}

void Transactor::CheckLanes(MonoTime now) {
  std::vector<std::shared_ptr<TxnLane>> silent;
  for (const auto& [address, lane] : lanes_) {
    const Duration silence = now - lane->heard;
    if (lane->state == TxnLane::State::kConnecting) {
      if (silence >= options_.connection_timeout) silent.push_back(lane);
    } else if (lane->owed.empty()) {
      continue;
    } else if (silence >= kSilentTimes * options_.stall_timeout) {
      silent.push_back(lane);
    } else if (silence >= options_.stall_timeout && !lane->probed) {
      lane->probed = true;
      lane->probe_due = true;
    }
  }
  for (const auto& lane : silent) {
    if (lane->stream != nullptr) lane->stream->Close();
    Lose(*lane,
         Error(Reason::kUnreachable,
               fmt::format("{} does not answer: the node is paused, or cut off", lane->address)),
         now);
  }
}

// ---- the end ----------------------------------------------------------------------------------

void Transactor::Shutdown() {
  Lock lock(mutex_);
  if (!std::exchange(stopping_, true)) {
    const MonoTime now = clock_->Now();
    std::vector<std::shared_ptr<TxnLane>> all;
    for (const auto& [address, one] : lanes_) all.push_back(one);
    for (const auto& lane : all) {
      if (lane->stream != nullptr) lane->stream->Close();
      Lose(*lane, Stopped(), now);
    }
    Drive(lock);
  }
  idle_.wait(lock, [this] { return busy_ == 0 && ended_.empty(); });
}

}  // namespace flotilla::client
