// Results of the state machine as answers of the gateway, and the errors that several parts give.
#pragma once

#include "base/status.h"
#include "kv/store.h"
#include "shard/gateway.h"

namespace flotilla {

// A condition that failed and an expired session become error statuses.
GatewayAnswer WriteAnswer(const kv::WriteResult& result, GroupId group, NodeId node);

// Evaluates a read on the store as it is.
GatewayAnswer ReadAnswer(kv::Store& store, const GatewayRequest& request,
                         const AnswerOrigin& origin);

// `leader` may be zero.
Status NotLeaderError(GroupId group, NodeId leader);

// What a request gets whose deadline has passed or that was given up: a write in flight may have
// happened.
Status GivenUp(bool in_flight_write, std::string_view why);

}  // namespace flotilla
