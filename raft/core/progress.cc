#include "raft/core/progress.h"

#include <algorithm>

#include "base/check.h"

namespace flotilla::raft {

void Inflights::Add(Index last, std::size_t bytes) {
  if (count_ == ring_.size()) Grow();
  ring_[(head_ + count_) & (ring_.size() - 1)] = {last, bytes};
  ++count_;
  bytes_ += bytes;
}

void Inflights::FreeTo(Index index) {
  while (count_ > 0 && ring_[head_].last <= index) {
    bytes_ -= ring_[head_].bytes;
    head_ = (head_ + 1) & (ring_.size() - 1);
    --count_;
  }
}

void Inflights::Clear() {
  head_ = 0;
  count_ = 0;
  bytes_ = 0;
}

void Inflights::Grow() {
  std::vector<Request> larger(ring_.empty() ? 8 : ring_.size() * 2);
  for (std::size_t i = 0; i < count_; ++i) larger[i] = ring_[(head_ + i) & (ring_.size() - 1)];
  ring_ = std::move(larger);
  head_ = 0;
}

void Progress::BecomeProbe(Index next_index) {
  CHECK_GT(next_index, match);
  state = State::kProbe;
  next = next_index;
  probe_paused = false;
  empty_probe_due = false;
  inflights.Clear();
}

void Progress::BecomeReplicate() {
  state = State::kReplicate;
  next = match.Next();
  probe_paused = false;
  empty_probe_due = false;
  inflights.Clear();
}

void Progress::BecomeSnapshot() {
  state = State::kSnapshot;
  probe_paused = false;
  empty_probe_due = false;
  inflights.Clear();
}

bool Progress::OnAccepted(Index index) {
  inflights.FreeTo(index);
  if (index <= match) return false;
  match = index;
  next = std::max(next, index.Next());
  advanced = true;
  return true;
}

bool Progress::OnRejected(Index rejected, Index agreed) {
  // What matched once in this term matches for good.
  if (rejected <= match) return false;
  if (state == State::kSnapshot) return false;
  if (state == State::kProbe && rejected != next.Previous()) return false;
  if (state == State::kReplicate && rejected >= next) return false;
  BecomeProbe(std::max(match.Next(), std::min(rejected, agreed.Next())));
  return true;
}

}  // namespace flotilla::raft
