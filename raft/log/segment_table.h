// SegmentTable: which segments the log consists of, and how much of each is still needed.
//
// Place in the picture: the accounting beside the group indexes. Not thread-safe: guarded by
// LogState's mutex.
//
// A record is live while an index points at it. A segment without live records may still have to
// stay: what made its last record obsolete may not be durable yet. It is free once every write up
// to `hold_until` is.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "raft/log/format.h"

namespace flotilla::raft::log {

struct Segment {
  std::uint32_t generation = 0;
  std::string path;
  std::shared_ptr<rocksdb::FSRandomRWFile> file;
  std::uint32_t seed = 0;
  std::uint64_t bytes = 0;  // of the file
  std::uint64_t end = 0;    // of what is written

  std::uint64_t live_records = 0;
  std::uint64_t live_bytes = 0;
  // Live ones that will no longer be once lazy or pending changes have reached the disk.
  std::uint64_t obsolete_records = 0;
  std::uint64_t hold_until = 0;  // a sequence number of LogState
  int readers = 0;               // reads under way
};

class SegmentTable {
 public:
  using Map = std::map<std::uint32_t, Segment>;

  void Add(Segment segment);
  void Remove(std::uint32_t generation);
  // CHECKs that there is one.
  Segment& At(std::uint32_t generation);

  // A record of about `bytes` in this segment is live, or no longer.
  void Ref(std::uint32_t generation, std::uint64_t bytes);
  void Unref(std::uint32_t generation, std::uint64_t bytes, std::uint64_t hold_until) {
    UnrefMany(generation, 1, bytes, hold_until);
  }
  void UnrefMany(std::uint32_t generation, std::uint64_t records, std::uint64_t bytes,
                 std::uint64_t hold_until);
  // Of the live records, so many more (or fewer) only wait for something to reach the disk.
  void MarkObsolete(std::uint32_t generation, std::int64_t records);
  // A record there was obsolete before it was indexed.
  void Hold(std::uint32_t generation, std::uint64_t hold_until);

  // The oldest segment that is needed when everything up to `durable` is on disk. The newest one
  // always is. Zero when there are none.
  std::uint64_t OldestNeeded(std::uint64_t durable) const;

  const Map& segments() const { return segments_; }
  bool empty() const { return segments_.empty(); }
  // CHECK that the table is not empty.
  Segment& oldest();
  Segment& newest();

  std::uint64_t live_bytes() const { return live_bytes_; }
  // From the oldest segment on, live or not.
  std::uint64_t held_bytes() const;

 private:
  Map segments_;
  std::uint64_t live_bytes_ = 0;
  // Most lookups in a row are for the same one.
  Segment* last_ = nullptr;
};

}  // namespace flotilla::raft::log
