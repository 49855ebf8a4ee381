#include "shard/answers.h"

#include <absl/strings/numbers.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace flotilla {

GatewayAnswer WriteAnswer(const kv::WriteResult& result, const kv::Store& store, GroupId group,
                          NodeId node) {
  GatewayAnswer answer;
  answer.origin = {.group = group, .node = node, .timestamp = result.timestamp};
  switch (result.outcome) {
    case kv::WriteOutcome::kApplied:
      answer.result = result;
      break;
    case kv::WriteOutcome::kConditionFailed: {
      const std::string found = result.actual_version ? fmt::format("the key has version {}",
                                                                    result.actual_version.value())
                                                      : std::string("the key does not exist");
      answer.status = Error(
          Reason::kConditionFailed,
          fmt::format("the condition of operation {} does not hold: {}; read it again and decide",
                      result.failed_op, found),
          {{std::string(kActualVersionMetadata), std::to_string(result.actual_version.value())},
           {"operation", std::to_string(result.failed_op)}});
      break;
    }
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
  }
  return answer;
}

namespace {

// `now`: who answers, and the newest that it has.
AnswerOrigin OriginOf(const AnswerOrigin& now, Timestamp as_of) {
  return {.group = now.group, .node = now.node, .timestamp = as_of ? as_of : now.timestamp};
}

GatewayAnswer ReadAnswer(kv::Store& store, const GatewayRequest& request,
                         const AnswerOrigin& origin) {
  GatewayAnswer answer;
  answer.origin = OriginOf(origin, AsOf(request));
  const auto take = [&](auto result) {
    if (result.ok()) {
      answer.result = *std::move(result);
    } else {
      answer.status = result.status();
    }
  };
  if (const auto* batch = std::get_if<BatchGetCall>(&request.call)) {
    const std::vector<std::string_view> keys(batch->keys.begin(), batch->keys.end());
    take(store.BatchGet(batch->keyspace, keys, batch->as_of));
  } else if (const auto* scan = std::get_if<ScanCall>(&request.call)) {
    take(store.Scan(scan->request));
  } else if (const auto* aggregate = std::get_if<AggregateCall>(&request.call)) {
    take(store.Aggregate(aggregate->request));
  } else {
    answer.status = Error(Reason::kInternal, "a write was sent down the path of reads");
  }
  return answer;
}

// Gets of one keyspace and time, as one look into the store.
struct Gets {
  kv::KeyspaceId keyspace;
  Timestamp as_of;
  std::vector<std::string_view> keys;
  std::vector<const Ticket*> tickets;
};

void AnswerGets(kv::Store& store, const Gets& gets, const AnswerOrigin& origin,
                AnswerCollector& answers) {
  StatusOr<std::vector<kv::GetResult>> results =
      store.BatchGet(gets.keyspace, gets.keys, gets.as_of);
  // A key that is not the group's is the matter of whoever asked for it.
  const bool one_by_one = ReasonOf(results.status()) == Reason::kWrongShard;
  for (std::size_t i = 0; i < gets.tickets.size(); ++i) {
    GatewayAnswer answer;
    answer.origin = OriginOf(origin, gets.as_of);
    if (results.ok()) {
      answer.result = std::move((*results)[i]);
    } else if (!one_by_one) {
      answer.status = results.status();
    } else if (auto own = store.Get(gets.keyspace, gets.keys[i], gets.as_of); own.ok()) {
      answer.result = *std::move(own);
    } else {
      answer.status = own.status();
    }
    answers.Add(*gets.tickets[i], std::move(answer));
  }
}

}  // namespace

void ReadAnswers(kv::Store& store, const std::vector<Ticket>& tickets, const AnswerOrigin& origin,
                 AnswerCollector& answers) {
  std::vector<Gets> looks;  // hardly ever more than one
  for (const Ticket& ticket : tickets) {
    if (ticket.batch->Answered(ticket.slot)) continue;
    const auto* get = std::get_if<GetCall>(&ticket.request().call);
    if (get == nullptr) {
      answers.Add(ticket, ReadAnswer(store, ticket.request(), origin));
      continue;
    }
    auto gets = std::find_if(looks.begin(), looks.end(), [&](const Gets& one) {
      return one.keyspace == get->keyspace && one.as_of == get->as_of;
    });
    if (gets == looks.end()) {
      gets = looks.insert(
          gets, {.keyspace = get->keyspace, .as_of = get->as_of, .keys = {}, .tickets = {}});
    }
    gets->keys.push_back(get->key);
    gets->tickets.push_back(&ticket);
  }
  for (const Gets& gets : looks) AnswerGets(store, gets, origin, answers);
}

bool Eventual(const GatewayRequest& request) {
  return std::visit(
      [](const auto& call) {
        if constexpr (requires { call.consistency; }) {
          return call.consistency == kv::Consistency::kEventual;
        } else {
          return false;
        }
      },
      request.call);
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
