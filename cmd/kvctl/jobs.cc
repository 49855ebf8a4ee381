#include "cmd/kvctl/jobs.h"

#include <fmt/format.h>

#include "cmd/kvctl/names.h"

namespace flotilla::kvctl {

std::string Describe(const v1::Job& job) {
  switch (job.kind()) {
    case v1::JOB_KIND_SPLIT:
      return job.other_group_id() == 0
                 ? fmt::format("split shard {}", job.group_id())
                 : fmt::format("split shard {} into {} and {}", job.group_id(), job.group_id(),
                               job.other_group_id());
    case v1::JOB_KIND_MERGE:
      return job.other_group_id() == 0
                 ? fmt::format("merge shard {} with the next", job.group_id())
                 : fmt::format("merge shard {} into {}", job.other_group_id(), job.group_id());
    case v1::JOB_KIND_MOVE:
      if (job.from_node_id() == 0) {
        return fmt::format("add a replica of shard {} on n{}", job.group_id(), job.to_node_id());
      }
      if (job.to_node_id() == 0) {
        return fmt::format("remove the replica of shard {} from n{}", job.group_id(),
                           job.from_node_id());
      }
      return fmt::format("move a replica of shard {} from n{} to n{}", job.group_id(),
                         job.from_node_id(), job.to_node_id());
    case v1::JOB_KIND_DRAIN:
      return fmt::format("drain n{}", job.from_node_id());
    case v1::JOB_KIND_DROP_KEYSPACE:
      return fmt::format("drop keyspace {}", job.keyspace_id());
    default:
      return "something that this kvctl does not know";
  }
}

JsonObject ToJson(const v1::Job& job) {
  JsonObject json;
  json.Number64("job_id", job.job_id())
      .Text("kind", Lower(v1::JobKind_Name(job.kind()), "JOB_KIND_"))
      .Text("state", Lower(v1::JobState_Name(job.state()), "JOB_STATE_"))
      .Text("step", job.step())
      .Number64("group_id", job.group_id())
      .Number64("other_group_id", job.other_group_id())
      .Number64("from_node_id", job.from_node_id())
      .Number64("to_node_id", job.to_node_id())
      .Number64("keyspace_id", job.keyspace_id())
      .Text("reason", job.reason())
      .Text("error", job.error())
      .Number64("created", job.created())
      .Number64("updated", job.updated());
  return json;
}

bool HasEnded(const v1::Job& job) {
  return job.state() == v1::JOB_STATE_DONE || job.state() == v1::JOB_STATE_CANCELLED ||
         job.state() == v1::JOB_STATE_FAILED;
}

Status FollowJob(Session& session, std::uint64_t job_id) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::WatchJobsRequest request;
  request.set_job_id(job_id);
  v1::Job last;
  const Status watched = admin->WatchJobs(request, [&](const v1::WatchJobsResponse& news) {
    for (const v1::Job& job : news.jobs()) last = job;
    session.Progress(fmt::format("job {}: {}: {}", job_id, Describe(last), last.step()));
    return !HasEnded(last);
  });
  session.Progress("");
  RETURN_IF_ERROR(watched);
  if (last.state() == v1::JOB_STATE_FAILED) {
    return Error(Reason::kInternal,
                 fmt::format("job {} ({}) failed: {}", job_id, Describe(last), last.error()));
  }
  if (last.state() == v1::JOB_STATE_CANCELLED) {
    return Error(Reason::kCancelled,
                 fmt::format("job {} ({}) was cancelled", job_id, Describe(last)));
  }
  Report(session, ToJson(last), fmt::format("done: {}", Describe(last)));
  return absl::OkStatus();
}

Status Begun(Session& session, std::uint64_t job_id, bool wait) {
  if (job_id != 0 && wait) return FollowJob(session, job_id);
  Report(session, JsonObject().Number64("job_id", job_id),
         job_id == 0
             ? "done"
             : fmt::format("job {} has begun; `kvctl job watch {}` follows it", job_id, job_id));
  return absl::OkStatus();
}

}  // namespace flotilla::kvctl
