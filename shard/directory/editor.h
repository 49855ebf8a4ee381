// DirectoryEditor: changes the directory, from any node.
//
// An edit is computed from this node's copy of the directory and proposed with the condition that
// the directory is still as that copy has it (Counters::edition, which every edit raises). If
// another edit came first, it is computed anew. Writes are numbered, so that one that was sent
// twice takes effect once.
//
// On the strand of the scope.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "base/clock.h"
#include "base/task.h"
#include "shard/directory/directory.h"
#include "shard/directory/edits.h"
#include "shard/gateway.h"

namespace flotilla {

class DirectoryEditor {
 public:
  // All outlive the editor.
  DirectoryEditor(Directory* directory, Gateway* gateway, const Clock* clock, TaskScope* scope,
                  ClientId id);

  // What is wanted of the directory; perhaps asked several times. An error ends the edit; an empty
  // edit means that all is as it should be.
  using Change = std::function<StatusOr<DirectoryEdit>(const DirectoryImage&)>;
  // OK once this node's copy has the change: the version from which on it is there. The error of
  // `change`, NO_QUORUM, DEADLINE_EXCEEDED; OUTCOME_UNKNOWN: perhaps.
  Task<StatusOr<Timestamp>> Edit(Change change, MonoTime deadline);

  // Until this node's copy has everything that was committed before the call. NO_QUORUM,
  // DEADLINE_EXCEEDED.
  Task<Status> Refresh(MonoTime deadline);

  // The copy has changed.
  void OnChange();
  // Ends every wait.
  void Stop();

 private:
  struct Waiter {
    Timestamp version;
    TimerId timer = 0;
    Completion<Status> done;
  };

  Task<GatewayAnswer> Ask(GatewayRequest request);
  Task<Status> Reach(Timestamp version, MonoTime deadline);
  void Expire(std::uint64_t waiter);

  Directory* const directory_;
  Gateway* const gateway_;
  const Clock* const clock_;
  TaskScope* const scope_;
  const ClientId id_;
  std::uint64_t sequence_ = 0;
  std::uint64_t next_waiter_ = 1;
  std::map<std::uint64_t, Waiter> waiters_;
  bool stopped_ = false;
};

}  // namespace flotilla
