#include "raft/core/configuration_tracker.h"

#include <iterator>

#include "base/check.h"

namespace flotilla::raft {

ConfigurationTracker::ConfigurationTracker(Index base_index, Configuration base,
                                           std::vector<std::pair<Index, Configuration>> entries) {
  history_.emplace_back(base_index, std::move(base));
  for (auto& [index, configuration] : entries) Append(index, std::move(configuration));
}

const Configuration& ConfigurationTracker::At(Index index) const {
  auto found = history_.rbegin();
  while (found->first > index && std::next(found) != history_.rend()) ++found;
  return found->second;
}

Index ConfigurationTracker::JoinedAt(NodeId node) const {
  auto from = history_.rbegin();
  while (std::next(from) != history_.rend() && std::next(from)->second.Contains(node)) ++from;
  return std::next(from) == history_.rend() ? Index() : from->first;
}

void ConfigurationTracker::Append(Index index, Configuration configuration) {
  CHECK_GT(index, history_.back().first);
  history_.emplace_back(index, std::move(configuration));
}

bool ConfigurationTracker::TruncateFrom(Index index) {
  const std::size_t before = history_.size();
  while (history_.size() > 1 && history_.back().first >= index) history_.pop_back();
  return history_.size() != before;
}

void ConfigurationTracker::CompactTo(Index index) {
  auto keep = history_.begin();
  while (std::next(keep) != history_.end() && std::next(keep)->first <= index) ++keep;
  history_.erase(history_.begin(), keep);
}

void ConfigurationTracker::ResetTo(Index index, Configuration configuration) {
  history_.clear();
  history_.emplace_back(index, std::move(configuration));
}

}  // namespace flotilla::raft
