// Jobs: how a job is shown, and waiting for its end.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/session.h"
#include "flotilla/v1/directory.pb.h"

namespace flotilla::kvctl {

// "split shard 7 into 7 and 12", "move a replica of shard 7 from n1 to n3".
std::string Describe(const v1::Job& job);
JsonObject ToJson(const v1::Job& job);
bool HasEnded(const v1::Job& job);

// Shows the job's steps on a terminal until it has ended, and then how. A job that failed or was
// cancelled is an error.
Status FollowJob(Session& session, std::uint64_t job_id);

// After a command has begun a job: follows it, or only says its number.
Status Begun(Session& session, std::uint64_t job_id, bool wait);

}  // namespace flotilla::kvctl
