// FakeNode: a node that has a directory and nothing else; the test says what becomes of changes.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "shard/node.h"
#include "tests/cmd/kvd/fake_gateway.h"

namespace flotilla {

// Begins nothing.
class NoTransactions final : public Transactions {
 public:
  void Begin(const TxnOptions&, MonoTime,
             UniqueFunction<void(StatusOr<std::shared_ptr<Transaction>>)> done) override {
    done(Error(Reason::kUnimplemented, "this node has no transactions"));
  }
  std::vector<TransactionInfo> List() const override { return {}; }
  Status Abort(kv::TxnId) override { return Error(Reason::kTxnNotFound, "there is none"); }
};

class FakeNode final : public Node {
 public:
  FakeNode() {
    std::vector<NodeRecord> nodes;
    for (std::uint64_t id : {1, 2, 3}) {
      NodeRecord& node = nodes.emplace_back();
      node.node = NodeId(id);
      node.address = "host" + std::to_string(id) + ":7101";
      node.labels["zone"] = std::string(1, static_cast<char>('a' + id - 1));
    }
    Edit(FoundDirectory(nodes, NodeId(4), std::chrono::hours(1)));
  }

  // ---- of the test -----------------------------------------------------------------------------

  void Edit(const DirectoryEdit& edit) {
    StatusOr<DirectoryImage> image = WithEdit(*DirectoryView(), edit);
    CHECK(image.ok()) << MessageOf(image.status());
    std::vector<std::function<void()>> watchers;
    {
      std::lock_guard lock(mutex_);
      image_ = std::make_shared<const DirectoryImage>(*std::move(image));
      for (const auto& [id, watcher] : watchers_) watchers.push_back(watcher);
    }
    for (const auto& watcher : watchers) watcher();
  }
  void Put(DirectoryRow row) { Edit({.put = {std::move(row)}, .erase = {}}); }

  // Answers changes; by default they are not known.
  std::function<DirectoryAnswer(const DirectoryCall&)> change = [](const DirectoryCall&) {
    DirectoryAnswer answer;
    answer.status = Error(Reason::kUnimplemented, "the test does not say");
    return answer;
  };
  Status refreshed;
  NodeInfo info;
  std::vector<NodeId> member_ids = {NodeId(1)};  // all voters
  std::size_t watches() const {
    std::lock_guard lock(mutex_);
    return watchers_.size();
  }

  // ---- Node ------------------------------------------------------------------------------------

  std::shared_ptr<const DirectoryImage> DirectoryView() const override {
    std::lock_guard lock(mutex_);
    return image_;
  }
  std::shared_ptr<const gossip::GossipView> GossipView() const override {
    return std::make_shared<gossip::GossipView>();
  }
  void RefreshDirectory(MonoTime, UniqueFunction<void(Status)> done) override { done(refreshed); }
  void ChangeDirectory(DirectoryCall call, MonoTime,
                       UniqueFunction<void(DirectoryAnswer)> done) override {
    done(change(call));
  }
  WatchId WatchDirectory(std::function<void()> watcher) override {
    std::lock_guard lock(mutex_);
    watchers_.emplace(++last_watch_, std::move(watcher));
    return last_watch_;
  }
  void EndWatch(WatchId watch) override {
    std::lock_guard lock(mutex_);
    watchers_.erase(watch);
  }
  void TakeTimestamps(std::uint64_t count, MonoTime,
                      UniqueFunction<void(StatusOr<Timestamp>)> done) override {
    if (!refreshed.ok()) return done(refreshed);
    const Timestamp first(next_timestamp_);
    next_timestamp_ += count;
    done(first);
  }
  void Info(UniqueFunction<void(NodeInfo)> done) override { done(info); }
  void ListMembers(MonoTime,
                   UniqueFunction<void(StatusOr<std::vector<MemberInfo>>)> done) override {
    std::vector<MemberInfo> members;
    for (const NodeId node : member_ids) {
      MemberInfo& member = members.emplace_back();
      member.node = node;
      member.address = "host1:7101";
      member.voter = true;
    }
    done(std::move(members));
  }

  void Start(UniqueFunction<void(Status)>) override {}
  Gateway& gateway() override { return gateway_; }
  Transactions& transactions() override { return transactions_; }
  std::vector<LockInfo> Locks(std::size_t) const override { return {}; }
  std::vector<FoundDeadlock> Deadlocks() const override { return {}; }
  bool Ready() const override { return true; }
  NodeState state() const override { return NodeState::kServing; }
  bool Leads(GroupId) const override { return false; }
  void AddReplica(GroupId, const std::string&, bool, MonoTime,
                  UniqueFunction<void(StatusOr<NodeId>)> done) override {
    done(NodeId(4));
  }
  void RemoveReplica(GroupId, NodeId, MonoTime, UniqueFunction<void(Status)> done) override {
    done(absl::OkStatus());
  }
  void PromoteReplica(GroupId, NodeId, MonoTime, UniqueFunction<void(Status)> done) override {
    done(absl::OkStatus());
  }
  void TransferLeadership(GroupId, NodeId target, MonoTime,
                          UniqueFunction<void(StatusOr<NodeId>)> done) override {
    done(target);
  }
  void TriggerSnapshot(GroupId, NodeId, MonoTime,
                       UniqueFunction<void(StatusOr<SnapshotTaken>)> done) override {
    done(SnapshotTaken{});
  }
  void RunVacuum(GroupId, MonoTime, UniqueFunction<void(StatusOr<VacuumReport>)> done) override {
    done(VacuumReport{});
  }
  void Stop(Duration, Closure done) override { done(); }
  void StateHash(
      GroupId,
      UniqueFunction<void(StatusOr<std::pair<raft::Index, std::uint64_t>>)> done) override {
    done(std::pair(raft::Index(0), std::uint64_t{0}));
  }

 private:
  FakeGateway gateway_;
  NoTransactions transactions_;
  mutable std::mutex mutex_;
  std::shared_ptr<const DirectoryImage> image_ = std::make_shared<const DirectoryImage>();
  std::map<WatchId, std::function<void()>> watchers_;
  WatchId last_watch_ = 0;
  std::uint64_t next_timestamp_ = 1000;
};

}  // namespace flotilla
