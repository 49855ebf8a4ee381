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
#include <memory>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/task.h"
#include "shard/admin.h"
#include "shard/directory/editor.h"
#include "shard/directory/job_edits.h"

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

  Task<> Run(JobId id);
  Task<Step> Do(JobRecord job);
  Task<Step> DoSplit(JobRecord job);
  Task<Step> CancelSplit(JobRecord job, ShardDescriptor shard);
  Task<Step> DoMove(JobRecord job);
  Task<Step> CancelMove(JobRecord job, ShardDescriptor shard);
  Task<Step> DoDrop(JobRecord job);

  Task<AdminResult> Ask(AdminRequest request);
  Task<Status> Note(JobRecord job);
  Timestamp Now() const;

  const World world_;
  std::set<JobId> running_;
};

}  // namespace flotilla
