// LogModel: what a log may hold after a crash, kept as plainly as possible.
//
// Per group it keeps the state after each write. What the log recovers must be one of these states,
// no older than the last acknowledged one, but for what is allowed to lag: the start (releases) and
// the commit index (lazy hard states).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/log/log.h"

namespace flotilla::raft {

class LogModel {
 public:
  // Each returns the number of the write within its group, for Acknowledge().
  std::uint64_t Write(const LogWrite& write);
  // The newest write was refused.
  void TakeBack(GroupId group);
  void Release(GroupId group, Index index);
  void Remove(GroupId group);
  void Acknowledge(GroupId group, std::uint64_t number);

  // Says what is wrong with what was recovered, or nothing. Reads every entry back. On success the
  // model goes on from what was recovered.
  std::optional<std::string> Check(const LogRecovery& recovery, Log& log);

  // The newest state, for generating writes.
  Index start(GroupId group) const { return Newest(group).released; }
  Index last(GroupId group) const;
  Term last_term(GroupId group) const;
  Term TermAt(GroupId group, Index index) const;
  HardState hard_state(GroupId group) const { return Newest(group).hard_state; }
  bool exists(GroupId group) const { return Newest(group).exists; }

 private:
  struct State {
    bool exists = false;
    HardState hard_state;
    std::uint64_t resets = 0;
    Index base;  // of the last reset
    Term base_term;
    Index released;
    std::map<Index, Entry> entries;  // from base + 1, released or not
  };
  struct Group {
    std::vector<State> states = {State()};
    std::uint64_t acknowledged = 0;
  };

  const State& Newest(GroupId group) const;
  // `later`: the newest state of the same life of the group, for what may have run ahead.
  std::optional<std::string> CheckState(const State& state, const State& later, GroupId group,
                                        const RecoveredGroup* recovered, Log& log) const;

  std::map<GroupId, Group> groups_;
};

}  // namespace flotilla::raft
