// What a group's collector is to do next: a function from what is known of the group to a step.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "kv/store.h"

namespace flotilla {

struct VacuumOptions {
  // Without it only what somebody asks for is done, and what RocksDB's own compactions meet.
  bool automatic = true;
  // A group is vacuumed when so many versions may go, and so many for each one that is alive,
  std::uint64_t versions_min = 10'000;
  double fraction_min = 0.2;
  // or anything may go, and for so long nothing has.
  Duration age_max = std::chrono::hours(1);
  // For so long a transaction keeps what the retention does not; past it its reads fail.
  Duration hold_max = std::chrono::minutes(5);
  // A transaction must be heard of everywhere before anything that it reads may go: no version goes
  // sooner after it was superseded, whatever the retention.
  Duration unheard_max = std::chrono::seconds(10);
  // Slices of a group follow each other so much later, relative to what the last one took.
  double pause = 1.0;
};

struct VacuumSubject {
  kv::VersionStats versions;
  Timestamp safe_point;
  Timestamp collects_up_to;  // of it, what is on disk
  Timestamp last_timestamp;
  std::uint64_t retention_ms = 0;
  // Nobody reads as of a time before this; zero: that is not known.
  Timestamp oldest_reader;
  bool leads = false;
  Duration since_last_run{0};
};

enum class VacuumStep : std::uint8_t {
  kNothing,
  kCollect,   // where it is worth it
  kSweep,     // wherever anything may go
  kFlush,     // so that a later safe point is on disk
  kMoveTime,  // nothing else is written, and the safe point goes by what is
};

VacuumStep NextVacuumStep(const VacuumSubject& subject, const VacuumOptions& options,
                          std::uint64_t now_ms);

}  // namespace flotilla
