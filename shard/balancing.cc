#include "shard/balancing.h"

#include <utility>

#include "base/timestamp.h"
#include "shard/directory/job_edits.h"

namespace flotilla {
namespace {

constexpr Duration kTimeout = std::chrono::seconds(5);

// Nothing when the shard has changed since the plan: the next one knows better.
StatusOr<DirectoryEdit> Begin(const Action& action, const DirectoryImage& image, Timestamp now) {
  const ShardDescriptor* shard = image.Find(action.group);
  if (shard == nullptr || shard->epoch != action.epoch) return DirectoryEdit();
  switch (action.kind) {
    case ActionKind::kAddReplica:
    case ActionKind::kMoveReplica:
    case ActionKind::kRemoveReplica:
      return BeginMove(image, {.group = action.group, .from = action.from, .to = action.to},
                       action.reason, now);
    case ActionKind::kSplit:
      return BeginSplit(image, {.group = action.group, .key = action.key}, action.reason, now);
    case ActionKind::kMerge:
      return BeginMerge(image, {.left = action.group}, action.reason, now);
    case ActionKind::kTransferLeader:
    case ActionKind::kReplaceVoter:
      break;
  }
  return DirectoryEdit();
}

}  // namespace

ClusterView Balancing::View() const {
  ClusterView view = world_.watch->View(*world_.directory->image(), world_.registered(),
                                        *world_.gossip(), world_.clock->Now());
  view.directory = world_.members();
  return view;
}

void Balancing::Look() {
  if (under_way_ || !world_.leads() || world_.scope->stopping()) return;
  Plan plan = MakePlan(View(), options_);
  if (plan.actions.empty()) return;
  under_way_ = true;
  world_.scope->Spawn(Start(std::move(plan)));
}

Task<> Balancing::Start(Plan plan) {
  for (Action& action : plan.actions) {
    if (world_.scope->stopping() || !world_.leads()) break;
    co_await Start(std::move(action));
  }
  under_way_ = false;
}

Task<> Balancing::Start(Action action) {
  const MonoTime deadline = world_.clock->Now() + kTimeout;
  const bool replace = action.kind == ActionKind::kReplaceVoter;
  if (replace || action.kind == ActionKind::kTransferLeader) {
    AdminRequest request;
    request.verb = replace ? AdminVerb::kReplaceVoter : AdminVerb::kTransfer;
    request.group = action.group;
    request.node = action.to;
    if (replace) request.replaced = action.from;
    // If it does not succeed, the next plan has it again.
    const AdminResult changed =
        co_await AwaitCallback<AdminResult>([&](Completion<AdminResult> done) {
          world_.admin->Execute(std::move(request), deadline, std::move(done));
        });
    changed.status.IgnoreError();
    co_return;
  }
  DirectoryEditor::Change change = [&](const DirectoryImage& image) {
    return Begin(action, image, TimestampAt(world_.clock->WallNow()));
  };
  const StatusOr<Timestamp> begun = co_await world_.editor->Edit(std::move(change), deadline);
  begun.status().IgnoreError();
}

std::string Balancing::Dry(NodeId draining) const {
  ClusterView view = View();
  for (NodeView& node : view.nodes) {
    if (node.record.node == draining) node.record.role = NodeRole::kDraining;
  }
  return PlanText(MakePlan(view, options_));
}

}  // namespace flotilla
