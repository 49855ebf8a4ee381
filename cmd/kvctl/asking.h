// Asking: every node at once for its status, by way of the endpoints and of what they know; and how
// its part in a group is shown.
#pragma once

#include <set>
#include <string>

#include "base/status.h"
#include "cmd/kvctl/health.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/session.h"

namespace flotilla::kvctl {

// Within a second, so that a node that is down does not hold up the answers of the others.
// UNREACHABLE when nobody answers.
StatusOr<ClusterView> AskEveryNode(Session& session);

// Addresses of the nodes that answer; says which do not.
StatusOr<std::set<std::string>> AnsweringNodes(Session& session);

// "leader", "follower".
std::string RoleName(v1::Role role);

// Role, term, indexes, sizes; and the lag, where a leader is known.
void AddPart(const StatusLine& line, JsonObject& json);

}  // namespace flotilla::kvctl
