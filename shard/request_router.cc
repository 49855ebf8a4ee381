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

std::size_t BytesOf(const GatewayRequest& request) {
  if (const auto* write = std::get_if<WriteCall>(&request.call)) return write->command.size();
  if (const auto* batch = std::get_if<BatchGetCall>(&request.call)) {
    std::size_t bytes = 0;
    for (const std::string& key : batch->keys) bytes += key.size() + 32;
    return bytes;
  }
  return 64;
}

std::vector<Ticket> TicketsOf(const std::shared_ptr<PendingBatch>& batch, GroupId group) {
  std::vector<Ticket> tickets;
  tickets.reserve(batch->size());
  for (std::uint32_t slot = 0; slot < batch->size(); ++slot) {
    tickets.push_back({.batch = batch, .slot = slot, .group = group});
  }
  return tickets;
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

// Moments that a read of several shards tries.
constexpr int kMomentsMax = 5;

Status FutureError() {
  return Error(Reason::kBadRequest,
               "the timestamp lies in the future: read as of one that the cluster has given, as "
               "answers carry them, and `kvctl timestamp` does");
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

RequestRouter::RequestRouter(const Options& options, const Clock* clock, Strand* strand,
                             raft::PeerCalls* calls, const Directory* directory, Refresh refresh,
                             TimestampSource* oracle)
    : options_(options),
      clock_(clock),
      strand_(strand),
      calls_(calls),
      directory_(directory),
      refresh_(std::move(refresh)),
      as_of_gate_(oracle),
      deadlines_(clock, strand, [this] { ForgetAnswered(); }),
      submits_([this](std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) {
        TakeIn(std::move(requests), std::move(sink));
      }),
      submits_once_([this](std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) {
        TakeInOnce(std::move(requests), std::move(sink));
      }),
      next_forward_(options.first_forward) {
  calls_->Handle(raft::PeerMethod::kForwardRequests,
                 [this](NodeId from, std::uint64_t id, const Bytes& body,
                        const raft::PeerCalls::Reply&) { OnForwardedRequests(from, id, body); });
  calls_->Handle(raft::PeerMethod::kWhoLeads,
                 [this](NodeId, std::uint64_t, const Bytes& body, raft::PeerCalls::Reply reply) {
                   AnswerWhoLeads(body, std::move(reply));
                 });
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

std::shared_ptr<Replica> RequestRouter::FindMember(GroupId group) const {
  std::shared_ptr<Replica> replica = FindReplica(group);
  if (!replica || replica->leader()) return replica;
  const std::shared_ptr<const DirectoryImage> image = directory_->image();
  const ShardDescriptor* shard = image->Find(group);
  const bool elsewhere = shard != nullptr && !shard->Has(NodeId(self_.load()));
  return elsewhere ? nullptr : replica;
}

Status RequestRouter::Refusal() const {
  if (stopped_.load()) return StoppingError();
  return left_.load() ? LeftError() : absl::OkStatus();
}

void RequestRouter::TakeIn(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) {
  HoldFuture(requests, sink);
  Admit(std::move(requests), std::move(sink), GroupId());
}

void RequestRouter::HoldFuture(std::vector<GatewayRequest>& requests,
                               const std::shared_ptr<AnswerSink>& sink) {
  std::vector<GatewayRequest> held;
  std::erase_if(requests, [&](GatewayRequest& request) {
    if (as_of_gate_.Passes(AsOf(request))) return false;
    held.push_back(std::move(request));
    return true;
  });
  if (held.empty()) return;
  const MonoTime deadline = held.front().deadline;
  as_of_gate_.Ask(deadline, [this, held = std::move(held), sink](const Status& asked) mutable {
    if (!asked.ok()) {
      Refuse(held, 0, asked, *sink);
      return;
    }
    const auto future = std::partition(
        held.begin(), held.end(),
        [this](const GatewayRequest& request) { return as_of_gate_.Passes(AsOf(request)); });
    const std::vector<GatewayRequest> refused(std::make_move_iterator(future),
                                              std::make_move_iterator(held.end()));
    held.erase(future, held.end());
    if (!refused.empty()) Refuse(refused, 0, FutureError(), *sink);
    Admit(std::move(held), sink, GroupId());
  });
}

void RequestRouter::Admit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink,
                          GroupId group) {
  if (requests.empty()) return;
  if (const Status refusal = Refusal(); !refusal.ok()) {
    Refuse(requests, 0, refusal, *sink);
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
  const std::shared_ptr<PendingBatch> batch(new PendingBatch(
      std::move(requests), std::move(counted), group ? nullptr : static_cast<Rerouter*>(this)));
  std::vector<Ticket> tickets = TicketsOf(batch, group);
  if (!group) tickets = Place(std::move(tickets));
  deadlines_.Watch(batch, first_deadline);
  Route(std::move(tickets));
}

std::vector<Ticket> RequestRouter::Place(std::vector<Ticket> tickets) {
  const std::shared_ptr<const DirectoryImage> image = directory_->image();
  AnswerCollector answers;
  std::erase_if(tickets, [&](Ticket& ticket) {
    const Location place = Locate(*image, ticket.request());
    ticket.group = place.group;
    if (!place.error.ok()) answers.Fail(ticket, place.error);
    if (place.scattered) ServeScattered(ticket);
    return place.scattered || !place.error.ok();
  });
  return tickets;
}

void RequestRouter::TakeInOnce(std::vector<GatewayRequest> requests,
                               std::shared_ptr<AnswerSink> sink) {
  if (const Status refusal = Refusal(); !refusal.ok()) {
    Refuse(requests, 0, refusal, *sink);
    return;
  }
  MonoTime first_deadline = requests.front().deadline;
  for (const GatewayRequest& request : requests) {
    first_deadline = std::min(first_deadline, request.deadline);
  }
  const std::shared_ptr<PendingBatch> batch(new PendingBatch(std::move(requests), std::move(sink)));
  deadlines_.Watch(batch, first_deadline);
  Route(Place(TicketsOf(batch, GroupId())));
}

void RequestRouter::ServeScattered(const Ticket& ticket) {
  if (!ticket.batch->Begin(ticket.slot)) return;
  // A part that lies in several shards by now is parted again.
  if (ticket.batch->rerouter() == nullptr) {
    AnswerCollector answers;
    answers.Fail(ticket, kv::WrongShard(ticket.group, {}));
    return;
  }
  const GatewayRequest& request = ticket.request();
  if (const auto* write = std::get_if<WriteCall>(&request.call)) {
    spanning_writes_(write->command, request.deadline, [ticket](GatewayAnswer answer) {
      AnswerCollector answers;
      answers.Add(ticket, std::move(answer));
    });
    return;
  }
  const bool gets = std::holds_alternative<BatchGetCall>(request.call);
  if (gets && ConsistencyOf(request) == kv::Consistency::kLinearizable && !AsOf(request)) {
    ScatterAsOfNow(ticket, 0);
  } else {
    Scatter::Start(ScatterWorld(), request, [ticket](GatewayAnswer answer) {
      AnswerCollector answers;
      answers.Add(ticket, std::move(answer));
    });
  }
}

Scatter::World RequestRouter::ScatterWorld() {
  Scatter::World world;
  world.directory = directory_;
  world.strand = strand_;
  world.submit = [this](std::vector<GatewayRequest> parts, std::shared_ptr<AnswerSink> sink) {
    SubmitOnce(std::move(parts), sink);
  };
  return world;
}

void RequestRouter::ScatterAsOfNow(const Ticket& ticket, int round) {
  as_of_gate_.Fresh(
      ticket.request().deadline, [this, ticket, round](const StatusOr<Timestamp>& now) {
        AnswerCollector answers;
        if (!now.ok()) {
          answers.Fail(ticket, now.status());
          return;
        }
        GatewayRequest request = ticket.request();
        std::get<BatchGetCall>(request.call).as_of = *now;
        Scatter::Start(ScatterWorld(), request, [this, ticket, round](GatewayAnswer answer) {
          // Versions that are not kept at all may have gone already.
          if (ReasonOf(answer.status) == Reason::kTimestampTooOld && round < kMomentsMax) {
            ScatterAsOfNow(ticket, round + 1);
            return;
          }
          AnswerCollector collector;
          collector.Add(ticket, std::move(answer));
        });
      });
}

void RequestRouter::OnWrongShard(std::vector<Ticket> tickets) {
  std::vector<Ticket> ready;
  std::vector<Ticket> waiting;
  const std::shared_ptr<const DirectoryImage> image = directory_->image();
  for (Ticket& ticket : tickets) {
    if (ticket.misplaced_since == MonoTime()) ticket.misplaced_since = clock_->Now();
    // This node may know better by now; else it soon will.
    const Location place = Locate(*image, ticket.request());
    const bool known = place.scattered || !place.error.ok() || place.group != ticket.group;
    (known ? ready : waiting).push_back(std::move(ticket));
  }
  Park(std::move(waiting));
  Route(Place(std::move(ready)));
}

Timestamp RequestRouter::Newest() const {
  std::lock_guard lock(replicas_mutex_);
  Timestamp newest;
  for (const auto& [group, replica] : replicas_) {
    newest = std::max(newest, replica->store().last_timestamp());
  }
  return newest;
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

NodeId RequestRouter::LeaderOf(GroupId group, const Replica* replica) {
  if (replica != nullptr) return replica->leader();
  std::lock_guard lock(leaders_mutex_);
  const auto known = leaders_.find(group);
  return known == leaders_.end() ? NodeId() : known->second;
}

void RequestRouter::NoteLeader(GroupId group, NodeId leader) {
  std::lock_guard lock(leaders_mutex_);
  if (peers_.contains(leader)) {
    leaders_[group] = leader;
  } else {
    leaders_.erase(group);
  }
}

void RequestRouter::RouteTo(GroupId group, std::vector<Ticket> tickets) {
  const std::shared_ptr<Replica> replica = FindMember(group);
  if (!replica) {
    const NodeId leader = LeaderOf(group, nullptr);
    if (leader) {
      Forward(group, leader, std::move(tickets));
    } else {
      Park(std::move(tickets));
      AskWhoLeads(group);
    }
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

void RequestRouter::Stop() {
  stopped_.store(true);
  deadlines_.AbandonAll();
  std::lock_guard forwards_lock(forwards_mutex_);
  forwards_.clear();
  std::lock_guard parked_lock(parked_mutex_);
  parked_.clear();
}

}  // namespace flotilla
