// WriterFirstMutex: a shared mutex whose writer is not overtaken.
//
// With std::shared_mutex, readers that follow each other closely keep a writer out for as long as
// they come. Here a writer waits for those that were before it, and others wait for the writer. No
// reader may lock it twice. For std::shared_lock and std::unique_lock.
#pragma once

#include <atomic>
#include <mutex>
#include <shared_mutex>

namespace flotilla::kv {

class WriterFirstMutex {
 public:
  void lock() {
    turn_.lock();
    writer_.store(true);
    mutex_.lock();
  }
  void unlock() {
    mutex_.unlock();
    writer_.store(false);
    turn_.unlock();
  }
  void lock_shared() {
    if (writer_.load(std::memory_order_relaxed)) const std::lock_guard wait(turn_);
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  std::mutex turn_;
  std::atomic<bool> writer_{false};
  std::shared_mutex mutex_;
};

}  // namespace flotilla::kv
