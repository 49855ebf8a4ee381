#include "raft/core/persist_queue.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace flotilla::raft {

void PersistQueue::TruncateFrom(Index index) {
  while (!entries_.empty() && entries_.back().index >= index) entries_.pop_back();
  durable_ = std::min(durable_, index.Previous());
}

void PersistQueue::ResetTo(Index index) {
  CHECK(entries_.empty());
  durable_ = index;
}

std::optional<PersistBatch> PersistQueue::Take(const HardState& now) {
  if (!wanted()) return std::nullopt;
  PersistBatch batch;
  batch.token.sequence = ++taken_;
  if (!entries_.empty()) {
    batch.token.last_term = entries_.back().term;
    batch.token.last_index = entries_.back().index;
    batch.entries = std::move(entries_);
    entries_.clear();
    under_way_.push_back(batch.token);
  }
  if (hard_state_changed_) hard_state_sequence_ = taken_;
  hard_state_changed_ = false;
  if (now != emitted_) {
    batch.hard_state = now;
    emitted_ = now;
  }
  return batch;
}

void PersistQueue::Completed(const PersistToken& token, const LogTerms& log) {
  CHECK_LE(token.sequence, taken_);
  completed_ = std::max(completed_, token.sequence);
  while (!under_way_.empty() && under_way_.front().sequence <= token.sequence) {
    const PersistToken& done = under_way_.front();
    if (log.TermAt(done.last_index) == done.last_term) {
      durable_ = std::max(durable_, done.last_index);
    } else if (Planted(Plant::kOldCompletionConfirms) && done.last_index <= log.last()) {
      // Going by the index alone, it seems to be the newest.
      durable_ = std::max(durable_, done.last_index);
      completed_ = taken_;
    }
    under_way_.pop_front();
  }
}

}  // namespace flotilla::raft
