// Merging: a shard takes in its right neighbour. Steps of JobRunner.
//
//   same members ─▶ all there? ─▶ freeze the right ─▶ all have flushed it ─▶ the left absorbs it
//                        ▲               │                    │                  │       │
//                        └───────────────┴────── release ─────┴──────────────────┘       ▼
//                                                                           directory: one shard
//
// An absorption counts on a freeze: the right must not go on while one may yet take effect. So
// - an attempt counts on no freeze but its own, and on an epoch of the left that was known before;
// - who finds the right frozen raises the epoch of the left first, and only then unfreezes it.
// What was begun by another node, or by this one before it gave up, has no effect after that.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "shard/job_runner.h"
#include "shard/member_steps.h"

namespace flotilla {
namespace {

// Writes to the right stand still for at most about so long.
constexpr Duration kFrozenMax = std::chrono::seconds(2);
// Whether a member is there; while the right is frozen, and before.
constexpr Duration kAnswerTimeout = std::chrono::milliseconds(500);
constexpr Duration kFlushTimeout = std::chrono::seconds(10);
constexpr Duration kShortPause = std::chrono::milliseconds(2);
// Entries that a member may be behind when the right is frozen.
constexpr std::uint64_t kLagMax = 256;
// Between attempts; then twice as long each time.
constexpr Duration kFirstPause = std::chrono::milliseconds(500);
constexpr Duration kPauseMax = std::chrono::seconds(30);
// Others may have work for the shards, to replace the member that is missing, say.
constexpr Duration kGiveUpAfter = std::chrono::minutes(10);

constexpr char kUntold[] = "waiting for the shards to be told of";

bool AnyFrozen(const std::vector<AdminResult>& members) {
  return std::ranges::any_of(
      members, [](const auto& member) { return member.status.ok() && member.range.frozen; });
}

// What speaks against an attempt; empty: nothing.
std::string WhyNotYet(const ShardDescriptor& shard, const std::vector<AdminResult>& members) {
  const std::vector<NodeId> nodes = shard.Members();
  raft::Index newest;
  for (const AdminResult& member : members) newest = std::max(newest, member.index);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const AdminResult& member = members[i];
    if (!member.status.ok()) return fmt::format("node {} does not answer", nodes[i].value());
    if (member.range.epoch < shard.epoch || newest - member.index > kLagMax) {
      return fmt::format("node {} is behind", nodes[i].value());
    }
  }
  return {};
}

// A node that is to be empty, and does not get so while a job is about what it has; none: no such.
NodeId EmptiedMember(const DirectoryImage& image, const ShardDescriptor& shard) {
  for (const NodeId member : shard.Members()) {
    const NodeRecord* node = image.Find(member);
    if (node != nullptr && node->role != NodeRole::kActive) return member;
  }
  return {};
}

// Its state has all of the freeze, and a crash would not change that.
bool HasFlushed(const AdminResult& member, const AdminResult& frozen) {
  if (Planted(Plant::kMergedInMidst)) return member.status.ok();
  return member.status.ok() && member.durable_range == frozen.range &&
         member.durable >= frozen.index;
}

}  // namespace

Task<JobRunner::Step> JobRunner::DoMerge(JobRecord job) {
  const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
  const ShardDescriptor* left = image->Find(job.group);
  const ShardDescriptor* right = image->Find(job.other);
  if (left == nullptr) co_return End(JobState::kFailed, "the shard has gone");
  if (right == nullptr) co_return End(JobState::kDone);
  if (left->end != right->start) co_return Again(kUntold);
  const Neighbours pair{.left = *left, .right = *right};
  const std::vector<AdminResult> rights =
      co_await AskMembers(pair.right, AdminVerb::kInspect, kAnswerTimeout);
  if (AnyFrozen(rights)) {
    const Released released = co_await Release(pair);
    co_return Again(released == Released::kYes ? "begins again" : kUntold);
  }
  NodeId emptied = EmptiedMember(*image, pair.left);
  if (!emptied) emptied = EmptiedMember(*image, pair.right);
  const bool cancelling = job.state == JobState::kCancelling || emptied;
  const bool left_moves = LeftMoves(*image, pair.left, pair.right);
  const ShardDescriptor& moves = left_moves ? pair.left : pair.right;
  const ShardDescriptor& stays = left_moves ? pair.right : pair.left;
  const std::optional<MemberStep> next =
      cancelling ? StepBack(moves, stays) : StepTowards(moves, stays);
  if (next) {
    std::string text = StepText(*next);
    if (!cancelling && Stuck(job.id, text)) {
      co_await Cancel(job.id);
      co_return Again(std::move(text));
    }
    Step moved = co_await ChangeMembers(moves.group, *next);
    co_return moved;
  }
  // Before a node was to be emptied, it may have been the other one that moved.
  const std::optional<MemberStep> left_over = cancelling ? LearnerBack(stays, moves) : std::nullopt;
  if (left_over) {
    Step removed = co_await ChangeMembers(stays.group, *left_over);
    co_return removed;
  }
  if (job.state == JobState::kCancelling) {
    Step ended = co_await GiveUp(pair, End(JobState::kCancelled));
    co_return ended;
  }
  if (emptied) {
    Step ended = co_await GiveUp(
        pair, End(JobState::kFailed, fmt::format("node {} is being emptied", emptied.value())));
    co_return ended;
  }
  const auto pause = pauses_.find(job.id);
  if (pause != pauses_.end()) {
    const MonoTime now = world_.clock->Now();
    if (now - pause->second.since >= kGiveUpAfter) {
      Step ended = co_await GiveUp(pair, End(JobState::kFailed, pause->second.why));
      co_return ended;
    }
    if (now < pause->second.until) {
      co_return Again(fmt::format("tries again soon: {}", pause->second.why));
    }
  }
  std::string obstacle = WhyNotYet(pair.right, rights);
  if (obstacle.empty()) {
    const std::vector<AdminResult> lefts =
        co_await AskMembers(pair.left, AdminVerb::kInspect, kAnswerTimeout);
    obstacle = WhyNotYet(pair.left, lefts);
  }
  if (!obstacle.empty()) co_return Postpone(job.id, std::move(obstacle));
  Step merged = co_await Attempt(std::move(job), pair);
  co_return merged;
}

Task<JobRunner::Step> JobRunner::Attempt(JobRecord job, Neighbours pair) {
  // What there is to be flushed is not to hold up anybody later.
  for (const ShardDescriptor* shard : {&pair.right, &pair.left}) {
    const std::vector<AdminResult> flushed =
        co_await AskMembers(*shard, AdminVerb::kSnapshot, kFlushTimeout);
    for (const AdminResult& one : flushed) {
      if (!one.status.ok()) co_return Postpone(job.id, Failed(one.status));
    }
  }
  // It is another's by now, who need not find it frozen.
  if (!world_.leads() || world_.scope->stopping()) co_return Again(job.step);
  const MonoTime until = world_.clock->Now() + kFrozenMax;
  const AdminResult frozen = co_await Ask(
      Control(pair.right.group, {.expected_epoch = pair.right.epoch, .change = kv::Freeze{}}),
      kFrozenMax);
  // Perhaps it has happened, and nobody told: who then finds it frozen releases it.
  if (!frozen.status.ok()) co_return Again(Failed(frozen.status));
  if (frozen.outcome != kv::ControlOutcome::kApplied) co_return Again(kUntold);
  std::string obstacle = co_await AwaitFlushed(pair.right, frozen, until);
  const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
  const JobRecord* now = image->Find(job.id);
  if (now != nullptr && now->state == JobState::kCancelling) obstacle = "cancelled";
  if (obstacle.empty()) {
    const AdminResult absorbed =
        co_await Ask(Control(pair.left.group, {.expected_epoch = pair.left.epoch,
                                               .change = kv::Absorb{.right = pair.right.group,
                                                                    .held = frozen.range,
                                                                    .frozen_at = frozen.index}}));
    if (absorbed.status.ok() && absorbed.outcome == kv::ControlOutcome::kApplied) {
      ShardDescriptor merged = pair.left;
      merged.end = absorbed.range.end;
      merged.epoch = absorbed.range.epoch;
      Step told = co_await TellMerged(std::move(job), std::move(merged));
      co_return told;
    }
    obstacle = absorbed.status.ok() ? "the shard has changed" : Failed(absorbed.status);
  }
  const Released released = co_await Release(pair);
  if (released != Released::kYes) co_return Again(kUntold);
  co_return Postpone(job.id, std::move(obstacle));
}

Task<std::string> JobRunner::AwaitFlushed(ShardDescriptor right, AdminResult frozen,
                                          MonoTime until) {
  const std::vector<NodeId> nodes = right.Members();
  for (;;) {
    const std::vector<AdminResult> members =
        co_await AskMembers(right, AdminVerb::kInspect, kAnswerTimeout);
    std::string late;
    bool flush = false;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (HasFlushed(members[i], frozen)) continue;
      late = fmt::format("node {} has not said in time that it is ready", nodes[i].value());
      if (!members[i].status.ok()) co_return late;
      flush |= members[i].index >= frozen.index && members[i].durable < frozen.index;
    }
    if (late.empty() || world_.clock->Now() >= until) co_return late;
    if (flush) {
      const std::vector<AdminResult> flushed =
          co_await AskMembers(right, AdminVerb::kSnapshot, until - world_.clock->Now());
    }
    const bool go_on = co_await SleepFor(kShortPause);
    if (!go_on) co_return late;
  }
}

// The left's leader would tell as well, somewhat later.
Task<JobRunner::Step> JobRunner::TellMerged(JobRecord job, ShardDescriptor merged) {
  DirectoryEditor::Change change = [&](const DirectoryImage& image) -> StatusOr<DirectoryEdit> {
    ASSIGN_OR_RETURN(DirectoryEdit edit, TakeReports(image, {merged}));
    edit.Add(Finish(image, job));
    return edit;
  };
  const Status edited = co_await Edit(std::move(change));
  if (!edited.ok()) co_return Again(Failed(edited));
  co_return End(JobState::kDone);
}

// ---- the way back -----------------------------------------------------------------------------

Task<JobRunner::Released> JobRunner::Release(Neighbours pair) {
  const ShardDescriptor& right = pair.right;
  const ShardDescriptor& left = pair.left;
  // A freeze that is on its way must not come later.
  const AdminResult looked = co_await Ask(Fence(right));
  if (!looked.status.ok()) co_return Released::kNotYet;
  if (looked.outcome == kv::ControlOutcome::kApplied) co_return Released::kYes;
  if (!looked.range.frozen) co_return Released::kNotYet;
  const AdminResult fenced = co_await Ask(Fence(left));
  // Of another epoch: perhaps it has absorbed the right. The directory will be told.
  const bool stands = fenced.status.ok() && fenced.outcome == kv::ControlOutcome::kApplied;
  if (!stands) co_return Released::kNotYet;
  const AdminResult unfrozen = co_await Ask(
      Control(right.group, {.expected_epoch = looked.range.epoch, .change = kv::Unfreeze{}}));
  const bool goes_on = unfrozen.status.ok() && unfrozen.outcome == kv::ControlOutcome::kApplied;
  co_return goes_on ? Released::kYes : Released::kNotYet;
}

Task<JobRunner::Step> JobRunner::GiveUp(Neighbours pair, Step end) {
  const Released released = co_await Release(std::move(pair));
  co_return released == Released::kYes ? std::move(end) : Again(kUntold);
}

bool JobRunner::Stuck(JobId id, const std::string& what) {
  const MonoTime now = world_.clock->Now();
  auto& [step, since] = under_way_[id];
  if (step != what) since = now;
  step = what;
  return now - since >= kGiveUpAfter;
}

Task<> JobRunner::Cancel(JobId id) {
  DirectoryEditor::Change change = [&](const DirectoryImage& image) {
    return CancelJob(image, id, Now());
  };
  const Status edited = co_await Edit(std::move(change));
  edited.IgnoreError();  // it will be tried again
}

JobRunner::Step JobRunner::Postpone(JobId id, std::string why) {
  const MonoTime now = world_.clock->Now();
  Pause& pause = pauses_.try_emplace(id, Pause{.since = now}).first->second;
  pause.time = std::clamp(2 * pause.time, kFirstPause, kPauseMax);
  pause.until = now + pause.time;
  pause.why = std::move(why);
  return Again(pause.why);
}

}  // namespace flotilla
