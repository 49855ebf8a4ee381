// FakeGateway: keeps what was submitted until the test answers it, in whatever order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "shard/gateway.h"

namespace flotilla {

class FakeGateway final : public Gateway {
 public:
  struct Open {
    GatewayRequest request;
    std::shared_ptr<AnswerSink> sink;
  };

  void Submit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) override {
    std::lock_guard lock(mutex_);
    for (GatewayRequest& request : requests) open_.push_back({std::move(request), sink});
    ++submissions_;
    changed_.notify_all();
  }

  Timestamp Newest() const override { return newest; }
  Timestamp newest;

  std::optional<kv::KeyspaceId> FindKeyspace(std::string_view name) const override {
    std::lock_guard lock(mutex_);
    ++looks_;
    const auto found = keyspaces_.find(name);
    if (found == keyspaces_.end()) return std::nullopt;
    return found->second;
  }
  void RefreshKeyspaces(MonoTime deadline, UniqueFunction<void(Status)> done) override {
    std::lock_guard lock(mutex_);
    refreshes_.push_back({deadline, std::move(done)});
    changed_.notify_all();
  }
  void AddKeyspace(const std::string& name, std::uint32_t id) {
    std::lock_guard lock(mutex_);
    keyspaces_[name] = kv::KeyspaceId(id);
  }
  struct Refresh {
    MonoTime deadline;
    UniqueFunction<void(Status)> done;
  };
  // Waits for one, and takes it.
  Refresh TakeRefresh() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !refreshes_.empty(); });
    Refresh refresh = std::move(refreshes_.front());
    refreshes_.pop_front();
    return refresh;
  }
  std::size_t refreshes() const {
    std::lock_guard lock(mutex_);
    return refreshes_.size();
  }
  // How often a keyspace was looked for.
  std::size_t looks() const {
    std::lock_guard lock(mutex_);
    return looks_;
  }

  // Waits until so many are open, and takes all.
  std::vector<Open> Take(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_.size() >= count; });
    return std::exchange(open_, {});
  }
  std::size_t open() const {
    std::lock_guard lock(mutex_);
    return open_.size();
  }
  std::size_t submissions() const {
    std::lock_guard lock(mutex_);
    return submissions_;
  }

  template <class Result>
  static GatewayAnswer AnswerTo(const Open& open, Result result) {
    GatewayAnswer answer;
    answer.id = open.request.id;
    answer.result = std::move(result);
    answer.origin = {.group = GroupId(2), .node = NodeId(1), .timestamp = Timestamp(1)};
    return answer;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Open> open_;
  std::size_t submissions_ = 0;
  std::map<std::string, kv::KeyspaceId, std::less<>> keyspaces_{{"default", kv::kDefaultKeyspace}};
  mutable std::size_t looks_ = 0;
  std::deque<Refresh> refreshes_;
};

}  // namespace flotilla
