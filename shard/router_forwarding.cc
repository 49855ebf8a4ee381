// Requests that go to the node that leads their group, and their answers.

#include <algorithm>
#include <utility>

#include "base/coding.h"
#include "kv/command.h"
#include "kv/txn/command.h"
#include "shard/answers.h"
#include "shard/forward_codec.h"
#include "shard/request_router.h"

namespace flotilla {
namespace {

// Whether the state machine could evaluate it.
bool IsCommand(std::string_view encoded) {
  if (kv::IsTxnCommand(encoded)) {
    kv::TxnCommand command;
    return kv::DecodeTxnCommand(encoded, command).ok();
  }
  kv::CommandView command;
  return kv::DecodeCommand(encoded, command).ok();
}

// Repeating it cannot do harm: a read, or a write that is recognised.
bool Repeatable(const Ticket& ticket) {
  if (!ticket.is_write()) return true;
  const auto& call = std::get<WriteCall>(ticket.request().call);
  if (kv::IsTxnCommand(call.command.view())) return true;
  kv::CommandView command;
  return kv::DecodeCommand(call.command.view(), command).ok() &&
         static_cast<bool>(command.session.client);
}

// What a forwarded message may carry, unless one request or answer alone is larger: a few of the
// largest together would exceed what the transport takes.
constexpr std::size_t kForwardBytesMax = 4 << 20;

constexpr Duration kWhoLeadsTimeout = std::chrono::milliseconds(500);

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

}  // namespace

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

NodeId RequestRouter::SomeMember(GroupId group) {
  const std::shared_ptr<const DirectoryImage> image = directory_->image();
  const ShardDescriptor* shard = image->Find(group);
  std::lock_guard lock(leaders_mutex_);
  const auto known = leaders_.find(group);
  if (known != leaders_.end()) return known->second;
  if (shard == nullptr || shard->voters.empty()) return {};
  const auto place = static_cast<std::ptrdiff_t>(asked_++ % shard->voters.size());
  return *std::next(shard->voters.begin(), place);
}

void RequestRouter::AskWhoLeads(GroupId group) {
  const NodeId member = SomeMember(group);
  if (!member) return;
  {
    std::lock_guard lock(leaders_mutex_);
    if (!asking_.insert(group).second) return;
  }
  std::string body;
  AppendVarint(body, group.value());
  calls_->Call(member, raft::PeerMethod::kWhoLeads, Bytes(std::move(body)), kWhoLeadsTimeout, {},
               [this, group](const StatusOr<Bytes>& answer) {
                 std::uint64_t leader = 0;
                 if (answer.ok() && !Reader(answer->view()).Varint(leader)) leader = 0;
                 NoteLeader(group, NodeId(leader));
                 {
                   std::lock_guard lock(leaders_mutex_);
                   asking_.erase(group);
                 }
                 if (leader != 0) strand_->Post([this] { RetryParked(true); });
               });
}

void RequestRouter::AnswerWhoLeads(const Bytes& body, raft::PeerCalls::Reply reply) const {
  std::uint64_t group = 0;
  Reader(body.view()).Varint(group);
  const std::shared_ptr<Replica> replica = FindReplica(GroupId(group));
  std::string answer;
  AppendVarint(answer, replica ? replica->leader().value() : 0);
  reply(Bytes(std::move(answer)));
}

void RequestRouter::OnForwardedRequests(NodeId from, std::uint64_t id, const Bytes& body) {
  auto sink = std::make_shared<ForwardSink>(calls_, from, id);
  StatusOr<ForwardedRequests> forwarded = DecodeForwardedRequests(body, clock_->Now());
  if (!forwarded.ok()) return;  // a stranger's bytes; the asker's deadline ends it
  // Nothing enters the log that the state machine could not evaluate, whoever sent it.
  for (const GatewayRequest& request : forwarded->requests) {
    const auto* write = std::get_if<WriteCall>(&request.call);
    if (write != nullptr && !IsCommand(write->command.view())) return;
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
      NoteLeader(ticket.group, LeaderNamedBy(answer.status));
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

void RequestRouter::SetPeers(std::set<NodeId> peers) {
  std::set<NodeId> gone;
  {
    std::lock_guard lock(leaders_mutex_);
    std::ranges::set_difference(peers_, peers, std::inserter(gone, gone.end()));
    peers_ = std::move(peers);
  }
  for (const NodeId node : gone) OnUnreachable(node);
}

void RequestRouter::OnUnreachable(NodeId node) {
  {
    std::lock_guard lock(leaders_mutex_);
    std::erase_if(leaders_, [&](const auto& one) { return one.second == node; });
  }
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

// Forwarded requests that were answered meanwhile, by their deadline, need no answer any more.
void RequestRouter::ForgetAnswered() {
  std::lock_guard lock(forwards_mutex_);
  std::erase_if(forwards_, [](const auto& entry) {
    return std::all_of(
        entry.second.tickets.begin(), entry.second.tickets.end(),
        [](const Ticket& ticket) { return !ticket.batch || ticket.batch->Answered(ticket.slot); });
  });
}

}  // namespace flotilla
