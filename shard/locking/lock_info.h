// What a node tells people of locks and deadlocks.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "base/types.h"
#include "shard/locking/lock_request.h"
#include "shard/locking/wait_report.h"

namespace flotilla {

struct LockInfo {
  // kIntent, kChecked: of a transaction that is being committed, the first of its locks.
  enum class Kind : std::uint8_t { kShare, kUpdate, kIntent, kChecked };

  GroupId group;
  Kind kind = Kind::kUpdate;
  LockSpan span;
  LockOwner owner;  // of those that are being committed: without their coordinator
  Duration held{0};
  std::uint64_t waiting = 0;
};

struct FoundDeadlock {
  std::chrono::microseconds at{0};  // by the wall clock, since the epoch
  Deadlock deadlock;
};

}  // namespace flotilla
