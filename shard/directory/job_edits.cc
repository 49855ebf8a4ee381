#include "shard/directory/job_edits.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "kv/key_codec.h"

namespace flotilla {
namespace {

// Records of jobs that have ended, for people to look at.
constexpr std::size_t kEndedJobsMax = 200;

StatusOr<const ShardDescriptor*> FreeShard(const DirectoryImage& image, GroupId group) {
  const ShardDescriptor* shard = image.Find(group);
  if (shard == nullptr) {
    return Error(Reason::kShardNotFound,
                 fmt::format("there is no shard {}: see `kvctl shard list`", group.value()));
  }
  if (const JobRecord* job = JobAbout(image, group)) {
    return Error(Reason::kShardBusy,
                 fmt::format("job {} is about shard {}: wait for it (`kvctl job watch {}`), or "
                             "cancel it",
                             job->id.value(), group.value(), job->id.value()),
                 {{"job", std::to_string(job->id.value())}});
  }
  return shard;
}

Status CheckTarget(const DirectoryImage& image, const ShardDescriptor& shard, NodeId to) {
  const NodeRecord* node = image.Find(to);
  if (node == nullptr) {
    return Error(Reason::kNodeNotFound,
                 fmt::format("there is no node {}: see `kvctl node list`", to.value()));
  }
  if (shard.voters.contains(to)) {
    return Error(Reason::kBadRequest, fmt::format("node {} has a replica of shard {} already",
                                                  to.value(), shard.group.value()));
  }
  if (node->role != NodeRole::kActive) {
    return Error(Reason::kBadRequest,
                 fmt::format("node {} is being emptied: choose another one", to.value()));
  }
  return absl::OkStatus();
}

DirectoryEdit Begin(const DirectoryImage& image, JobRecord job, Counters counters, Timestamp now) {
  DirectoryEdit edit;
  job.id = counters.next_job;
  counters.next_job = job.id.Next();
  job.created = now;
  job.updated = now;
  edit.put.emplace_back(std::move(job));
  edit.put.emplace_back(counters);
  std::size_t ended = 0;
  for (const auto& [id, one] : image.jobs()) ended += Ended(one);
  for (const auto& [id, one] : image.jobs()) {
    if (ended <= kEndedJobsMax) break;
    if (!Ended(one)) continue;
    edit.erase.push_back(RowKey(id));
    --ended;
  }
  return edit;
}

}  // namespace

bool Ended(const JobRecord& job) {
  return job.state != JobState::kRunning && job.state != JobState::kCancelling;
}

const JobRecord* JobAbout(const DirectoryImage& image, GroupId group) {
  for (const auto& [id, job] : image.jobs()) {
    if (!Ended(job) && (job.group == group || job.other == group)) return &job;
  }
  return nullptr;
}

StatusOr<DirectoryEdit> BeginSplit(const DirectoryImage& image, const SplitCall& call,
                                   std::string_view reason, Timestamp now) {
  ASSIGN_OR_RETURN(const ShardDescriptor* shard, FreeShard(image, call.group));
  if (!call.key.empty() &&
      (call.key <= shard->start || call.key >= shard->end || !kv::IsBoundary(call.key))) {
    return Error(Reason::kBadRequest,
                 fmt::format("the key to split at does not lie inside shard {}: see `kvctl shard "
                             "show {}`",
                             call.group.value(), call.group.value()));
  }
  Counters counters = image.counters();
  JobRecord job;
  job.kind = JobKind::kSplit;
  job.group = call.group;
  job.other = counters.next_group;
  job.key = call.key;
  job.keyspace = shard->keyspace;
  job.reason = reason;
  counters.next_group = job.other.Next();
  return Begin(image, std::move(job), counters, now);
}

StatusOr<DirectoryEdit> BeginMerge(const DirectoryImage& image, const MergeCall& call,
                                   std::string_view reason, Timestamp now) {
  ASSIGN_OR_RETURN(const ShardDescriptor* left, FreeShard(image, call.left));
  const ShardDescriptor* right = image.Locate(left->end);
  if (right == nullptr || right->keyspace != left->keyspace) {
    return Error(Reason::kBadRequest,
                 fmt::format("shard {} is the last of its keyspace: there is nothing to its right "
                             "to merge with",
                             call.left.value()));
  }
  RETURN_IF_ERROR(FreeShard(image, right->group).status());
  JobRecord job;
  job.kind = JobKind::kMerge;
  job.group = call.left;
  job.other = right->group;
  job.keyspace = left->keyspace;
  job.reason = reason;
  return Begin(image, std::move(job), image.counters(), now);
}

StatusOr<DirectoryEdit> BeginMove(const DirectoryImage& image, const MoveCall& call,
                                  std::string_view reason, Timestamp now) {
  ASSIGN_OR_RETURN(const ShardDescriptor* shard, FreeShard(image, call.group));
  if (!call.from && !call.to) {
    return Error(Reason::kBadRequest, "say which node is to give a replica, or to get one");
  }
  if (call.to) RETURN_IF_ERROR(CheckTarget(image, *shard, call.to));
  if (call.from && !shard->Has(call.from)) {
    return Error(Reason::kBadRequest, fmt::format("node {} has no replica of shard {}",
                                                  call.from.value(), call.group.value()));
  }
  if (!call.to && shard->voters.size() == 1 && shard->voters.contains(call.from)) {
    return Error(Reason::kBadRequest,
                 fmt::format("node {} has the only voter of shard {}: name a node to move it to",
                             call.from.value(), call.group.value()));
  }
  JobRecord job;
  job.kind = JobKind::kMove;
  job.group = call.group;
  job.from = call.from;
  job.to = call.to;
  job.keyspace = shard->keyspace;
  job.reason = reason;
  return Begin(image, std::move(job), image.counters(), now);
}

StatusOr<DirectoryEdit> BeginDrop(const DirectoryImage& image, const DropKeyspaceCall& call,
                                  Timestamp now) {
  ASSIGN_OR_RETURN(DirectoryEdit drop, BeginDropKeyspace(image, call.name));
  if (drop.empty()) return drop;
  JobRecord job;
  job.kind = JobKind::kDropKeyspace;
  job.keyspace = image.FindKeyspace(call.name)->id;
  job.reason = "by hand";
  DirectoryEdit edit = Begin(image, std::move(job), image.counters(), now);
  edit.Add(std::move(drop));
  return edit;
}

const JobRecord* DrainOf(const DirectoryImage& image, NodeId node) {
  for (const auto& [id, job] : image.jobs()) {
    if (job.kind == JobKind::kDrain && job.from == node && !Ended(job)) return &job;
  }
  return nullptr;
}

StatusOr<DirectoryEdit> BeginRole(const DirectoryImage& image, const SetNodeRoleCall& call,
                                  std::string_view reason, Timestamp now) {
  ASSIGN_OR_RETURN(DirectoryEdit edit, SetNodeRole(image, call.node, call.role));
  const JobRecord* running = DrainOf(image, call.node);
  if (call.role == NodeRole::kActive) {
    if (running == nullptr) return edit;
    JobRecord ended = *running;
    ended.state = JobState::kCancelled;
    edit.Add(UpdateJob(image, std::move(ended), now));
    return edit;
  }
  JobRecord job;
  if (running != nullptr) {
    // Who asks again learns which job it is.
    job = *running;
    job.updated = now;
    edit.put.emplace_back(std::move(job));
    return edit;
  }
  job.kind = JobKind::kDrain;
  job.from = call.node;
  job.reason = reason;
  edit.Add(Begin(image, std::move(job), image.counters(), now));
  return edit;
}

DirectoryEdit UndoRole(const DirectoryImage& image, NodeId node) {
  DirectoryEdit edit;
  const NodeRecord* known = image.Find(node);
  if (known == nullptr || known->role == NodeRole::kActive) return edit;
  NodeRecord active = *known;
  active.role = NodeRole::kActive;
  edit.put.emplace_back(std::move(active));
  return edit;
}

bool RemovesNode(const DirectoryImage& image, const JobRecord& job) {
  const NodeRecord* node = image.Find(job.from);
  return node != nullptr && node->role == NodeRole::kDecommissioned;
}

std::size_t ShardsOn(const DirectoryImage& image, NodeId node) {
  return static_cast<std::size_t>(
      std::count_if(image.shards().begin(), image.shards().end(),
                    [&](const auto& one) { return one.second.Has(node); }));
}

StatusOr<DirectoryEdit> CancelJob(const DirectoryImage& image, JobId id, Timestamp now) {
  const JobRecord* job = image.Find(id);
  if (job == nullptr) {
    return Error(Reason::kJobNotFound,
                 fmt::format("there is no job {}: see `kvctl job list`", id.value()));
  }
  if (job->state != JobState::kRunning) return DirectoryEdit();
  if (job->kind == JobKind::kDropKeyspace) {
    return Error(Reason::kBadRequest, "the removal of a keyspace cannot be taken back");
  }
  JobRecord cancelled = *job;
  cancelled.state = JobState::kCancelling;
  return UpdateJob(image, std::move(cancelled), now);
}

DirectoryEdit UpdateJob(const DirectoryImage& image, JobRecord job, Timestamp now) {
  DirectoryEdit edit;
  const JobRecord* known = image.Find(job.id);
  if (known == nullptr || Ended(*known)) return edit;
  // Who asked for its end meanwhile is not overruled.
  if (known->state == JobState::kCancelling && job.state == JobState::kRunning) {
    job.state = JobState::kCancelling;
  }
  job.updated = known->updated;
  if (job == *known) return edit;
  job.updated = now;
  edit.put.emplace_back(std::move(job));
  return edit;
}

}  // namespace flotilla
