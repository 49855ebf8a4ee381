// How requests travel from the node that a client asked to the leader, and answers back.
//
// All integers are varints unless said otherwise; both bodies start with a format byte, 1.
//   requests = group | count | (id | milliseconds left | u8 kind | fields of the kind)*
//   answers  = count | (id | u8 kind | status or result | group | node | timestamp)*
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/coding.h"
#include "base/status.h"
#include "shard/gateway.h"
#include "shard/pending_batch.h"

namespace flotilla {

// Tickets of one group. Ticket i has the id i in the answers.
std::string EncodeForwardedRequests(GroupId group, const std::vector<Ticket>& tickets,
                                    MonoTime now);
struct ForwardedRequests {
  GroupId group;
  std::vector<GatewayRequest> requests;
};
// Requests whose id is their number in the forwarded batch; deadlines on this node's clock. The
// commands view into `body`, which they keep alive. BAD_REQUEST when malformed.
StatusOr<ForwardedRequests> DecodeForwardedRequests(const Bytes& body, MonoTime now);

std::string EncodeForwardedAnswers(const std::vector<GatewayAnswer>& answers);
StatusOr<std::vector<GatewayAnswer>> DecodeForwardedAnswers(std::string_view body);

// A status with its reason and metadata, for every body that carries one.
void AppendStatus(std::string& out, const Status& status);
bool ReadStatus(Reader& reader, Status& status);

}  // namespace flotilla
