#include "shard/request_router.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "kv/command.h"
#include "shard/answers.h"
#include "shard/directory/locate.h"
#include "shard/forward_codec.h"

namespace flotilla {
namespace {

constexpr Duration kParkedRetry = std::chrono::milliseconds(20);

std::size_t BytesOf(const GatewayRequest& request) {
  if (const auto* write = std::get_if<WriteCall>(&request.call)) return write->command.size();
  if (const auto* batch = std::get_if<BatchGetCall>(&request.call)) {
    std::size_t bytes = 0;
    for (const std::string& key : batch->keys) bytes += key.size() + 32;
    return bytes;
  }
  return 64;
}

bool Eventual(const GatewayRequest& request) {
  if (const auto* get = std::get_if<GetCall>(&request.call)) {
    return get->consistency == kv::Consistency::kEventual;
  }
  if (const auto* batch = std::get_if<BatchGetCall>(&request.call)) {
    return batch->consistency == kv::Consistency::kEventual;
  }
  if (const auto* scan = std::get_if<ScanCall>(&request.call)) {
    return scan->consistency == kv::Consistency::kEventual;
  }
  return false;
}

// Repeating it cannot do harm: a read, or a write that is recognised.
bool Repeatable(const Ticket& ticket) {
  if (!ticket.is_write()) return true;
  kv::CommandView command;
  const auto& call = std::get<WriteCall>(ticket.request().call);
  return kv::DecodeCommand(call.command.view(), command).ok() &&
         static_cast<bool>(command.session.client);
}

// What a forwarded message may carry, unless one request or answer alone is larger: a few of the
// largest together would exceed what the transport takes.
constexpr std::size_t kForwardBytesMax = 4 << 20;

std::size_t WeightOf(const Ticket& ticket) {
  const auto* write = std::get_if<WriteCall>(&ticket.request().call);
  return 64 + (write != nullptr ? write->command.size() : 0);
}

std::size_t WeightOf(const GatewayAnswer& answer) {
  std::size_t bytes = 64;
  if (const auto* one = std::get_if<kv::GetResult>(&answer.result)) {
    bytes += one->value.size();
  } else if (const auto* many = std::get_if<std::vector<kv::GetResult>>(&answer.result)) {
    for (const kv::GetResult& result : *many) bytes += 32 + result.value.size();
  } else if (const auto* page = std::get_if<kv::ScanPage>(&answer.result)) {
    for (const kv::ScanRow& row : page->rows) bytes += 32 + row.key.size() + row.value.size();
  }
  return bytes;
}

// Gives them out in runs that may travel together.
template <class Item, class Send>
void SendInRuns(std::vector<Item> items, Send send) {
  std::vector<Item> run;
  std::size_t bytes = 0;
  for (Item& item : items) {
    const std::size_t weight = WeightOf(item);
    if (!run.empty() && bytes + weight > kForwardBytesMax) {
      send(std::exchange(run, {}));
      bytes = 0;
    }
    bytes += weight;
    run.push_back(std::move(item));
  }
  if (!run.empty()) send(std::move(run));
}

// Answers the requests from `first` on with an error.
void Refuse(const std::vector<GatewayRequest>& requests, std::size_t first, const Status& status,
            AnswerSink& sink) {
  std::vector<GatewayAnswer> answers(requests.size() - first);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    answers[i].id = requests[first + i].id;
    answers[i].status = status;
  }
  sink.OnAnswers(std::move(answers));
}

}  // namespace

// Counts what is open, so that admission can be bounded.
class RequestRouter::AdmittedSink final : public AnswerSink {
 public:
  AdmittedSink(std::shared_ptr<Admitted> admitted, std::shared_ptr<AnswerSink> sink,
               std::uint64_t bytes)
      : admitted_(std::move(admitted)), sink_(std::move(sink)), bytes_(bytes) {}
  ~AdmittedSink() override { admitted_->bytes -= bytes_; }

  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    admitted_->requests -= answers.size();
    sink_->OnAnswers(std::move(answers));
  }

 private:
  const std::shared_ptr<Admitted> admitted_;
  const std::shared_ptr<AnswerSink> sink_;
  const std::uint64_t bytes_;
};

// Sends answers of forwarded requests back to the node that asked.
class RequestRouter::ForwardSink final : public AnswerSink {
 public:
  ForwardSink(raft::PeerCalls* calls, NodeId to, std::uint64_t id)
      : calls_(calls), to_(to), id_(id) {}

  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    SendInRuns(std::move(answers), [this](const std::vector<GatewayAnswer>& run) {
      calls_->Notify(to_, raft::PeerMethod::kForwardAnswers, id_,
                     Bytes(EncodeForwardedAnswers(run)));
    });
  }

  // Answers of the asker's request numbers; used when nothing can be evaluated.
  void Refuse(const std::vector<GatewayRequest>& requests, const Status& status) {
    std::vector<GatewayAnswer> answers(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      answers[i].id = requests[i].id;
      answers[i].status = status;
    }
    OnAnswers(std::move(answers));
  }

 private:
  raft::PeerCalls* const calls_;
  const NodeId to_;
  const std::uint64_t id_;
};

RequestRouter::RequestRouter(const Options& options, const Clock* clock, Strand* strand,
                             raft::PeerCalls* calls, const Directory* directory, Refresh refresh)
    : options_(options),
      clock_(clock),
      strand_(strand),
      calls_(calls),
      directory_(directory),
      refresh_(std::move(refresh)),
      deadlines_(clock, strand, [this] { ForgetAnswered(); }),
      next_forward_(options.first_forward) {
  calls_->Handle(raft::PeerMethod::kForwardRequests,
                 [this](NodeId from, std::uint64_t id, const Bytes& body,
                        const raft::PeerCalls::Reply&) { OnForwardedRequests(from, id, body); });
  calls_->Handle(raft::PeerMethod::kForwardAnswers,
                 [this](NodeId, std::uint64_t id, const Bytes& body,
                        const raft::PeerCalls::Reply&) { OnForwardedAnswers(id, body); });
}

RequestRouter::~RequestRouter() = default;

void RequestRouter::SetReplica(GroupId group, std::shared_ptr<Replica> replica) {
  std::lock_guard lock(replicas_mutex_);
  if (replica) {
    replicas_[group] = std::move(replica);
  } else {
    replicas_.erase(group);
  }
}

std::shared_ptr<Replica> RequestRouter::FindReplica(GroupId group) const {
  std::lock_guard lock(replicas_mutex_);
  const auto found = replicas_.find(group);
  return found == replicas_.end() ? nullptr : found->second;
}

void RequestRouter::Submit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) {
  Admit(std::move(requests), std::move(sink), GroupId());
}

void RequestRouter::Admit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink,
                          GroupId group) {
  if (requests.empty()) return;
  if (stopped_.load()) {
    Refuse(requests, 0, Error(Reason::kNodeStopping, "the node is stopping: ask another one"),
           *sink);
    return;
  }
  // As many as fit: were a batch refused whole, those behind a full node would starve it.
  std::uint64_t bytes = 0;
  std::uint64_t count = 0;
  MonoTime first_deadline = requests.front().deadline;
  for (const GatewayRequest& request : requests) {
    const std::uint64_t more = bytes + BytesOf(request);
    if (open_requests_->requests.load() + count >= options_.admitted_requests_max ||
        open_requests_->bytes.load() + more > options_.admitted_bytes_max) {
      break;
    }
    bytes = more;
    ++count;
    first_deadline = std::min(first_deadline, request.deadline);
  }
  if (count < requests.size()) {
    Refuse(
        requests, count,
        Error(Reason::kOverloaded, "the node has too many requests open: slow down and try again"),
        *sink);
    requests.erase(requests.begin() + static_cast<std::ptrdiff_t>(count), requests.end());
  }
  if (requests.empty()) return;
  open_requests_->requests += count;
  open_requests_->bytes += bytes;
  auto counted = std::make_shared<AdmittedSink>(open_requests_, std::move(sink), bytes);
  // Not make_shared: the deadline's weak pointer must not keep the memory.
  const std::shared_ptr<PendingBatch> batch(
      new PendingBatch(std::move(requests), std::move(counted)));
  std::vector<Ticket> tickets;
  tickets.reserve(batch->size());
  for (std::uint32_t slot = 0; slot < batch->size(); ++slot)
    tickets.push_back({batch, slot, group});
  if (!group) {
    const std::shared_ptr<const DirectoryImage> image = directory_->image();
    for (Ticket& ticket : tickets) ticket.group = GroupOf(*image, ticket.request());
  }
  deadlines_.Watch(batch, first_deadline);
  Route(std::move(tickets));
}

Timestamp RequestRouter::Newest() const {
  const std::shared_ptr<Replica> replica = FindReplica(kFirstDataGroup);
  return replica ? replica->store().last_timestamp() : Timestamp();
}

std::optional<kv::KeyspaceId> RequestRouter::FindKeyspace(std::string_view name) const {
  if (name.empty()) return kv::kDefaultKeyspace;
  const std::shared_ptr<const DirectoryImage> image = directory_->image();
  const KeyspaceDescriptor* found = image->FindKeyspace(name);
  if (found != nullptr && !found->dropping) return found->id;
  // Nothing is known yet; it is the one that always exists.
  if (image->keyspaces().empty()) return Gateway::FindKeyspace(name);
  return std::nullopt;
}

void RequestRouter::RefreshKeyspaces(MonoTime deadline, UniqueFunction<void(Status)> done) {
  refresh_(deadline, std::move(done));
}

void RequestRouter::Route(std::vector<Ticket> tickets) {
  // Nearly always they are all of one group.
  while (!tickets.empty()) {
    const GroupId group = tickets.front().group;
    std::vector<Ticket> others;
    std::erase_if(tickets, [&](Ticket& ticket) {
      if (ticket.group == group) return false;
      others.push_back(std::move(ticket));
      return true;
    });
    RouteTo(group, std::move(tickets));
    tickets = std::move(others);
  }
}

void RequestRouter::RouteTo(GroupId group, std::vector<Ticket> tickets) {
  const std::shared_ptr<Replica> replica = FindReplica(group);
  if (!replica) {
    Park(std::move(tickets));
    return;
  }
  std::vector<Ticket> local;
  std::erase_if(tickets, [&](Ticket& ticket) {
    const bool anywhere = Planted(Plant::kReadsAnywhere) && !ticket.is_write();
    if (!Eventual(ticket.request()) && !anywhere) return false;
    local.push_back(std::move(ticket));
    return true;
  });
  if (!local.empty()) replica->ReadLocal(local);
  if (tickets.empty()) return;
  const NodeId leader = replica->leader();
  if (replica->leads()) {
    replica->Submit(std::move(tickets));
  } else if (leader && leader != NodeId(self_.load())) {
    Forward(group, leader, std::move(tickets));
  } else {
    Park(std::move(tickets));
  }
}

void RequestRouter::OnMisrouted(GroupId group, NodeId leader, std::vector<Ticket> tickets) {
  std::erase_if(tickets, [](const Ticket& ticket) { return ticket.batch->Answered(ticket.slot); });
  if (tickets.empty()) return;
  if (leader && leader != NodeId(self_.load())) {
    Forward(group, leader, std::move(tickets));
  } else {
    Park(std::move(tickets));
  }
}

// ---- forwarding -----------------------------------------------------------------------------

void RequestRouter::Forward(GroupId group, NodeId to, std::vector<Ticket> tickets) {
  std::vector<Ticket> mine;
  mine.reserve(tickets.size());
  for (Ticket& ticket : tickets) {
    // A forwarded request is not forwarded again: its asker decides.
    if (ticket.batch->Begin(ticket.slot)) mine.push_back(std::move(ticket));
  }
  SendInRuns(std::move(mine), [this, group, to](std::vector<Ticket> run) {
    Bytes body(EncodeForwardedRequests(group, run, clock_->Now()));
    std::uint64_t id = 0;
    {
      std::lock_guard lock(forwards_mutex_);
      id = next_forward_++;
      const std::size_t open = run.size();
      forwards_[id] = {.group = group, .to = to, .tickets = std::move(run), .open = open};
    }
    calls_->Notify(to, raft::PeerMethod::kForwardRequests, id, std::move(body));
  });
}

void RequestRouter::OnForwardedRequests(NodeId from, std::uint64_t id, const Bytes& body) {
  auto sink = std::make_shared<ForwardSink>(calls_, from, id);
  StatusOr<ForwardedRequests> forwarded = DecodeForwardedRequests(body, clock_->Now());
  if (!forwarded.ok()) return;  // a stranger's bytes; the asker's deadline ends it
  // Nothing enters the log that the state machine could not evaluate, whoever sent it.
  kv::CommandView command;
  for (const GatewayRequest& request : forwarded->requests) {
    const auto* write = std::get_if<WriteCall>(&request.call);
    if (write != nullptr && !kv::DecodeCommand(write->command.view(), command).ok()) return;
  }
  const GroupId group = forwarded->group;
  const std::shared_ptr<Replica> replica = FindReplica(group);
  if (!replica || !replica->leads()) {
    sink->Refuse(forwarded->requests,
                 NotLeaderError(group, replica ? replica->leader() : NodeId()));
    return;
  }
  Admit(std::move(forwarded->requests), std::move(sink), group);
}

void RequestRouter::OnForwardedAnswers(std::uint64_t id, const Bytes& body) {
  StatusOr<std::vector<GatewayAnswer>> decoded = DecodeForwardedAnswers(body.view());
  if (!decoded.ok()) return;
  std::vector<std::pair<Ticket, GatewayAnswer>> answered;
  {
    std::lock_guard lock(forwards_mutex_);
    const auto found = forwards_.find(id);
    if (found == forwards_.end()) return;
    Forwarded& forwarded = found->second;
    for (GatewayAnswer& answer : *decoded) {
      if (answer.id >= forwarded.tickets.size()) continue;
      Ticket& ticket = forwarded.tickets[answer.id];
      if (!ticket.batch) continue;  // a repeated answer
      answered.emplace_back(std::exchange(ticket, Ticket()), std::move(answer));
      --forwarded.open;
    }
    if (forwarded.open == 0) forwards_.erase(found);
  }
  std::vector<Ticket> again;
  AnswerCollector answers;
  for (auto& [ticket, answer] : answered) {
    const Reason reason = ReasonOf(answer.status);
    if (reason == Reason::kNotLeader || reason == Reason::kNodeStopping) {
      if (ticket.batch->Return(ticket.slot)) again.push_back(std::move(ticket));
    } else {
      if (answer.status.ok() && !Fits(ticket.request(), answer)) {
        answer.status = Error(ticket.is_write() ? Reason::kOutcomeUnknown : Reason::kInternal,
                              "the leader's node gave an answer that does not fit the request");
      }
      answers.Add(ticket, std::move(answer));
    }
  }
  answers.Flush();
  Park(std::move(again));
}

void RequestRouter::OnUnreachable(NodeId node) {
  std::vector<Ticket> lost;
  {
    std::lock_guard lock(forwards_mutex_);
    for (auto one = forwards_.begin(); one != forwards_.end();) {
      if (one->second.to != node) {
        ++one;
        continue;
      }
      for (Ticket& ticket : one->second.tickets) {
        if (ticket.batch) lost.push_back(std::move(ticket));
      }
      one = forwards_.erase(one);
    }
  }
  GiveBack(std::move(lost));
}

// A node that led before may be paused or cut off: what can be repeated does not wait for it.
void RequestRouter::TakeBackFromOthers(GroupId group, NodeId leader) {
  std::vector<Ticket> taken;
  {
    std::lock_guard lock(forwards_mutex_);
    for (auto one = forwards_.begin(); one != forwards_.end();) {
      Forwarded& forwarded = one->second;
      if (forwarded.group != group) {
        ++one;
        continue;
      }
      for (Ticket& ticket : forwarded.tickets) {
        if (forwarded.to == leader || !ticket.batch || !Repeatable(ticket)) continue;
        taken.push_back(std::exchange(ticket, Ticket()));
        --forwarded.open;
      }
      one = forwarded.open == 0 ? forwards_.erase(one) : std::next(one);
    }
  }
  GiveBack(std::move(taken));
}

// Requests that went to a node which may or may not have acted on them.
void RequestRouter::GiveBack(std::vector<Ticket> tickets) {
  std::vector<Ticket> again;
  AnswerCollector answers;
  for (Ticket& ticket : tickets) {
    if (!Repeatable(ticket)) {
      answers.Fail(ticket, GivenUp(true, "the connection to the leader broke"));
    } else if (ticket.batch->Lost(ticket.slot)) {
      again.push_back(std::move(ticket));
    }
  }
  answers.Flush();
  Park(std::move(again));
}

// ---- waiting for a leader ---------------------------------------------------------------------

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
    const GroupId group = one.ticket.group;
    const std::shared_ptr<Replica> replica = FindReplica(group);
    const bool routable =
        replica &&
        (replica->leads() || (replica->leader() && replica->leader() != NodeId(self_.load())));
    const bool eventual = replica && Eventual(one.ticket.request());
    if (routable || eventual) {
      ready.push_back(std::move(one.ticket));
    } else if (stopped_.load()) {
      answers.Fail(one.ticket,
                   Error(Reason::kNodeStopping, "the node is stopping: ask another one"));
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

// Forwarded requests that were answered meanwhile, by their deadline, need no answer any more.
void RequestRouter::ForgetAnswered() {
  std::lock_guard lock(forwards_mutex_);
  std::erase_if(forwards_, [](const auto& entry) {
    return std::all_of(
        entry.second.tickets.begin(), entry.second.tickets.end(),
        [](const Ticket& ticket) { return !ticket.batch || ticket.batch->Answered(ticket.slot); });
  });
}

void RequestRouter::Stop() {
  stopped_.store(true);
  deadlines_.AbandonAll();
  std::lock_guard forwards_lock(forwards_mutex_);
  forwards_.clear();
  std::lock_guard parked_lock(parked_mutex_);
  parked_.clear();
}

}  // namespace flotilla
