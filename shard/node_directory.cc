// The directory, as this node sees and changes it.

#include <algorithm>
#include <utility>

#include "shard/directory/new_shards.h"
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

// On the apply strand of group 1.
void NodeImpl::OnDirectoryChange() {
  {
    std::lock_guard lock(watchers_mutex_);
    for (const auto& [id, watcher] : watchers_) watcher();
  }
  // While the node is opened there is nobody to tell.
  if (control_ == nullptr || look_at_directory_.exchange(true)) return;
  control_->Post([this] {
    look_at_directory_.store(false);
    if (stopping_.load()) return;
    editor_->OnChange();
    router_->OnDirectoryChange();
    FoundGroups();
    RecordSelf();
  });
}

void NodeImpl::RefreshDirectory(MonoTime deadline, UniqueFunction<void(Status)> done) {
  control_->Post([this, deadline, done = std::move(done)]() mutable {
    if (flows_->stopping()) {
      done(Error(Reason::kNodeStopping, "the node is stopping: ask another one"));
    } else {
      flows_->Spawn(Refreshed(deadline, std::move(done)));
    }
  });
}

void NodeImpl::ChangeDirectory(DirectoryCall call, MonoTime deadline,
                               UniqueFunction<void(DirectoryAnswer)> done) {
  control_->Post([this, call = std::move(call), deadline, done = std::move(done)]() mutable {
    if (flows_->stopping()) {
      DirectoryAnswer answer;
      answer.status = Error(Reason::kNodeStopping, "the node is stopping: ask another one");
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
  if (const auto* create = std::get_if<CreateKeyspaceCall>(&call)) {
    answer = co_await Create(*create, deadline);
  } else {
    answer.status = Error(Reason::kUnimplemented, "this version does not know the change");
  }
  done(std::move(answer));
}

Task<DirectoryAnswer> NodeImpl::Create(CreateKeyspaceCall call, MonoTime deadline) {
  DirectoryAnswer answer;
  DirectoryEditor::Change change = [&](const DirectoryImage& image) {
    return CreateKeyspace(image, call.spec, PlaceNewShards(image));
  };
  const StatusOr<Timestamp> edited = co_await editor_->Edit(std::move(change), deadline);
  answer.status = edited.status();
  if (!edited.ok()) co_return answer;
  answer.version = *edited;
  if (const KeyspaceDescriptor* made = map_.image()->FindKeyspace(call.spec.name)) {
    answer.keyspace = made->id;
  }
  co_return answer;
}

}  // namespace flotilla
