// LogTerms: what a core remembers of its log: the term and the size of each entry, no payload.
//
// Terms are kept as runs (a log has few), sizes as running totals, so that every question below
// costs O(1) or a short binary search. Pure data; used by one core, on its strand.
//
//        start          first                                last
//          |  compacted   |                                    |
//   -------+--------------+------------------------------------+
//   snapshot / prefix     | runs: [first, term] [first, term] ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "raft/core/types.h"

namespace flotilla::raft {

class LogTerms {
 public:
  // An empty log that follows an entry (or snapshot) at `start`; (0, 0) for a whole one.
  LogTerms(Index start, Term start_term) : start_(start), start_term_(start_term) {}

  // What precedes the first entry: its term is known, its content is not.
  Index start() const { return start_; }
  Term start_term() const { return start_term_; }
  Index first() const { return start_.Next(); }
  // Equals start() when there is no entry.
  Index last() const { return start_ + totals_.size(); }
  Term last_term() const { return runs_.empty() ? start_term_ : runs_.back().term; }

  // The term of an index in [start, last]; nothing outside.
  std::optional<Term> TermAt(Index index) const;

  // Adds an entry after last(). Terms never fall.
  void Append(Term term, std::uint32_t bytes);
  // Drops `index` and everything after it; index in [first, last + 1].
  void TruncateFrom(Index index);
  // Forgets everything up to and including `index`, which is in [start, last].
  void CompactTo(Index index);
  // Forgets everything, to go on after `index`.
  void ResetTo(Index index, Term term);

  // The largest index in [start, min(limit, last)] whose term is not above `term`. When even the
  // start's term is above: the index before the start.
  Index LastNotAbove(Index limit, Term term) const;

  // Payload bytes of a range; the part of it outside [first, last] counts nothing.
  std::uint64_t BytesIn(IndexRange range) const;
  // The end of the longest run from `from` (in [first, last]) whose payloads fit `bytes_max`; at
  // least one entry.
  Index EndWithin(Index from, std::size_t bytes_max) const;

 private:
  struct Run {
    Index first;
    Term term;
  };

  // Bytes of all entries up to and including `index`, in [start, last], since an arbitrary origin.
  std::uint64_t TotalAt(Index index) const {
    return index == start_ ? start_total_ : totals_[index - start_ - 1];
  }

  Index start_;
  Term start_term_;
  std::uint64_t start_total_ = 0;
  std::vector<Run> runs_;
  std::deque<std::uint64_t> totals_;
};

}  // namespace flotilla::raft
