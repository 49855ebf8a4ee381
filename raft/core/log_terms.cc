#include "raft/core/log_terms.h"

#include <algorithm>

#include "base/check.h"

namespace flotilla::raft {

std::optional<Term> LogTerms::TermAt(Index index) const {
  if (index < start_ || index > last()) return std::nullopt;
  if (index == start_) return start_term_;
  // Nearly every question is about the newest term.
  if (index >= runs_.back().first) return runs_.back().term;
  auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                [](Index i, const Run& run) { return i < run.first; });
  return std::prev(after)->term;
}

void LogTerms::Append(Term term, std::uint32_t bytes) {
  CHECK_GE(term, last_term());
  const Index index = last().Next();
  if (runs_.empty() || runs_.back().term != term) runs_.push_back({index, term});
  totals_.push_back(TotalAt(last()) + bytes);
}

void LogTerms::TruncateFrom(Index index) {
  CHECK_GE(index, first());
  CHECK_LE(index, last().Next());
  totals_.resize(index - first());
  while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
}

void LogTerms::CompactTo(Index index) {
  CHECK_GE(index, start_);
  CHECK_LE(index, last());
  if (index == start_) return;
  start_term_ = *TermAt(index);
  start_total_ = TotalAt(index);
  totals_.erase(totals_.begin(), totals_.begin() + static_cast<std::ptrdiff_t>(index - start_));
  start_ = index;
  auto keep =
      std::find_if(runs_.begin(), runs_.end(), [&](const Run& run) { return run.first > index; });
  // The run that the new first entry is in may begin before it.
  if (!totals_.empty() && (keep == runs_.end() || keep->first > first())) {
    --keep;
    keep->first = first();
  }
  runs_.erase(runs_.begin(), keep);
}

void LogTerms::ResetTo(Index index, Term term) {
  start_ = index;
  start_term_ = term;
  start_total_ = 0;
  runs_.clear();
  totals_.clear();
}

Index LogTerms::LastNotAbove(Index limit, Term term) const {
  Index index = std::min(limit, last());
  if (index < start_) return index;
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first > index) continue;
    if (run->term <= term) return index;
    index = run->first.Previous();
  }
  return start_term_ <= term ? std::min(index, last()) : start_.Previous();
}

std::uint64_t LogTerms::BytesIn(IndexRange range) const {
  const Index from = std::max(range.first, first());
  const Index end = std::min(range.end, last().Next());
  if (from >= end) return 0;
  return TotalAt(end.Previous()) - TotalAt(from.Previous());
}

Index LogTerms::EndWithin(Index from, std::size_t bytes_max) const {
  CHECK_GE(from, first());
  CHECK_LE(from, last());
  const std::uint64_t limit = TotalAt(from.Previous()) + bytes_max;
  if (totals_.back() <= limit) return last().Next();
  auto begin = totals_.begin() + static_cast<std::ptrdiff_t>(from - first());
  auto end = std::upper_bound(begin, totals_.end(), limit);
  return std::max(from.Next(), first() + static_cast<std::uint64_t>(end - totals_.begin()));
}

}  // namespace flotilla::raft
