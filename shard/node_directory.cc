// The directory, as this node sees and changes it.

#include <algorithm>
#include <utility>

#include "base/timestamp.h"
#include "shard/answers.h"
#include "shard/node_impl.h"

namespace flotilla {

NodeImpl::WatchId NodeImpl::WatchDirectory(std::function<void()> watcher) {
  std::lock_guard lock(watchers_mutex_);
  const WatchId id = next_watch_++;
  watchers_.emplace(id, std::move(watcher));
  return id;
}

void NodeImpl::EndWatch(WatchId watch) {
  std::lock_guard lock(watchers_mutex_);
  watchers_.erase(watch);
}

void NodeImpl::TellWatchers() {
  std::lock_guard lock(watchers_mutex_);
  for (const auto& [id, watcher] : watchers_) watcher();
}

// On the apply strand of group 1.
void NodeImpl::OnDirectoryChange() {
  TellWatchers();
  // While the node is opened there is nobody to tell.
  if (!started_.load() || look_at_directory_.exchange(true)) return;
  control_->Post([this] {
    look_at_directory_.store(false);
    if (stopping_.load()) return;
    editor_->OnChange();
    router_->OnDirectoryChange();
    FoundGroups();
    RetireStrangers(false);
    RecordSelf();
    jobs_->Look();
    if (Leads(kDirectoryGroup)) TellSoon();
  });
}

void NodeImpl::RefreshDirectory(MonoTime deadline, UniqueFunction<void(Status)> done) {
  control_->Post([this, deadline, done = std::move(done)]() mutable {
    if (const Status refusal = Refusal(); !refusal.ok()) {
      done(refusal);
    } else {
      flows_->Spawn(Refreshed(deadline, std::move(done)));
    }
  });
}

void NodeImpl::ChangeDirectory(DirectoryCall call, MonoTime deadline,
                               UniqueFunction<void(DirectoryAnswer)> done) {
  control_->Post([this, call = std::move(call), deadline, done = std::move(done)]() mutable {
    if (const Status refusal = Refusal(); !refusal.ok()) {
      DirectoryAnswer answer;
      answer.status = refusal;
      done(std::move(answer));
    } else {
      flows_->Spawn(Changed(std::move(call), deadline, std::move(done)));
    }
  });
}

Task<> NodeImpl::Refreshed(MonoTime deadline, UniqueFunction<void(Status)> done) {
  Status status = co_await editor_->Refresh(deadline);
  done(std::move(status));
}

Task<> NodeImpl::Changed(DirectoryCall call, MonoTime deadline,
                         UniqueFunction<void(DirectoryAnswer)> done) {
  DirectoryAnswer answer;
  if (std::holds_alternative<PlanCall>(call) || std::holds_alternative<SurveyCall>(call)) {
    LookAt(call, answer);
    done(std::move(answer));
    co_return;
  }
  DirectoryEditor::Change change = [&](const DirectoryImage& image) {
    return EditFor(call, image, TimestampAt(world_.clock->WallNow()), answer);
  };
  const StatusOr<Timestamp> edited = co_await editor_->Edit(std::move(change), deadline);
  answer.status = edited.status();
  if (edited.ok()) answer.version = *edited;
  done(std::move(answer));
}

// What only the directory's leader knows.
void NodeImpl::LookAt(const DirectoryCall& call, DirectoryAnswer& answer) {
  if (!Leads(kDirectoryGroup)) {
    const std::shared_ptr<Replica> replica = FindReplica(kDirectoryGroup);
    answer.status = NotLeaderError(kDirectoryGroup, replica ? replica->leader() : NodeId());
  } else if (const auto* plan = std::get_if<PlanCall>(&call)) {
    answer.text = balancing_->Dry(plan->node);
  } else {
    answer.shards = watch_.Survey(*map_.image());
  }
}

}  // namespace flotilla
