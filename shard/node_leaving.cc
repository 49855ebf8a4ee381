// How a node leaves the cluster: emptied first, and then taken off the registry.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/timestamp.h"
#include "shard/answers.h"
#include "shard/directory/job_edits.h"
#include "shard/node_impl.h"

namespace flotilla {
namespace {

constexpr Duration kPause = std::chrono::milliseconds(20);

Status GoesOn(NodeId node, const JobRecord* job) {
  return Error(Reason::kOutcomeUnknown,
               fmt::format("node {} leaves the cluster once it is empty, which goes on ({}): see "
                           "`kvctl job list`, and why by `kvctl node drain {} --dry-run`",
                           node.value(), job == nullptr ? "it is empty" : job->step, node.value()));
}

}  // namespace

void NodeImpl::RemoveNode(NodeId node, MonoTime deadline, UniqueFunction<void(Status)> done) {
  control_->Post([this, node, deadline, done = std::move(done)]() mutable {
    if (const Status refusal = Refusal(); !refusal.ok()) {
      done(refusal);
    } else {
      flows_->Spawn(Removed(node, deadline, std::move(done)));
    }
  });
}

Task<> NodeImpl::Removed(NodeId node, MonoTime deadline, UniqueFunction<void(Status)> done) {
  Status status = co_await Decommission(node, deadline);
  done(std::move(status));
}

Task<AdminResult> NodeImpl::AskDirectory(AdminVerb verb, NodeId node, MonoTime deadline) {
  AdminRequest request;
  request.verb = verb;
  request.group = kDirectoryGroup;
  request.node = node;
  AdminResult result = co_await AwaitCallback<AdminResult>([&](Completion<AdminResult> done) {
    admin_->Execute(std::move(request), deadline, std::move(done));
  });
  co_return result;
}

Task<Status> NodeImpl::Decommission(NodeId node, MonoTime deadline) {
  DirectoryEditor::Change change = [&](const DirectoryImage& image) {
    return BeginRole(image, {.node = node, .role = NodeRole::kDecommissioned}, "by hand",
                     TimestampAt(world_.clock->WallNow()));
  };
  const StatusOr<Timestamp> begun = co_await editor_->Edit(std::move(change), deadline);
  if (ReasonOf(begun.status()) == Reason::kNodeNotFound) {
    // It has never said where it is, and has nothing.
    AdminResult removed = co_await AskDirectory(AdminVerb::kRemove, node, deadline);
    co_return std::move(removed.status);
  }
  if (!begun.ok()) co_return begun.status();
  for (;;) {
    if (!Registered().contains(node)) co_return absl::OkStatus();
    // Who leaves is told no more of the directory, and may have it from the others.
    if (node == identity_.node && has_left_.load()) co_return absl::OkStatus();
    const std::shared_ptr<const DirectoryImage> image = map_.image();
    const JobRecord* job = DrainOf(*image, node);
    const NodeRecord* known = image->Find(node);
    const bool leaves = known != nullptr && known->role == NodeRole::kDecommissioned;
    if (job == nullptr && !leaves) {
      co_return Error(Reason::kCancelled,
                      fmt::format("node {} stays: its removal was cancelled", node.value()));
    }
    if (world_.clock->Now() + kPause >= deadline) co_return GoesOn(node, job);
    const bool go_on = co_await SleepFor(kPause);
    if (!go_on) co_return StoppingError();
  }
}

// ---- the node that has left --------------------------------------------------------------------

Status NodeImpl::Refusal() const {
  if (flows_->stopping()) return StoppingError();
  return state_.load() == NodeState::kLeft ? LeftError() : absl::OkStatus();
}

// Somebody has told who the members are. Who leaves is perhaps not told so by the directory itself,
// whose leader no more speaks to it.
void NodeImpl::HearOfMembers(const std::vector<MemberRecord>& members) {
  const std::shared_ptr<Replica> directory = FindReplica(kDirectoryGroup);
  if (members.empty() || !directory || directory->leader()) return;
  const bool among = std::any_of(members.begin(), members.end(), [&](const MemberRecord& one) {
    return one.node == identity_.node;
  });
  // Of who has yet to hear anything of the directory, others may not have heard either.
  if (!among && !Registered().empty()) has_left_.store(true);
}

void NodeImpl::NoteWhetherLeft() {
  const std::shared_ptr<Replica> directory = FindReplica(kDirectoryGroup);
  if (has_left_.load() && directory && directory->leader() &&
      Registered().contains(identity_.node)) {
    has_left_.store(false);
  }
  const bool left = has_left_.load();
  NodeState expected = left ? NodeState::kServing : NodeState::kLeft;
  const NodeState now = left ? NodeState::kLeft : NodeState::kServing;
  if (!state_.compare_exchange_strong(expected, now)) return;
  if (left) {
    world_.logger->warn(
        "node {} is no longer a member of cluster {:016x}: stop it; to join again it needs an "
        "empty data directory",
        identity_.node.value(), identity_.cluster.value());
  } else {
    world_.logger->info("node {} is a member after all", identity_.node.value());
  }
  router_->SetLeft(left);
  TellWatchers();
}

}  // namespace flotilla
