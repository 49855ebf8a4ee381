#include <spdlog/fmt/fmt.h>

#include "raft/group.h"

namespace flotilla::raft {

StatusOr<RestoredState> Reconcile(GroupId group, const RecoveredGroup& logged,
                                  const StateMachine& machine, bool& reset_log) {
  const SnapshotMark mark = machine.mark();
  reset_log = false;

  RestoredState restored;
  restored.hard_state = logged.hard_state;
  restored.applied = mark.index;
  restored.snapshot.configuration = mark.configuration;

  if (logged.start_index > mark.index) {
    return Error(Reason::kDataDamaged,
                 fmt::format("group {}: the log starts after index {}, but the state machine has "
                             "only what was applied up to index {}: part of the group's data "
                             "directory is missing; remove this node from the cluster, empty its "
                             "data directory and let it join again",
                             group.value(), logged.start_index.value(), mark.index.value()));
  }
  const Index last = logged.start_index + logged.entries.size();
  const auto term_at = [&](Index index) {
    return index == logged.start_index ? logged.start_term
                                       : logged.entries[index - logged.start_index - 1].term;
  };
  if (mark.index > last || term_at(mark.index) != mark.term) {
    // A snapshot was installed and the process ended before the log was reset to it.
    reset_log = true;
    restored.snapshot.index = mark.index;
    restored.snapshot.term = mark.term;
  } else {
    restored.snapshot.index = logged.start_index;
    restored.snapshot.term = logged.start_term;
    restored.log.reserve(logged.entries.size());
    for (const RecoveredGroup::Item& item : logged.entries) {
      restored.log.push_back({.term = item.term, .bytes = item.bytes});
    }
    restored.configurations = logged.configurations;
    // The state's configuration is one of the log's, and what was in force before is not known. Who
    // is a member in the first one there counts as one from there on.
    const bool changed =
        !logged.configurations.empty() && logged.configurations.front().first <= mark.index;
    if (changed) restored.snapshot.configuration = Configuration();
  }
  if (restored.hard_state.term < mark.term) {
    restored.hard_state.term = mark.term;
    restored.hard_state.vote = {};
    restored.hard_state.commit = {};
  }
  if (restored.hard_state.commit < mark.index) restored.hard_state.commit = mark.index;
  const Index restored_last = restored.snapshot.index + restored.log.size();
  if (restored.hard_state.commit > restored_last) {
    return Error(
        Reason::kDataDamaged,
        fmt::format("group {}: the log says that index {} is committed but ends at index "
                    "{}: remove this node from the cluster, empty its data directory and "
                    "let it join again",
                    group.value(), restored.hard_state.commit.value(), restored_last.value()));
  }
  return restored;
}

}  // namespace flotilla::raft
