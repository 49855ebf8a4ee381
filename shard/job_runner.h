// JobRunner: carries out the directory's jobs, on the node that leads the directory's group.
//
// A step looks at the directory and does the next thing that is missing; it keeps nothing of what
// it did. So every step may be repeated, on this node or another: a crash at any moment resumes the
// job, and two nodes that both believe to lead do no harm. What changes a shard carries the epoch
// that the step saw, and has no effect if the shard has changed since.
//
// On the strand of the scope.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/task.h"
#include "shard/admin.h"
#include "shard/directory/editor.h"
#include "shard/directory/job_edits.h"
#include "shard/member_steps.h"

namespace flotilla {

class JobRunner {
 public:
  struct World {
    const Directory* directory = nullptr;
    DirectoryEditor* editor = nullptr;
    Admin* admin = nullptr;
    const Clock* clock = nullptr;
    TaskScope* scope = nullptr;
    // This node leads the directory's group.
    std::function<bool()> leads;
  };
  // All outlive the runner.
  explicit JobRunner(World world) : world_(std::move(world)) {}

  // The directory has changed, or who leads it.
  void Look();

 private:
  // What became of a job with one step.
  struct Step {
    enum class Kind { kAgain, kEnded } kind = Kind::kAgain;
    JobState state = JobState::kRunning;  // kEnded
    std::string text = {};                // what it waits for, or its error
    std::string key = {};                 // where to split, once it is known
  };
  static Step Again(std::string text) {
    return {.kind = Step::Kind::kAgain, .text = std::move(text)};
  }
  static Step End(JobState state, std::string error = {}) {
    return {.kind = Step::Kind::kEnded, .state = state, .text = std::move(error)};
  }

  static AdminRequest Request(AdminVerb verb, GroupId group, NodeId node = {});
  static AdminRequest Control(GroupId group, kv::ControlCommand command);
  // Raises the epoch: no command that counts on that of `shard` has any effect afterwards.
  static AdminRequest Fence(const ShardDescriptor& shard);
  static std::string Failed(const Status& status) { return std::string(MessageOf(status)); }

  Task<> Run(JobId id);
  Task<Step> Do(JobRecord job);
  Task<Step> DoSplit(JobRecord job);
  Task<Step> CancelSplit(ShardDescriptor shard);
  Task<Step> DoMove(JobRecord job);
  Task<Step> CancelMove(JobRecord job, ShardDescriptor shard, Step end);
  Task<Step> DoDrop(JobRecord job);
  Task<Step> DoDrain(JobRecord job);

  Task<bool> IsSilent(JobRecord job);
  Task<Step> ChangeMembers(GroupId group, MemberStep change);

  // merge_job.cc
  struct Neighbours {
    ShardDescriptor left;
    ShardDescriptor right;
  };
  // Why a merge waits.
  struct Pause {
    MonoTime since;  // the first of its kind in this job
    MonoTime until{};
    Duration time{};
    std::string why = {};
  };
  // kYes: the right is not frozen, and is not absorbed by what was begun before. kNotYet: it is not
  // known to be so.
  enum class Released { kYes, kNotYet };
  Task<Step> DoMerge(JobRecord job);
  // Freezes the right; it has become a part of the left, or goes on.
  Task<Step> Attempt(JobRecord job, Neighbours pair);
  // That all members have flushed the freeze; else says who has not.
  Task<std::string> AwaitFlushed(ShardDescriptor right, AdminResult frozen, MonoTime until);
  Task<Step> TellMerged(JobRecord job, ShardDescriptor merged);
  Task<Released> Release(Neighbours pair);
  // `end`, once nothing is left of what was begun.
  Task<Step> GiveUp(Neighbours pair, Step end);
  Step Postpone(JobId id, std::string why);
  // It has been waiting for this, and nothing else, for too long.
  bool Stuck(JobId id, const std::string& what);
  Task<> Cancel(JobId id);

  Task<AdminResult> Ask(AdminRequest request, Duration within = kAskTimeout);
  // In the order of voters, then learners.
  Task<std::vector<AdminResult>> AskMembers(ShardDescriptor shard, AdminVerb verb, Duration within);
  Task<Status> Note(JobRecord job);
  // As DirectoryEditor::Edit. What `change` refers to lives until it has ended.
  Task<Status> Edit(DirectoryEditor::Change change);
  // Of a job whose last step is an edit itself, and its end a part of that.
  DirectoryEdit Finish(const DirectoryImage& image, JobRecord job) const;
  Timestamp Now() const;

  static constexpr Duration kAskTimeout = std::chrono::seconds(5);

  const World world_;
  std::set<JobId> running_;
  std::map<JobId, Pause> pauses_;  // of those that run
  // The change of members that a merge waits for, and since when.
  std::map<JobId, std::pair<std::string, MonoTime>> under_way_;
};

}  // namespace flotilla
