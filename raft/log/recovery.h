// Recovery: reads the log at start-up, tells a torn tail from damage, and rebuilds the indexes.
//
//   newest segment ──previous_end──▶ the one before ──▶ ... ──▶ the oldest that is needed
//
// The newest segment is read first: its last batch says which is the oldest one needed. All others
// end exactly where their successor's header says, and were synced to there. Of those a sound
// summary (summary.h) is all that is read; what it leaves out is verified by whoever reads it. One
// without is read whole, and anything invalid in it is damage. In the newest, an invalid batch is
// damage when a later valid one calls its place synced, and otherwise the torn tail. Whatever
// follows a torn tail stays where it is, forever ignored, for the next segment's header will say
// where this one ended.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <string>

#include "base/status.h"
#include "raft/log/format.h"
#include "raft/log/log.h"
#include "raft/log/log_state.h"
#include "raft/log/segment_files.h"

namespace flotilla::raft::log {

// Where writing goes on.
struct RecoveredTail {
  Position end;                       // of what is valid; synced. Zero when there is nothing.
  std::uint64_t next_generation = 1;  // never used before
  std::uint64_t oldest_generation = 0;
  // Of the segment that ends there, if it ends well: the file's content.
  std::string summary;
};

// Fills `state`, which is new, and `recovery`. On DATA_DAMAGED no segment has been touched.
StatusOr<RecoveredTail> Recover(rocksdb::FileSystem& files, SegmentFiles& segments, LogState& state,
                                LogRecovery& recovery);

}  // namespace flotilla::raft::log
