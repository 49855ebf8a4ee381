// Which of a group's tables the collector takes next: a function from what there is to a slice.
//
// A pass goes over the tables once: first those of level 0, which all may overlap, into the level
// below; then, in the order of keys, those of the others with whatever overlaps them, into the
// last. All versions of a key that lie beneath one of the slice are in the slice then, so that
// its tombstones may go: also where a level's neighbouring tables share a key's versions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kv/version_counts.h"

namespace flotilla::kv {

struct VersionTable {
  std::uint64_t number = 0;
  int level = 0;
  // The first encoded key, and the last version key: so that tables overlap which share a key.
  std::string first;
  std::string last;
  std::uint64_t bytes = 0;
  bool busy = false;  // a compaction has it
  VersionCounts counts;
};

struct VacuumRules {
  Timestamp safe_point;
  Timestamp tombstone_point;
  // Tables are taken of whose versions so much may go, from 0 to 1.
  double fraction_min = 0;
  // All are taken from which anything may go, and those of different levels that overlap: what
  // supersedes each other there is in no count.
  bool thorough = false;
  int base_level = 0;  // where level 0 is compacted into
  int last_level = 0;
};

// How far a pass has come.
struct VacuumCursor {
  bool level0_done = false;
  std::string from;  // after the last key of the slice before
};

struct VacuumSlice {
  std::vector<std::uint64_t> tables;
  int output_level = 0;
  std::uint64_t bytes = 0;
  // Nothing of what the slice holds lies beneath it.
  bool complete = false;
  VacuumCursor after;
};

// Versions that may go.
std::uint64_t DueVersions(const VersionCounts& counts, Timestamp safe_point,
                          Timestamp tombstone_point);

// Nothing: the pass is over. Tables that are busy are left to who has them.
std::optional<VacuumSlice> PlanSlice(const std::vector<VersionTable>& tables,
                                     const VacuumCursor& cursor, const VacuumRules& rules);

}  // namespace flotilla::kv
