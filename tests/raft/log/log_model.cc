#include "tests/raft/log/log_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace flotilla::raft {

const LogModel::State& LogModel::Newest(GroupId group) const {
  static const State kNone;
  const auto found = groups_.find(group);
  return found == groups_.end() ? kNone : found->second.states.back();
}

Index LogModel::last(GroupId group) const {
  const State& state = Newest(group);
  const Index last = state.entries.empty() ? state.base : state.entries.rbegin()->first;
  return std::max(last, state.released);
}

Term LogModel::TermAt(GroupId group, Index index) const {
  const State& state = Newest(group);
  const auto found = state.entries.find(index);
  return found == state.entries.end() ? state.base_term : found->second.term;
}

Term LogModel::last_term(GroupId group) const { return TermAt(group, last(group)); }

std::uint64_t LogModel::Write(const LogWrite& write) {
  Group& group = groups_[write.group];
  State state = group.states.back();
  if (!state.exists) state = State();
  state.exists = true;
  if (write.reset_to.has_value()) {
    state.entries.clear();
    ++state.resets;
    state.base = write.reset_to->first;
    state.base_term = write.reset_to->second;
    state.released = state.base;
  }
  if (!write.entries.empty()) {
    state.entries.erase(state.entries.lower_bound(write.entries.front().index),
                        state.entries.end());
    for (const Entry& entry : write.entries) state.entries.emplace(entry.index, entry);
  }
  if (write.hard_state.has_value()) state.hard_state = *write.hard_state;
  group.states.push_back(std::move(state));
  return group.states.size() - 1;
}

void LogModel::TakeBack(GroupId group) { groups_[group].states.pop_back(); }

void LogModel::Release(GroupId group, Index index) {
  groups_[group].states.back().released = index;
}

void LogModel::Remove(GroupId group) { groups_[group].states.emplace_back(); }

void LogModel::Acknowledge(GroupId group, std::uint64_t number) {
  Group& found = groups_[group];
  CHECK_GE(number, found.acknowledged) << "completions are out of order";
  found.acknowledged = number;
}

std::optional<std::string> LogModel::CheckState(const State& state, const State& later,
                                                GroupId group, const RecoveredGroup* recovered,
                                                Log& log) const {
  if (!state.exists || recovered == nullptr) {
    if (!state.exists && recovered == nullptr) return std::nullopt;
    return state.exists ? "the group is missing" : "the group is back";
  }
  const HardState& hard_state = recovered->hard_state;
  if (hard_state.term != state.hard_state.term || hard_state.vote != state.hard_state.vote) {
    return "another term or vote";
  }
  if (hard_state.commit > std::max(state.hard_state.commit, later.hard_state.commit)) {
    return "a commit index that was never written";
  }
  const Index last = state.entries.empty() ? state.base : state.entries.rbegin()->first;
  const Index recovered_last = recovered->start_index + recovered->entries.size();
  if (recovered->start_index < state.base) return "a start before the reset";
  const Index released = std::max(state.released, later.released);
  if (recovered->start_index > std::max(state.base, released)) return "a start never released";
  if (recovered_last != std::max(last, recovered->start_index)) return "another last index";
  const auto at_start = state.entries.find(recovered->start_index);
  if (at_start != state.entries.end() && at_start->second.term != recovered->start_term) {
    return "another term at the start";
  }
  for (std::size_t i = 0; i < recovered->entries.size(); ++i) {
    const Entry& entry = state.entries.at(recovered->start_index + (i + 1));
    if (entry.term != recovered->entries[i].term) return "another term of an entry";
    if (entry.payload.size() != recovered->entries[i].bytes) return "another size of an entry";
  }
  for (Index i = recovered->start_index.Next(); i <= recovered_last;) {
    const auto read = log.Read(group, {i, recovered_last.Next()}, 4096);
    if (!read.ok()) return std::string(MessageOf(read.status()));
    for (const Entry& entry : *read) {
      if (!(entry == state.entries.at(i))) return "another entry than was written";
      ++i;
    }
  }
  return std::nullopt;
}

std::optional<std::string> LogModel::Check(const LogRecovery& recovery, Log& log) {
  for (const auto& [id, recovered] : recovery.groups) {
    if (!groups_.contains(id)) return fmt::format("group {} was never written", id.value());
  }
  for (auto& [id, group] : groups_) {
    const auto found = recovery.groups.find(id);
    const RecoveredGroup* recovered = found == recovery.groups.end() ? nullptr : &found->second;
    std::string why;
    std::optional<State> match;
    for (std::uint64_t i = group.states.size(); i-- > group.acknowledged && !match;) {
      const State& state = group.states[i];
      std::uint64_t later = i;
      while (later + 1 < group.states.size() && group.states[later + 1].exists &&
             group.states[later + 1].resets == state.resets) {
        ++later;
      }
      const auto wrong = CheckState(state, group.states[later], id, recovered, log);
      if (!wrong.has_value()) {
        match = group.states[i];
      } else {
        why += fmt::format("\n  as after its write {}: {}", i, *wrong);
      }
    }
    if (!match.has_value()) {
      return fmt::format("group {} is in none of the {} states that it may be in:{}", id.value(),
                         group.states.size() - group.acknowledged, why);
    }
    if (recovered != nullptr) {
      match->released = std::max(match->base, recovered->start_index);
      match->hard_state = recovered->hard_state;
    }
    group.states = {*std::move(match)};
    group.acknowledged = 0;
  }
  return std::nullopt;
}

}  // namespace flotilla::raft
