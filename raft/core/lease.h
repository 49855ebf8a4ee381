// Lease: until when a leader may answer reads without asking anybody (thesis, 6.4.1).
//
// Counted from the moment that a round of heartbeats *left* which a quorum answered: each of those
// voters refuses other candidates for an election timeout after it arrived. Off unless
// CoreOptions::leases. Pure data; owned by a leading core.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace flotilla::raft {

class Lease {
 public:
  // A round of heartbeats leaves at this tick.
  void Sent(std::uint64_t round, std::uint64_t tick) { sent_.emplace_back(round, tick); }

  // A quorum answered this round or a later one.
  void ConfirmedTo(std::uint64_t round) {
    while (!sent_.empty() && sent_.front().first <= round) {
      start_ = sent_.front().second;
      sent_.pop_front();
    }
  }

  // The tick that counts as `now` began up to one tick ago, and so did the voter's; `span` ticks
  // must cover both.
  bool ValidAt(std::uint64_t now, double span) const {
    return start_.has_value() && !forfeited_ && static_cast<double>(now + 1 - *start_) <= span;
  }

  // Nothing that was confirmed so far counts any more.
  void Reset() {
    start_.reset();
    sent_.clear();
  }
  // For the rest of the term: a transfer lets its target skip the voters' refusal, however late.
  void Forfeit() { forfeited_ = true; }

 private:
  std::deque<std::pair<std::uint64_t, std::uint64_t>> sent_;  // round, tick; ascending
  std::optional<std::uint64_t> start_;
  bool forfeited_ = false;
};

}  // namespace flotilla::raft
