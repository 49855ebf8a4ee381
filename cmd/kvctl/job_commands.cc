// job list|watch|cancel.
#include <fmt/format.h>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/jobs.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/table.h"

namespace flotilla::kvctl {
namespace {

using Stub = v1::Directory::Stub;

Status ListJobs(Session& session, bool all) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::ListJobsRequest request;
  request.set_running(!all);
  std::vector<v1::Job> jobs;
  do {
    ASSIGN_OR_RETURN(const v1::ListJobsResponse page, admin->Directory(&Stub::ListJobs, request));
    jobs.insert(jobs.end(), page.jobs().begin(), page.jobs().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  const Format format = session.FormatFor(true);
  if (format == Format::kJson) {
    JsonArray json;
    for (const v1::Job& job : jobs) json.Add(ToJson(job).str());
    session.PrintLine(JsonObject().Raw("jobs", json.str()).str());
    return absl::OkStatus();
  }
  Table table({">job", "what", "state", "step", "why"});
  for (const v1::Job& job : jobs) {
    const std::string state = Lower(v1::JobState_Name(job.state()), "JOB_STATE_");
    const std::string step = job.error().empty() ? job.step() : job.error();
    if (format == Format::kPlain) {
      session.PrintLine(fmt::format("{}\t{}\t{}\t{}", job.job_id(), Describe(job), state, step));
    } else {
      table.Add({fmt::format("{}", job.job_id()), Describe(job), state, step, job.reason()});
    }
  }
  if (format == Format::kTable) session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

Status WatchJobs(Session& session, std::uint64_t job_id) {
  if (job_id != 0) return FollowJob(session, job_id);
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  return admin->WatchJobs({}, [&](const v1::WatchJobsResponse& news) {
    for (const v1::Job& job : news.jobs()) {
      const std::string state = Lower(v1::JobState_Name(job.state()), "JOB_STATE_");
      Report(session, ToJson(job),
             fmt::format("{}\t{}\t{}\t{}", job.job_id(), Describe(job), state,
                         job.error().empty() ? job.step() : job.error()));
    }
    std::fflush(stdout);
    return true;
  });
}

Status CancelJob(Session& session, std::uint64_t job_id) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::CancelJobRequest request;
  request.set_job_id(job_id);
  RETURN_IF_ERROR(admin->Directory(&Stub::CancelJob, request).status());
  Report(session, JsonObject().Number64("job_id", job_id),
         fmt::format("job {} is being cancelled; `kvctl job watch {}` follows it", job_id, job_id));
  return absl::OkStatus();
}

}  // namespace

void AddJobCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  auto all = std::make_shared<bool>(false);
  auto id = std::make_shared<std::uint64_t>(0);
  CLI::App* job = app.add_subcommand("job", "Splits, merges, moves and drains that are under way");
  job->require_subcommand(1);
  CLI::App* command = job->add_subcommand("list", "Show those that run, newest first");
  command->add_flag("--all", *all, "and those that have ended");
  command->callback([=, &session] { run(ListJobs(session, *all)); });
  command = job->add_subcommand("watch", "Follow a job to its end, or all of them");
  command->add_option("JOB", *id, "its number; default: all, until Ctrl-C");
  command->callback([=, &session] { run(WatchJobs(session, *id)); });
  command = job->add_subcommand("cancel", "Take a job back to where it began");
  command->add_option("JOB", *id, "its number")->required();
  command->callback([=, &session] { run(CancelJob(session, *id)); });
}

}  // namespace flotilla::kvctl
