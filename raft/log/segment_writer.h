// SegmentWriter: the end of the log, where batches are written.
//
// Place in the picture: used by LogImpl on the writer strand alone. Knows the current segment, how
// far it is written and how far synced; goes over to the next one; makes spares.
//
// After an error of Write() or Sync() nothing may be written any more: what is on disk is unknown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "raft/log/format.h"
#include "raft/log/log_state.h"
#include "raft/log/recovery.h"
#include "raft/log/segment_files.h"

namespace flotilla::raft::log {

class SegmentWriter {
 public:
  SegmentWriter(SegmentFiles& files, LogState& state, const Clock& clock,
                const RecoveredTail& tail);

  // Bytes of records that the next batch may have in the current segment; 0 without one.
  std::size_t room() const;
  // Goes over to a new segment that has room for a batch of so many bytes of records, and tells
  // LogState of it. `fatal` tells errors that end the log from those of finding no space, after
  // which everything is as before.
  Status Roll(std::size_t record_bytes, bool& fatal);

  // Begin(), add records, then Write(). There must be room.
  BatchBuilder& Begin();
  // Appends the batch; durable on return when `sync`, or when it is the first of its segment.
  Status Write(std::uint64_t oldest_generation, bool sync, bool& synced);

  std::uint32_t generation() const { return static_cast<std::uint32_t>(position_.generation); }
  std::uint64_t end() const { return position_.offset; }
  // Nothing was written since the start.
  bool untouched() const { return file_ == nullptr; }

  // The summary of a segment that was left, to be written when there is time; nothing when none is
  // due.
  struct Sealed {
    std::uint64_t generation = 0;
    std::string summary;
  };
  std::optional<Sealed> TakeSealed();

 private:
  // For a segment that is left before anything was written to it.
  Status WriteHeaderAlone();
  rocksdb::IOStatus WriteAt(std::uint64_t offset, std::string_view bytes);
  Status Sync();
  // What is synced need not stay in the page cache: the newest entries are in the log's own.
  void ForgetPages();
  std::uint64_t NewSalt() const;

  SegmentFiles& files_;
  LogState& state_;
  const Clock& clock_;

  SegmentHandle file_;                  // none before the first Roll()
  std::unique_ptr<DirectFile> direct_;  // to the same file; none: through the page cache
  std::unique_ptr<rocksdb::FSRandomAccessFile> pages_;
  std::uint64_t forgotten_ = 0;  // of the segment, from its start
  std::string path_;
  std::uint32_t seed_ = 0;
  std::uint64_t file_bytes_ = 0;
  Position position_;   // where the next batch goes
  Position synced_;     // everything before is synced
  std::string header_;  // of a segment that has not been written yet
  std::uint64_t next_generation_;
  BatchBuilder builder_;
  std::string summary_;  // records of the segment, so far
  std::deque<Sealed> sealed_;
};

}  // namespace flotilla::raft::log
