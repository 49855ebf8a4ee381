#include "shard/answers.h"

#include <absl/strings/numbers.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kv/limits.h"

namespace flotilla {

Status Declined(const kv::WriteResult& result) {
  if (result.outcome == kv::WriteOutcome::kTooLarge) {
    return Error(
        Reason::kBatchTooLarge,
        fmt::format("the write changes too much in several shards at once (at most {} keys "
                    "and {} MiB): split it, or delete smaller ranges",
                    kv::kBatchOpsMax, kv::kBatchBytesMax >> 20));
  }
  const std::string found =
      result.actual_version ? fmt::format("the key has version {}", result.actual_version.value())
                            : std::string("the key does not exist");
  return Error(
      Reason::kConditionFailed,
      fmt::format("the condition of operation {} does not hold: {}; read it again and decide",
                  result.failed_op, found),
      {{std::string(kActualVersionMetadata), std::to_string(result.actual_version.value())},
       {"operation", std::to_string(result.failed_op)}});
}

GatewayAnswer WriteAnswer(const kv::WriteResult& result, const kv::Store& store, GroupId group,
                          NodeId node) {
  GatewayAnswer answer;
  answer.origin = {.group = group, .node = node, .timestamp = result.timestamp};
  switch (result.outcome) {
    case kv::WriteOutcome::kApplied:
    case kv::WriteOutcome::kRepeated:
      answer.result = result;
      break;
    case kv::WriteOutcome::kConditionFailed:
    case kv::WriteOutcome::kTooLarge:
      answer.status = Declined(result);
      break;
    case kv::WriteOutcome::kSessionExpired:
      answer.status =
          Error(Reason::kSessionExpired,
                "the result of this sequence number is no longer kept: read what is "
                "there, and go on with a new client id",
                {{std::string(kTimestampMetadata), std::to_string(result.timestamp.value())}});
      break;
    case kv::WriteOutcome::kWrongShard:
      answer.status = kv::WrongShard(group, store.range());
      break;
    case kv::WriteOutcome::kLocked:
      answer.status = kv::Preceded(*result.obstacle);
      break;
    case kv::WriteOutcome::kConflict:
      answer.status = kv::Conflict(*result.obstacle, result.actual_version);
      break;
    case kv::WriteOutcome::kTxnAborted:
      answer.status =
          Error(Reason::kTxnAborted,
                "the transaction was rolled back by others, who found its time was up, or were "
                "told to: begin it anew",
                {{std::string(kTimestampMetadata), std::to_string(result.timestamp.value())}});
      break;
    case kv::WriteOutcome::kTxnTooLate:
      answer.status = GivenUp(true, "the transaction's time was up");
      break;
    case kv::WriteOutcome::kTxnTooOld:
      answer.status = Error(Reason::kTimestampTooOld,
                            "the transaction began too long ago to be committed: it was rolled "
                            "back; begin it anew, and keep it shorter");
      break;
  }
  return answer;
}

namespace {

// Answers reads of one store, and keeps those that have to wait.
class ReadServer {
 public:
  ReadServer(kv::Store& store, const AnswerOrigin& origin, AnswerCollector& answers)
      : store_(store), origin_(origin), answers_(answers) {}

  // Gets of one keyspace and time, which need not be of one moment.
  struct Gets {
    kv::KeyspaceId keyspace;
    Timestamp as_of;
    std::vector<std::string_view> keys;
    std::vector<const Ticket*> tickets;
  };
  void Answer(const Gets& gets) {
    std::optional<kv::Obstacle> obstacle;
    StatusOr<std::vector<kv::GetResult>> results =
        store_.BatchGet(gets.keyspace, gets.keys,
                        {.as_of = gets.as_of, .obstacle = &obstacle, .one_moment = false});
    if (obstacle || ReasonOf(results.status()) == Reason::kWrongShard) {
      // A key that is locked, or not the group's, is the matter of whoever asked for it.
      for (const Ticket* ticket : gets.tickets) Answer(*ticket);
      return;
    }
    for (std::size_t i = 0; i < gets.tickets.size(); ++i) {
      GatewayAnswer answer = Empty(gets.as_of);
      if (results.ok()) {
        answer.result = std::move((*results)[i]);
      } else {
        answer.status = results.status();
      }
      answers_.Add(*gets.tickets[i], std::move(answer));
    }
  }

  void Answer(const Ticket& ticket) {
    const GatewayRequest& request = ticket.request();
    std::optional<kv::Obstacle> found;
    const kv::Store::InTheWay obstacle = Eventual(request) ? nullptr : &found;
    GatewayAnswer answer = Empty(AsOf(request));
    const auto take = [&](auto result) {
      if (result.ok()) {
        answer.result = *std::move(result);
      } else {
        answer.status = result.status();
      }
    };
    const bool provisional = ConsistencyOf(request) == kv::Consistency::kProvisional;
    if (const auto* get = std::get_if<GetCall>(&request.call); get != nullptr && provisional) {
      auto results = store_.ProvisionalGet(get->keyspace, {get->key});
      if (results.ok()) answer.result = std::move(results->front());
      answer.status = results.status();
    } else if (get != nullptr) {
      take(store_.Get(get->keyspace, get->key, get->as_of, obstacle));
    } else if (const auto* batch = std::get_if<BatchGetCall>(&request.call)) {
      const std::vector<std::string_view> keys(batch->keys.begin(), batch->keys.end());
      take(provisional ? store_.ProvisionalGet(batch->keyspace, keys)
                       : store_.BatchGet(batch->keyspace, keys,
                                         {.as_of = batch->as_of, .obstacle = obstacle}));
    } else if (const auto* scan = std::get_if<ScanCall>(&request.call)) {
      take(provisional ? store_.ProvisionalScan(scan->request)
                       : store_.Scan(scan->request, obstacle));
    } else if (const auto* aggregate = std::get_if<AggregateCall>(&request.call)) {
      take(store_.Aggregate(aggregate->request, obstacle));
    } else if (const auto* history = std::get_if<HistoryCall>(&request.call)) {
      take(store_.History(history->request, obstacle));
    } else if (const auto* record = std::get_if<TxnRecordCall>(&request.call)) {
      auto known = store_.Record(record->anchor, record->txn);
      if (known.ok()) answer.result = TxnRecordResult{.record = *std::move(known)};
      answer.status = known.status();
    } else {
      answer.status = Error(Reason::kInternal, "a write was sent down the path of reads");
    }
    if (found) {
      blocked_.push_back({.ticket = ticket, .obstacle = *std::move(found)});
    } else {
      answers_.Add(ticket, std::move(answer));
    }
  }

  std::vector<Blocked> TakeBlocked() { return std::move(blocked_); }

 private:
  GatewayAnswer Empty(Timestamp as_of) const {
    GatewayAnswer answer;
    answer.origin = origin_;
    if (as_of) answer.origin.timestamp = as_of;
    return answer;
  }

  kv::Store& store_;
  const AnswerOrigin& origin_;
  AnswerCollector& answers_;
  std::vector<Blocked> blocked_;
};

}  // namespace

std::vector<Blocked> ReadAnswers(kv::Store& store, const std::vector<Ticket>& tickets,
                                 const AnswerOrigin& origin, AnswerCollector& answers) {
  ReadServer server(store, origin, answers);
  std::vector<ReadServer::Gets> looks;  // hardly ever more than one
  for (const Ticket& ticket : tickets) {
    if (ticket.batch->Answered(ticket.slot) || LockOf(ticket.request()) != nullptr) continue;
    const auto* get = std::get_if<GetCall>(&ticket.request().call);
    if (get == nullptr || ConsistencyOf(ticket.request()) != kv::Consistency::kLinearizable) {
      server.Answer(ticket);
      continue;
    }
    auto gets = std::find_if(looks.begin(), looks.end(), [&](const ReadServer::Gets& one) {
      return one.keyspace == get->keyspace && one.as_of == get->as_of;
    });
    if (gets == looks.end()) {
      gets = looks.insert(
          gets, {.keyspace = get->keyspace, .as_of = get->as_of, .keys = {}, .tickets = {}});
    }
    gets->keys.push_back(get->key);
    gets->tickets.push_back(&ticket);
  }
  for (const ReadServer::Gets& gets : looks) server.Answer(gets);
  return server.TakeBlocked();
}

kv::Consistency ConsistencyOf(const GatewayRequest& request) {
  return std::visit(
      [](const auto& call) {
        if constexpr (requires { call.consistency; }) {
          return call.consistency;
        } else {
          return kv::Consistency::kLinearizable;
        }
      },
      request.call);
}

const LockRequest* LockOf(const GatewayRequest& request) {
  if (const auto* gets = std::get_if<BatchGetCall>(&request.call)) {
    return gets->lock ? &*gets->lock : nullptr;
  }
  const auto* scan = std::get_if<ScanCall>(&request.call);
  return scan != nullptr && scan->lock ? &*scan->lock : nullptr;
}

bool Eventual(const GatewayRequest& request) {
  return ConsistencyOf(request) == kv::Consistency::kEventual;
}

Timestamp AsOf(const GatewayRequest& request) {
  return std::visit(
      [](const auto& call) {
        if constexpr (requires { call.as_of; }) {
          return call.as_of;
        } else if constexpr (requires { call.request.as_of; }) {
          return call.request.as_of;
        } else {
          return Timestamp();
        }
      },
      request.call);
}

bool Fits(const GatewayRequest& request, const GatewayAnswer& answer) {
  if (std::holds_alternative<WriteCall>(request.call)) {
    return std::holds_alternative<kv::WriteResult>(answer.result);
  }
  if (std::holds_alternative<GetCall>(request.call)) {
    return std::holds_alternative<kv::GetResult>(answer.result);
  }
  if (const auto* call = std::get_if<BatchGetCall>(&request.call)) {
    const auto* results = std::get_if<std::vector<kv::GetResult>>(&answer.result);
    return results != nullptr && results->size() == call->keys.size();
  }
  if (std::holds_alternative<AggregateCall>(request.call)) {
    return std::holds_alternative<kv::AggregatePage>(answer.result);
  }
  if (std::holds_alternative<TxnRecordCall>(request.call)) {
    return std::holds_alternative<TxnRecordResult>(answer.result);
  }
  if (std::holds_alternative<UnlockCall>(request.call)) return true;
  if (std::holds_alternative<HistoryCall>(request.call)) {
    return std::holds_alternative<kv::HistoryPage>(answer.result);
  }
  return std::holds_alternative<kv::ScanPage>(answer.result);
}

Status StoppingError() {
  return Error(Reason::kNodeStopping, "the node is stopping: ask another one");
}

Status LeftError() {
  return Error(Reason::kNodeStopping, "the node has left the cluster: ask another one");
}

Status NotLeaderError(GroupId group, NodeId leader) {
  if (!leader) {
    return Error(Reason::kNotLeader,
                 fmt::format("this node does not lead group {}, and knows no leader: ask another "
                             "node, or see `kvctl status`",
                             group.value()));
  }
  return Error(
      Reason::kNotLeader,
      fmt::format("this node does not lead group {}: node {} does", group.value(), leader.value()),
      {{std::string(kLeaderNodeMetadata), std::to_string(leader.value())}});
}

NodeId LeaderNamedBy(const Status& not_leader) {
  const ErrorMetadata metadata = MetadataOf(not_leader);
  const auto named = metadata.find(std::string(kLeaderNodeMetadata));
  std::uint64_t node = 0;
  if (named == metadata.end() || !absl::SimpleAtoi(named->second, &node)) return {};
  return NodeId(node);
}

Status GivenUp(bool in_flight_write, std::string_view why) {
  if (in_flight_write) {
    return Error(Reason::kOutcomeUnknown,
                 fmt::format("{}; the write may or may not have happened: repeat it with the same "
                             "client id and sequence number, or read the key",
                             why));
  }
  return Error(Reason::kDeadlineExceeded,
               fmt::format("{}; the request had no effect: try again, with more time", why));
}

}  // namespace flotilla
