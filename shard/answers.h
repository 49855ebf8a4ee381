// Results of the state machine as answers of the gateway, and the errors that several parts give.
#pragma once

#include <vector>

#include "base/status.h"
#include "kv/store.h"
#include "shard/gateway.h"
#include "shard/pending_batch.h"

namespace flotilla {

// What a write gets whose outcome is kConditionFailed or kTooLarge.
Status Declined(const kv::WriteResult& result);
// A condition that failed, an expired session and keys that `store` does not hold become error
// statuses; the last names what it does hold.
GatewayAnswer WriteAnswer(const kv::WriteResult& result, const kv::Store& store, GroupId group,
                          NodeId node);

// Evaluates reads on the store as it is, gets of one keyspace together. Those come back that have
// to wait for a transaction; eventual ones wait for none.
struct Blocked {
  Ticket ticket;
  kv::Obstacle obstacle;
};
std::vector<Blocked> ReadAnswers(kv::Store& store, const std::vector<Ticket>& tickets,
                                 const AnswerOrigin& origin, AnswerCollector& answers);

// Its consistency; linearizable where it has none.
kv::Consistency ConsistencyOf(const GatewayRequest& request);
// Any replica may answer it.
bool Eventual(const GatewayRequest& request);
// What it wants to lock first; null: nothing.
const LockRequest* LockOf(const GatewayRequest& request);
// Of a read as of a timestamp; zero: of the newest.
Timestamp AsOf(const GatewayRequest& request);

// Whether an answer that came from elsewhere, and is OK, has what the request asked for.
bool Fits(const GatewayRequest& request, const GatewayAnswer& answer);

// `leader` may be zero.
Status NotLeaderError(GroupId group, NodeId leader);
// Whom such an error names; none: nobody.
NodeId LeaderNamedBy(const Status& not_leader);

// What a node answers that stops, and one that is of the cluster no more.
Status StoppingError();
Status LeftError();

// What a request gets whose deadline has passed or that was given up: a write in flight may have
// happened.
Status GivenUp(bool in_flight_write, std::string_view why);

}  // namespace flotilla
