// RecordReader: fetches entries from segments, neighbours with one read, and verifies them.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "raft/log/log_state.h"

namespace flotilla::raft::log {

// For one batch of entries in the order in which they are asked for. Any thread; one at a time.
class RecordReader {
 public:
  // Reads the entry that the index says is in this segment. DATA_DAMAGED with file and offset when
  // it is not there. The payload shares a buffer with its neighbours'. `more` says how many bytes
  // beyond this record are likely to be asked for next.
  StatusOr<Entry> Read(const Segment& segment, const LocatedEntry& located, std::size_t more);

 private:
  std::shared_ptr<const std::string> buffer_;
  std::uint32_t generation_ = 0;
  std::uint64_t begin_ = 0;  // of the buffer in the segment
};

// How far behind each entry the run of its neighbours goes: entry i and what follows it in the same
// segment without large holes are covered by one read of runs[i] bytes beyond entry i's record.
std::vector<std::size_t> PlanRuns(const std::vector<LocatedEntry>& entries);

}  // namespace flotilla::raft::log
