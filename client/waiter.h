// Waiter: where a blocking call waits for its own callback. Internal.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "base/function.h"
#include "base/status.h"

namespace flotilla::client {

template <class T>
class Waiter {
 public:
  UniqueFunction<void(StatusOr<T>)> Done() {
    return [this](StatusOr<T> result) {
      std::lock_guard lock(mutex_);
      result_ = std::move(result);
      // Under the lock: the waiting thread destroys this object as soon as it may.
      done_.notify_one();
    };
  }

  StatusOr<T> Wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return result_.has_value(); });
    return *std::move(result_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::optional<StatusOr<T>> result_;
};

}  // namespace flotilla::client
