// FakeGateway: keeps what was submitted until the test answers it, in whatever order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
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
};

}  // namespace flotilla
