#include "client/dispatcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "client/errors.h"
#include "client/retry.h"
#include "client/wire.h"

namespace flotilla::client {
namespace {

// Between two questions for the members.
constexpr Duration kMembersInterval = std::chrono::milliseconds(500);
// A call whose connection broke this often waits before it tries again.
constexpr std::uint32_t kBreaksAtOnceMax = 2;

// So often a call may go on under a new session.
constexpr std::uint32_t kRenumberingsMax = 3;

std::uint64_t DrawClientId(Random& random) {
  std::uint64_t id = 0;
  while (id == 0) id = random.Next();
  return id;
}

}  // namespace

// ---- Lane --------------------------------------------------------------------------------------

void Lane::OnConnected(Timestamp newest) {
  if (const auto dispatcher = dispatcher_.lock()) dispatcher->Connected(*this, newest);
}

void Lane::OnSent() {
  {
    std::lock_guard wait(send_mutex);
  }
  if (const auto dispatcher = dispatcher_.lock()) dispatcher->Sent(*this);
}

void Lane::OnResponses(v1::PipelineResponse& responses) {
  {
    std::lock_guard wait(send_mutex);
  }
  if (const auto dispatcher = dispatcher_.lock()) dispatcher->Answered(*this, responses);
}

void Lane::OnClosed(const Status& status) {
  {
    std::lock_guard wait(send_mutex);
  }
  if (const auto dispatcher = dispatcher_.lock()) dispatcher->Closed(*this, status);
}

// ---- Dispatcher
// ----------------------------------------------------------------------------------

Dispatcher::Dispatcher(const ClientOptions& options, const ClientWorld& world)
    : options_(options),
      clock_(world.clock),
      connector_(world.connector),
      strand_(world.executor->NewStrand("client")),
      random_(world.seed),
      routes_(options.endpoints, random_.Fork()),
      patience_(options.stall_timeout),
      window_(options.outstanding_max),
      shard_map_(options.keyspace) {
  NewSession();
  CHECK_GT(options_.max_pool_size, 0u);
  CHECK_GT(options_.outstanding_max, 0u);
  CHECK_GT(options_.batch_requests_max, 0u);
}

std::uint64_t Dispatcher::client_id() {
  Lock lock(mutex_);
  return sessions_.back()->client_id;
}

void Dispatcher::NewSession() {
  std::erase_if(sessions_, [](const auto& old) { return old->sequences.AllAnswered(); });
  sessions_.push_back(
      std::make_unique<WriteSession>(DrawClientId(random_), options_.write_window_max));
}

void Dispatcher::Submit(std::unique_ptr<Call> call, Duration timeout, Admission admission) {
  const MonoTime now = clock_->Now();
  call->deadline = now + (timeout > Duration::zero() ? timeout : options_.timeout);
  Lock lock(mutex_);
  if (stopping_) {
    lock.unlock();
    call->outcome = Error(Reason::kCancelled, "the client is shutting down");
    RunCallback(*call);
    return;
  }
  if (admission == Admission::kBounded && calls_.size() >= options_.outstanding_max) {
    lock.unlock();
    call->outcome = Error(Reason::kOverloaded,
                          fmt::format("{} calls are outstanding in this client, the most that it "
                                      "allows: wait for answers, or raise outstanding_max",
                                      options_.outstanding_max));
    RunCallback(*call);
    return;
  }
  Call* accepted = calls_.Insert(std::move(call));
  deadlines_.Add(accepted);
  Arm(deadlines_.Next(), now);
  (accepted->any_replica ? for_replica_ : for_leader_).push_back(accepted->id);
  Drive(lock);
}

void Dispatcher::Shutdown() {
  Lock lock(mutex_);
  if (stopping_) {  // by another thread, or done before
    idle_.wait(lock, [this] { return shut_down_; });
    return;
  }
  stopping_ = true;
  idle_.wait(lock, [this] { return busy_ == 0; });
  const Status cancelled = Error(Reason::kCancelled, "the client was shut down");
  for (Call* call : calls_.All()) {
    if (call->lane != nullptr) call->perhaps = call->is_write;
    FinishWith(call, cancelled);
  }
  // A connection and its lane hold each other until it has closed, which it may never do when the
  // executor stops next.
  std::vector<std::shared_ptr<Connection>> closing;
  for (const auto& [address, lanes] : pool_) {
    for (const auto& lane : lanes) {
      lane->state = Lane::State::kDown;
      // One that closed by itself meanwhile is here still, without a connection.
      if (lane->connection) closing.push_back(std::move(lane->connection));
    }
  }
  for (const auto& connection : closing) connection->Close();
  if (watch_) std::exchange(watch_, nullptr)->Close();
  pool_.clear();
  const Finished finished = std::move(finished_);
  lock.unlock();
  for (const auto& call : finished) RunCallback(*call);
  lock.lock();
  shut_down_ = true;
  idle_.notify_all();
}

void Dispatcher::Connected(Lane& lane, Timestamp newest) {
  Lock lock(mutex_);
  newest_ = std::max(newest_, newest);
  if (stopping_ || lane.state != Lane::State::kConnecting) return;
  const MonoTime now = clock_->Now();
  lane.state = Lane::State::kUp;
  lane.heard = now;
  routes_.Worked(lane.address);
  if (pool_[lane.address].size() > options_.min_idle) Arm(now + options_.idle_timeout, now);
  Drive(lock);
}

void Dispatcher::Sent(Lane& lane) {
  Lock lock(mutex_);
  lane.sending = false;
  Drive(lock);
}

void Dispatcher::Answered(Lane& lane, v1::PipelineResponse& responses) {
  Finished answered;
  answered.reserve(static_cast<std::size_t>(responses.responses_size()));
  Lock lock(mutex_);
  if (stopping_) return;
  const MonoTime now = clock_->Now();
  lane.heard = now;
  // While it was asked for life, it was to be looked at later than is right for one that lives.
  if (std::exchange(lane.probing, false)) Arm(now + patience_.With(lane.batch_bytes), now);
  if (responses.responses().empty()) return;  // to a probe
  const std::size_t in_flight = in_flight_;
  std::size_t refused = 0;
  Duration slowest{0};
  NodeId learned_node;  // one answer of a group tells as much about its leader as all
  GroupId learned_group;
  for (v1::Response& response : *responses.mutable_responses()) {
    Call* call = calls_.Find(response.id());
    if (call == nullptr || call->lane != &lane) continue;  // ended, or sent elsewhere meanwhile
    slowest = std::max(slowest, now - call->sent);
    lane.pace.Answered(call->sent);
    if (response.has_error()) {
      const Status error = FromWire(response.error());
      if (ReasonOf(error) == Reason::kOverloaded) ++refused;
      AttemptFailed(call, error, now);
      continue;
    }
    if (!Fits(*call, response)) {
      AttemptFailed(
          call,
          Error(Reason::kInternal,
                fmt::format("{} gave an answer that does not fit the request", lane.address)),
          now);
      continue;
    }
    const v1::ResponseHeader* header = call->any_replica ? nullptr : HeaderOf(response);
    if (header != nullptr && (NodeId(header->node_id()) != learned_node ||
                              GroupId(header->group_id()) != learned_group)) {
      learned_node = NodeId(header->node_id());
      learned_group = GroupId(header->group_id());
      LearnLeader(lane, *header, now);
    }
    call->response = &response;
    answered.push_back(Take(call));
  }
  patience_.Answered(slowest);
  lane.pace.Learn(slowest);
  window_.Answered(in_flight, refused, answered.size());
  ++corked_;
  ++busy_;
  lock.unlock();
  for (const auto& call : answered) RunCallback(*call);
  answered.clear();
  lock.lock();
  --corked_;
  Drive(lock);
  if (--busy_ == 0) idle_.notify_all();
}

void Dispatcher::Closed(Lane& lane, const Status& status) {
  Lock lock(mutex_);
  // Another thread may be about to use the connection, or be reading the calls' requests.
  send_over_.wait(lock, [&lane] { return lane.senders == 0; });
  lane.connection.reset();
  if (stopping_ || lane.state == Lane::State::kDown) return;
  Lose(lane, status);
  Drive(lock);
}

void Dispatcher::Lose(Lane& lane, const Status& status) {
  const MonoTime now = clock_->Now();
  lane.state = Lane::State::kDown;
  routes_.Failed(lane.address, status, now);
  if (lane.in_flight > 0) {
    for (Call* call : calls_.All()) {
      if (call->lane != &lane) continue;
      call->lane = nullptr;
      --in_flight_;
      call->perhaps = call->perhaps || call->is_write;
      call->last_error = status;
      ++call->attempts;
      Requeue(call, call->attempts <= kBreaksAtOnceMax, now);
    }
    lane.in_flight = 0;
  }
  const auto entry = pool_.find(lane.address);
  CHECK(entry != pool_.end());
  // The pool may hold the last reference besides the caller's.
  std::erase_if(entry->second, [&](const auto& other) { return other.get() == &lane; });
  if (entry->second.empty()) pool_.erase(entry);
}

void Dispatcher::AttemptFailed(Call* call, const Status& error, MonoTime now) {
  const std::string asked = call->lane->address;
  --call->lane->in_flight;
  --in_flight_;
  call->lane = nullptr;
  if (ReasonOf(error) == Reason::kSessionExpired) LearnTimestamp(error);
  if (ReasonOf(error) == Reason::kSessionExpired && Renumber(call)) {
    Requeue(call, /*at_once=*/true, now);
    return;
  }
  const Judgement judgement = JudgeFailure(error, call->is_write, call->redirects);
  call->perhaps = call->perhaps || judgement.perhaps;
  ++call->attempts;
  const Reason reason = ReasonOf(error);
  if (reason == Reason::kNotLeader) {
    const ErrorMetadata metadata = MetadataOf(error);
    const auto leader = metadata.find(std::string(kLeaderAddressMetadata));
    routes_.ForgetLeader(shard_map_.Locate(RoutingKey(call->request)));
    routes_.LeaderIs(leader == metadata.end() ? std::string() : leader->second);
    ++call->redirects;
  } else if (reason == Reason::kNodeStopping || reason == Reason::kNotReady) {
    routes_.Failed(asked, error, now);  // others are asked first
  }
  if (judgement.next == NextStep::kFinish) {
    FinishWith(call, error);
    return;
  }
  call->last_error = error;
  Requeue(call, judgement.next == NextStep::kRetryAtOnce, now);
}

bool Dispatcher::Renumber(Call* call) {
  if (call->perhaps || call->session == nullptr || call->redirects > kRenumberingsMax) return false;
  WriteSession* const expired = call->session;
  call->session = nullptr;
  expired->sequences.Done(std::exchange(call->sequence, 0));
  ++call->redirects;
  if (expired == sessions_.back().get()) NewSession();
  ReleaseWindow();
  return true;
}

void Dispatcher::LearnTimestamp(const Status& expired) {
  const ErrorMetadata metadata = MetadataOf(expired);
  const auto found = metadata.find(std::string(kTimestampMetadata));
  if (found == metadata.end()) return;
  std::uint64_t value = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc()) newest_ = std::max(newest_, Timestamp(value));
}

void Dispatcher::Requeue(Call* call, bool at_once, MonoTime now) {
  calls_.Renew(call);
  if (at_once) {
    (call->any_replica ? for_replica_ : for_leader_).push_front(call->id);
    return;
  }
  const MonoTime at =
      now + Backoff(call->attempts, options_.backoff_min, options_.backoff_max, random_);
  delayed_.emplace(at, call->id);
  Arm(at, now);
}

void Dispatcher::ReleaseWindow() {
  if (for_window_.empty() || !sessions_.back()->sequences.Open()) return;
  // In their order, before everything that came later.
  for_leader_.insert(for_leader_.begin(), for_window_.begin(), for_window_.end());
  for_window_.clear();
}

std::unique_ptr<Call> Dispatcher::Take(Call* call) {
  if (call->lane != nullptr) {
    --call->lane->in_flight;
    --in_flight_;
    call->lane = nullptr;
  }
  deadlines_.Remove(call);
  if (call->sequence != 0) {
    call->session->sequences.Done(call->sequence);
    ReleaseWindow();
  }
  return calls_.Remove(call);
}

void Dispatcher::FinishWith(Call* call, const Status& error) {
  call->outcome = FinalError(error, call->perhaps);
  finished_.push_back(Take(call));
}

void Dispatcher::LearnLeader(const Lane& lane, const v1::ResponseHeader& header, MonoTime now) {
  const NodeId node(header.node_id());
  const GroupId group(header.group_id());
  const bool unknown =
      shard_map_.Holds(group) ? routes_.Leads(group, node) : routes_.Answered(node, lane.address);
  if (unknown) AskForMembers(lane.address, now);
  ConsiderFollowing(node, lane.address, now);
}

void Dispatcher::AskForMembers(const std::string& address, MonoTime now) {
  if (asking_for_members_) return;
  if (members_asked_at_ != MonoTime::min() && now - members_asked_at_ < kMembersInterval) return;
  asking_for_members_ = true;
  members_asked_at_ = now;
  connector_->ListMembers(address, options_.connection_timeout,
                          [weak = weak_from_this()](StatusOr<std::vector<MemberAddress>> members) {
                            const auto self = weak.lock();
                            if (!self) return;
                            Lock lock(self->mutex_);
                            self->asking_for_members_ = false;
                            if (members.ok() && !self->stopping_)
                              self->routes_.SetMembers(*members);
                          });
}

}  // namespace flotilla::client
