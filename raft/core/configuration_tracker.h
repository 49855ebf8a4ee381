// ConfigurationTracker: which configuration is in force at which index of the log.
//
// The one in force is the last one in the log, committed or not (section 6); truncation brings the
// one before it back. Pure data; owned by one core.
#pragma once

#include <utility>
#include <vector>

#include "raft/core/types.h"

namespace flotilla::raft {

class ConfigurationTracker {
 public:
  // `base` is in force at the log's start; `entries`, ascending, come after it.
  ConfigurationTracker(Index base_index, Configuration base,
                       std::vector<std::pair<Index, Configuration>> entries);

  const Configuration& current() const { return history_.back().second; }
  // Where current() stands in the log; the base's index when it is no entry.
  Index index() const { return history_.back().first; }
  // In force before current(); itself when nothing older is known.
  const Configuration& previous() const {
    return history_.size() > 1 ? history_[history_.size() - 2].second : current();
  }
  // In force at `index`, which is not before the base.
  const Configuration& At(Index index) const;

  // Where a member of current() has become one, without a break since then; zero: at the base or
  // before.
  Index JoinedAt(NodeId node) const;

  void Append(Index index, Configuration configuration);
  // True when the configuration in force changed.
  bool TruncateFrom(Index index);
  void CompactTo(Index index);
  void ResetTo(Index index, Configuration configuration);

 private:
  // Never empty; the first is the base.
  std::vector<std::pair<Index, Configuration>> history_;
};

}  // namespace flotilla::raft
