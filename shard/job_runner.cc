#include "shard/job_runner.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/timestamp.h"

namespace flotilla {
namespace {

// Between two looks at what a job waits for.
constexpr Duration kPause = std::chrono::milliseconds(50);
constexpr Duration kEditTimeout = std::chrono::seconds(5);
constexpr Duration kFlushFirstTimeout = std::chrono::seconds(2);

class Gathering {
 public:
  Gathering(std::size_t count, Completion<std::vector<AdminResult>> done)
      : results_(count), missing_(count), done_(std::move(done)) {}

  void Take(std::size_t number, AdminResult result) {
    std::unique_lock lock(mutex_);
    results_[number] = std::move(result);
    if (--missing_ > 0) return;
    lock.unlock();
    done_(std::move(results_));
  }

 private:
  std::mutex mutex_;
  std::vector<AdminResult> results_;
  std::size_t missing_;
  Completion<std::vector<AdminResult>> done_;
};

}  // namespace

AdminRequest JobRunner::Request(AdminVerb verb, GroupId group, NodeId node) {
  AdminRequest request;
  request.verb = verb;
  request.group = group;
  request.node = node;
  return request;
}

AdminRequest JobRunner::Control(GroupId group, kv::ControlCommand command) {
  AdminRequest request = Request(AdminVerb::kControl, group);
  request.control = kv::EncodeControl(command);
  return request;
}

AdminRequest JobRunner::Fence(const ShardDescriptor& shard) {
  return Control(shard.group, {.expected_epoch = shard.epoch,
                               .change = kv::SetRange{.start = shard.start, .end = shard.end}});
}

Timestamp JobRunner::Now() const { return TimestampAt(world_.clock->WallNow()); }

void JobRunner::Look() {
  if (!world_.leads() || world_.scope->stopping()) return;
  const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
  for (const auto& [id, job] : image->jobs()) {
    if (!Ended(job) && running_.insert(id).second) world_.scope->Spawn(Run(id));
  }
}

Task<> JobRunner::Run(JobId id) {
  for (;;) {
    const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
    const JobRecord* job = image->Find(id);
    if (job == nullptr || Ended(*job) || !world_.leads()) break;
    JobRecord record = *job;
    Step step = co_await Do(record);
    record.step = std::move(step.text);
    if (!step.key.empty()) record.key = std::move(step.key);
    if (step.kind == Step::Kind::kEnded) {
      record.state = step.state;
      record.error = std::exchange(record.step, {});
    }
    // What is not noted is found out again.
    const Status noted = co_await Note(std::move(record));
    noted.IgnoreError();
    const bool go_on = co_await SleepFor(kPause);
    if (!go_on) break;
  }
  running_.erase(id);
  pauses_.erase(id);
  under_way_.erase(id);
}

Task<JobRunner::Step> JobRunner::Do(JobRecord job) {
  switch (job.kind) {
    case JobKind::kSplit: {
      Step step = co_await DoSplit(std::move(job));
      co_return step;
    }
    case JobKind::kMove: {
      Step step = co_await DoMove(std::move(job));
      co_return step;
    }
    case JobKind::kDropKeyspace: {
      Step step = co_await DoDrop(std::move(job));
      co_return step;
    }
    case JobKind::kMerge: {
      Step step = co_await DoMerge(std::move(job));
      co_return step;
    }
    case JobKind::kDrain: {
      Step step = co_await DoDrain(std::move(job));
      co_return step;
    }
  }
  co_return End(JobState::kFailed, "this version does not know the kind of job");
}

Task<AdminResult> JobRunner::Ask(AdminRequest request, Duration within) {
  AdminResult result = co_await AwaitCallback<AdminResult>([&](Completion<AdminResult> done) {
    world_.admin->Execute(std::move(request), world_.clock->Now() + within, std::move(done));
  });
  co_return result;
}

Task<std::vector<AdminResult>> JobRunner::AskMembers(ShardDescriptor shard, AdminVerb verb,
                                                     Duration within) {
  const std::vector<NodeId> nodes = shard.Members();
  CHECK(!nodes.empty());
  const MonoTime deadline = world_.clock->Now() + within;
  std::vector<AdminResult> results = co_await AwaitCallback<std::vector<AdminResult>>(
      [&](Completion<std::vector<AdminResult>> done) {
        const auto gathering = std::make_shared<Gathering>(nodes.size(), std::move(done));
        for (std::size_t i = 0; i < nodes.size(); ++i) {
          world_.admin->Execute(
              Request(verb, shard.group, nodes[i]), deadline,
              [gathering, i](AdminResult result) { gathering->Take(i, std::move(result)); });
        }
      });
  co_return results;
}

Task<Status> JobRunner::Note(JobRecord job) {
  DirectoryEditor::Change change = [&](const DirectoryImage& image) -> StatusOr<DirectoryEdit> {
    return UpdateJob(image, job, Now());
  };
  const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
  if (UpdateJob(*image, job, Now()).empty()) co_return absl::OkStatus();
  const Status noted = co_await Edit(std::move(change));
  co_return noted;
}

Task<Status> JobRunner::Edit(DirectoryEditor::Change change) {
  const MonoTime deadline = world_.clock->Now() + kEditTimeout;
  const StatusOr<Timestamp> edited = co_await world_.editor->Edit(std::move(change), deadline);
  co_return edited.status();
}

DirectoryEdit JobRunner::Finish(const DirectoryImage& image, JobRecord job) const {
  job.state = JobState::kDone;
  job.step.clear();
  return UpdateJob(image, std::move(job), Now());
}

// ---- splitting --------------------------------------------------------------------------------

Task<JobRunner::Step> JobRunner::DoSplit(JobRecord job) {
  const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
  if (image->Find(job.other) != nullptr) co_return End(JobState::kDone);
  const ShardDescriptor* shard = image->Find(job.group);
  if (shard == nullptr) co_return End(JobState::kFailed, "the shard has gone");
  if (job.state == JobState::kCancelling) {
    Step cancelled = co_await CancelSplit(*shard);
    co_return cancelled;
  }
  if (job.key.empty()) {
    const AdminResult middle = co_await Ask(Request(AdminVerb::kMiddle, job.group));
    if (!middle.status.ok()) co_return Again(Failed(middle.status));
    if (middle.key.empty()) {
      co_return End(JobState::kFailed, "the shard has too few keys to be split");
    }
    Step found = Again("has a key to split at");
    found.key = middle.key;
    co_return found;
  }
  // What it was split at before belongs to others by now.
  if (job.key <= shard->start || job.key >= shard->end) {
    co_return End(JobState::kFailed, "the key to split at does not lie inside the shard any more");
  }
  // What is in memory is flushed when the shard is split, while nobody writes to it: let that be
  // little. The second time leaves what came during the first, which may have taken long. A member
  // that does not answer cannot be waited for.
  for (int round = 0; round < 2; ++round) {
    const std::vector<AdminResult> flushed =
        co_await AskMembers(*shard, AdminVerb::kSnapshot, kFlushFirstTimeout);
  }
  const AdminResult split = co_await Ask(
      Control(job.group, {.expected_epoch = shard->epoch,
                          .change = kv::Split{.child = job.other, .split_key = job.key}}));
  if (!split.status.ok()) co_return Again(Failed(split.status));
  switch (split.outcome) {
    case kv::ControlOutcome::kApplied:
    case kv::ControlOutcome::kEpochDiffers:
      co_return Again("waiting for the shards to be told of");
    case kv::ControlOutcome::kUnfit:
      co_return End(JobState::kFailed, "the key to split at does not fit the shard");
    default:
      co_return Again("waiting for another change of the shard to end");
  }
}

// A split that is on its way through the log must not happen later: the shard gets another epoch.
Task<JobRunner::Step> JobRunner::CancelSplit(ShardDescriptor shard) {
  const AdminResult fenced = co_await Ask(Fence(shard));
  if (!fenced.status.ok()) co_return Again(Failed(fenced.status));
  if (fenced.outcome == kv::ControlOutcome::kApplied) co_return End(JobState::kCancelled);
  co_return Again("waiting for another change of the shard to end");
}

// ---- moving -----------------------------------------------------------------------------------

Task<JobRunner::Step> JobRunner::DoMove(JobRecord job) {
  const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
  const ShardDescriptor* found = image->Find(job.group);
  if (found == nullptr) co_return End(JobState::kFailed, "the shard has gone");
  const ShardDescriptor shard = *found;
  const bool arrived = !job.to || shard.voters.contains(job.to);
  if (arrived && (!job.from || !shard.Has(job.from))) co_return End(JobState::kDone);
  // Once the new replica counts, the way forward is the shorter one.
  if (job.state == JobState::kCancelling && !(arrived && job.to)) {
    Step cancelled = co_await CancelMove(std::move(job), shard, End(JobState::kCancelled));
    co_return cancelled;
  }
  if (!arrived) {
    const NodeRecord* to = image->Find(job.to);
    const bool welcome = to != nullptr && to->role == NodeRole::kActive;
    bool silent = false;
    if (shard.Has(job.to)) silent = co_await IsSilent(job);
    if (!welcome || silent) {
      Step end = End(JobState::kFailed, fmt::format("node {} {}", job.to.value(),
                                                    silent ? "does not answer" : "is to be empty"));
      Step failed = co_await CancelMove(std::move(job), shard, std::move(end));
      co_return failed;
    }
  }
  MemberStep next{AdminVerb::kRemove, job.from};
  if (!arrived) {
    const bool there = shard.Has(job.to);
    next = {there ? AdminVerb::kPromote : AdminVerb::kAddMember, job.to};
  }
  Step changed = co_await ChangeMembers(job.group, next);
  co_return changed;
}

// The new replica, for so long that somebody else must have the chance to take its place.
Task<bool> JobRunner::IsSilent(JobRecord job) {
  const AdminResult asked = co_await Ask(Request(AdminVerb::kListMembers, job.group));
  const bool active =
      std::any_of(asked.members.begin(), asked.members.end(),
                  [&](const MemberInfo& member) { return member.node == job.to && member.active; });
  const bool silent = asked.status.ok() && !active;
  const bool for_long = Stuck(job.id, silent ? "silent" : "") && silent;
  co_return for_long;
}

Task<JobRunner::Step> JobRunner::ChangeMembers(GroupId group, MemberStep change) {
  std::string waits = StepText(change);
  const AdminResult asked = co_await Ask(Request(change.verb, group, change.node));
  if (!asked.status.ok() && ReasonOf(asked.status) != Reason::kMembershipRefused) {
    waits += ": " + Failed(asked.status);
  }
  co_return Again(std::move(waits));
}

Task<JobRunner::Step> JobRunner::CancelMove(JobRecord job, ShardDescriptor shard, Step end) {
  if (!job.to) co_return end;
  // Also when it is not there: it may have been asked for.
  const AdminResult removed = co_await Ask(Request(AdminVerb::kRemove, job.group, job.to));
  if (!removed.status.ok()) co_return Again(Failed(removed.status));
  if (shard.Has(job.to)) co_return Again("waiting for the shard to be told of");
  co_return end;
}

// ---- emptying nodes ---------------------------------------------------------------------------

// The balancer moves what the node has; this waits for it.
Task<JobRunner::Step> JobRunner::DoDrain(JobRecord job) {
  const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
  const bool leaves = RemovesNode(*image, job);
  const std::size_t left = ShardsOn(*image, job.from);
  // From a node that is empty, the way out of the cluster is the shorter one.
  if (job.state == JobState::kCancelling && (left > 0 || !leaves)) {
    DirectoryEditor::Change change = [&](const DirectoryImage& now) {
      return StatusOr<DirectoryEdit>(UndoRole(now, job.from));
    };
    const Status edited = co_await Edit(std::move(change));
    if (!edited.ok()) co_return Again(Failed(edited));
    co_return End(JobState::kCancelled);
  }
  if (left > 0) {
    co_return Again(fmt::format("{} replicas are left", left));
  }
  if (!leaves) co_return End(JobState::kDone);
  const AdminResult removed = co_await Ask(Request(AdminVerb::kRemove, kDirectoryGroup, job.from));
  if (!removed.status.ok() && ReasonOf(removed.status) != Reason::kNodeNotFound) {
    co_return Again(Failed(removed.status));
  }
  co_return End(JobState::kDone);
}

// ---- dropping ---------------------------------------------------------------------------------

Task<JobRunner::Step> JobRunner::DoDrop(JobRecord job) {
  DirectoryEditor::Change change = [&](const DirectoryImage& image) -> StatusOr<DirectoryEdit> {
    ASSIGN_OR_RETURN(DirectoryEdit edit, FinishDropKeyspace(image, job.keyspace));
    edit.Add(Finish(image, job));
    return edit;
  };
  const Status edited = co_await Edit(std::move(change));
  if (!edited.ok()) co_return Again(Failed(edited));
  co_return End(JobState::kDone);
}

}  // namespace flotilla
