// BatchDeadlines: answers requests whose deadline has passed, for all batches of a gateway.
//
// Batches are looked at again in slices of time, so that many deadlines cost one timer.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "shard/pending_batch.h"

namespace flotilla {

class BatchDeadlines {
 public:
  // `strand` runs the timers; `on_expiry` follows each look. All outlive the object.
  BatchDeadlines(const Clock* clock, Strand* strand, std::function<void()> on_expiry);

  // Any thread.
  void Watch(const std::shared_ptr<PendingBatch>& batch, MonoTime deadline);
  // Answers everything that is open.
  void AbandonAll();

 private:
  void Arm(std::int64_t slice);
  void ExpireDue();

  const Clock* const clock_;
  Strand* const strand_;
  const std::function<void()> on_expiry_;

  std::mutex mutex_;
  // By the slice of time in which to look at the batch again.
  std::map<std::int64_t, std::vector<std::weak_ptr<PendingBatch>>> batches_;
  std::int64_t armed_slice_ = 0;  // 0: none
};

}  // namespace flotilla
