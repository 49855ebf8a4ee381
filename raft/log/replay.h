// Replay: the groups' state as the log's records, applied in order, leave it.
//
// Pure: no I/O. Recovery feeds it; so can a fuzzer. The log begins where recycling has got to, so
// a group's first records may be missing: what is still needed of them follows as copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "raft/core/types.h"
#include "raft/log/flat_queue.h"
#include "raft/log/format.h"
#include "raft/log/group_index.h"

namespace flotilla::raft::log {

struct ReplayedGroup {
  HardState hard_state;
  std::uint32_t hard_state_generation = 0;  // zero: none seen
  Index start;
  Term start_term;
  std::uint32_t start_generation = 0;  // zero: none seen
  Index first{1};                      // of items[0]
  FlatQueue<IndexItem> items;          // a generation of zero marks a gap
  std::map<Index, Configuration> configurations;

  Index last() const { return Index(first.value() + items.size() - 1); }
};

class Replay {
 public:
  // No log of this size holds more entries of a group than `entries_max`.
  explicit Replay(std::uint64_t entries_max) : entries_max_(entries_max) {}

  // False, with the reason in `what`: no sound log has this record here.
  bool Apply(const Record& record, std::uint32_t generation, std::uint32_t offset,
             std::string& what);

  // The first group that lacks an entry which it should have.
  struct Gap {
    GroupId group;
    Index index;
  };
  std::optional<Gap> FindGap() const;

  std::map<GroupId, ReplayedGroup>& groups() { return groups_; }

 private:
  bool ApplyEntry(ReplayedGroup& group, const Record& record, std::uint32_t generation,
                  std::uint32_t offset, std::string& what) const;
  bool PutEntry(ReplayedGroup& group, const Record& record, std::uint32_t generation,
                std::uint32_t offset) const;

  std::uint64_t entries_max_;
  std::map<GroupId, ReplayedGroup> groups_;
};

}  // namespace flotilla::raft::log
