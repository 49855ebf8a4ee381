// Dispatcher: following the directory, so that each call goes to the node that leads its key's
// shard.
#include <algorithm>
#include <utility>

#include "client/dispatcher.h"
#include "flotilla/v1/directory.pb.h"

namespace flotilla::client {
namespace {

// So often must answers have come from another node than before: with a single group they do after
// an election only.
constexpr std::uint32_t kChangesMin = 2;
// Between two attempts.
constexpr Duration kFollowInterval = std::chrono::seconds(1);

}  // namespace

// Outlived by the stream, perhaps.
class Dispatcher::Follower final : public DirectoryObserver {
 public:
  explicit Follower(std::weak_ptr<Dispatcher> dispatcher) : dispatcher_(std::move(dispatcher)) {}

  void OnDirectory(const v1::WatchDirectoryResponse& change) override {
    if (const auto dispatcher = dispatcher_.lock()) dispatcher->DirectoryChanged(change);
  }
  void OnDirectoryClosed(const Status& status) override {
    if (const auto dispatcher = dispatcher_.lock()) dispatcher->DirectoryClosed(status);
  }

 private:
  const std::weak_ptr<Dispatcher> dispatcher_;
};

void Dispatcher::ConsiderFollowing(NodeId node, const std::string& address, MonoTime now) {
  if (following_ || no_directory_) return;
  if (last_answerer_ && node != last_answerer_) ++answerer_changes_;
  last_answerer_ = node;
  if (answerer_changes_ < kChangesMin) return;
  if (followed_at_ != MonoTime::min() && now - followed_at_ < kFollowInterval) return;
  followed_at_ = now;
  following_ = true;
  watch_ = connector_->WatchDirectory(address, std::make_shared<Follower>(weak_from_this()));
  if (watch_ != nullptr) return;
  following_ = false;
  no_directory_ = true;
}

void Dispatcher::DirectoryChanged(const v1::WatchDirectoryResponse& change) {
  Lock lock(mutex_);
  if (stopping_) return;
  shard_map_.Apply(change);
  if (change.whole()) {
    routes_.ForgetLeaders();
    std::vector<MemberAddress> members;
    for (const v1::NodeDescriptor& node : change.nodes()) {
      members.push_back({NodeId(node.node_id()), node.address()});
    }
    routes_.SetMembers(members);
  }
  for (const std::uint64_t group : change.erased_shards()) routes_.ForgetLeader(GroupId(group));
  // What waits may belong elsewhere now.
  Unassign();
  Drive(lock);
}

void Dispatcher::DirectoryClosed(const Status& status) {
  Lock lock(mutex_);
  watch_.reset();
  following_ = false;
  // What it said still holds for the most part; another stream will say the rest.
  if (ReasonOf(status) == Reason::kUnimplemented) no_directory_ = true;
}

}  // namespace flotilla::client
