#include "shard/batch_deadlines.h"

#include <algorithm>
#include <utility>

namespace flotilla {
namespace {

constexpr Duration kSlice = std::chrono::milliseconds(20);

std::int64_t SliceOf(MonoTime time) { return time.time_since_epoch() / kSlice; }

}  // namespace

BatchDeadlines::BatchDeadlines(const Clock* clock, Strand* strand, std::function<void()> on_expiry)
    : clock_(clock), strand_(strand), on_expiry_(std::move(on_expiry)) {}

void BatchDeadlines::Watch(const std::shared_ptr<PendingBatch>& batch, MonoTime deadline) {
  const std::int64_t slice = SliceOf(deadline) + 1;
  bool arm = false;
  {
    std::lock_guard lock(mutex_);
    batches_[slice].push_back(batch);
    arm = armed_slice_ == 0 || slice < armed_slice_;
    if (arm) armed_slice_ = slice;
  }
  if (arm) Arm(slice);
}

void BatchDeadlines::Arm(std::int64_t slice) {
  const Duration wait = std::max(Duration(0), MonoTime(kSlice * slice) - clock_->Now());
  strand_->After(wait, [this] { ExpireDue(); });
}

void BatchDeadlines::ExpireDue() {
  const MonoTime now = clock_->Now();
  std::vector<std::weak_ptr<PendingBatch>> due;
  std::int64_t next = 0;
  {
    std::lock_guard lock(mutex_);
    while (!batches_.empty() && batches_.begin()->first <= SliceOf(now)) {
      for (auto& batch : batches_.begin()->second) due.push_back(std::move(batch));
      batches_.erase(batches_.begin());
    }
    next = batches_.empty() ? 0 : batches_.begin()->first;
    armed_slice_ = next;
  }
  if (next != 0) Arm(next);
  for (const std::weak_ptr<PendingBatch>& weak : due) {
    const std::shared_ptr<PendingBatch> batch = weak.lock();
    if (!batch) continue;
    batch->Expire(now);
    if (const auto deadline = batch->NextDeadline()) Watch(batch, *deadline);
  }
  on_expiry_();
}

void BatchDeadlines::AbandonAll() {
  std::vector<std::weak_ptr<PendingBatch>> open;
  {
    std::lock_guard lock(mutex_);
    for (auto& [slice, batches] : batches_) open.insert(open.end(), batches.begin(), batches.end());
  }
  for (const std::weak_ptr<PendingBatch>& weak : open) {
    if (const std::shared_ptr<PendingBatch> batch = weak.lock()) batch->Abandon();
  }
}

}  // namespace flotilla
