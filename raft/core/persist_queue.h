// PersistQueue: what must reach the disk, what is on its way there, and what is there.
//
// Entries and hard state gather until the driver takes them as one PersistBatch; its completion
// comes back by token. A completion confirms the last entry of its batch only while the log still
// has that very entry: one that is older than an overwrite confirms nothing.
//
// Pure bookkeeping; owned by one core.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "raft/core/log_terms.h"
#include "raft/core/ready.h"
#include "raft/core/types.h"

namespace flotilla::raft {

class PersistQueue {
 public:
  // At start-up all of the log is durable, and so is `hard_state`.
  PersistQueue(Index durable, const HardState& hard_state)
      : durable_(durable), emitted_(hard_state) {}

  // The log is durable up to here, in its present form.
  Index durable() const { return durable_; }
  // The newest term and vote are durable. While they are not, nothing that carries the term leaves.
  bool hard_state_durable() const {
    return !hard_state_changed_ && completed_ >= hard_state_sequence_;
  }
  // There is something to write; a mere commit index is not, it rides along.
  bool wanted() const { return hard_state_changed_ || !entries_.empty(); }
  bool has_entries() const { return !entries_.empty(); }

  void Append(Entry entry) { entries_.push_back(std::move(entry)); }
  // The log was cut before `index`.
  void TruncateFrom(Index index);
  // Term or vote changed.
  void HardStateChanged() { hard_state_changed_ = true; }
  // A snapshot at `index` took the place of the whole log.
  void ResetTo(Index index);

  // What gathered, as one batch; nothing unless wanted(). `now` is the present hard state.
  std::optional<PersistBatch> Take(const HardState& now);
  // The batch of `token` and all before it are durable.
  void Completed(const PersistToken& token, const LogTerms& log);

 private:
  Index durable_;
  HardState emitted_;  // the newest one given out
  bool hard_state_changed_ = false;
  std::uint64_t hard_state_sequence_ = 0;  // of the batch with the newest term and vote
  std::uint64_t taken_ = 0;                // sequence of the last batch given out
  std::uint64_t completed_ = 0;
  std::vector<Entry> entries_;
  std::deque<PersistToken> under_way_;  // those with entries
};

}  // namespace flotilla::raft
