// SegmentFiles: the files of the log's directory and their life.
//
// Place in the picture: every change of a name in the directory happens here, on the writer strand
// (or in Open()).
//
//   0000000012.log      segment 12
//   0000000007.spare    was segment 7, or was made ahead; the next segment is a renamed spare
//   0000000011.summary  what segment 11 holds, for a quick start (summary.h); may be missing or
//   torn
//   *.filling           being made: zeros are written to the end, so that appends later overwrite
//                       blocks that exist. Syncing those is cheaper than syncing a growing file.
//
// Invariants: a spare's new name is durable before its content is overwritten, so that a power cut
// never gives it its old name back with new content.
#pragma once

#include <rocksdb/file_system.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "raft/log/direct_file.h"

namespace flotilla::raft::log {

using SegmentHandle = std::shared_ptr<rocksdb::FSRandomRWFile>;

class SegmentFiles {
 public:
  // Segments of `segment_bytes` are recycled; others are deleted. `spares_max` bounds the spares.
  SegmentFiles(rocksdb::FileSystem& files, std::string directory, std::size_t segment_bytes,
               std::size_t spares_max, bool direct_io);
  ~SegmentFiles();

  // Makes the directory when it is absent, durably, and looks at what it holds. Removes unfinished
  // files and takes spares over. The generations of the segments found, ascending.
  StatusOr<std::vector<std::uint64_t>> OpenDirectory();

  std::string PathOf(std::uint64_t generation) const;
  // Opens a segment for reading and writing.
  StatusOr<SegmentHandle> OpenSegment(std::uint64_t generation);

  std::string SummaryPathOf(std::uint64_t generation) const;
  // An error leaves no summary behind. Not synced, but on its way to the disk.
  Status WriteSummary(std::uint64_t generation, std::string_view content);

  // A way to write to a segment past the page cache; null when there is none.
  std::unique_ptr<DirectFile> OpenDirect(const std::string& path);

  // A handle by which the pages of a segment are dropped from memory; none when it cannot be had.
  std::unique_ptr<rocksdb::FSRandomAccessFile> OpenToForget(const std::string& path);

  std::size_t spares() const { return spares_.size(); }
  // The highest generation that a spare was named for, or that was written into one under a name
  // which a power cut has taken back: not to be used again while they exist.
  StatusOr<std::uint64_t> NewestGenerationInSpares();

  // One step of making a spare: writes and syncs a slice of zeros. `ready` once it is a spare. An
  // error leaves no file behind; the next call begins anew.
  Status FillStep(std::size_t slice_bytes, bool& ready);

  struct NewSegment {
    std::string path;
    SegmentHandle file;
    std::uint64_t bytes = 0;
  };
  // Turns a spare into this segment; without one, or for more than segment_bytes, makes a file. The
  // name is not durable before SyncDirectory(). An error leaves the directory as it was, or with a
  // file that holds nothing.
  StatusOr<NewSegment> Create(std::uint64_t generation, std::size_t bytes);
  Status SyncDirectory();

  // Makes a spare of a segment, or deletes it when there are enough; durable on return. `file` is
  // the segment's handle, or none.
  Status Retire(std::uint64_t generation, std::uint64_t bytes, SegmentHandle file);

 private:
  struct Filling;
  // Spares stay open: going over to one must not fail for want of a descriptor.
  struct Spare {
    std::string path;
    SegmentHandle file;
  };

  std::string SparePath(std::string_view name) const;
  StatusOr<SegmentHandle> OpenFile(const std::string& path);
  Status WriteZeros(Filling& filling, std::size_t bytes_max);
  Status StartFilling(std::size_t bytes);
  Status AddSpare(const std::string& filled);
  StatusOr<SegmentHandle> MakeLarge(std::size_t bytes, const std::string& path);
  void Discard(const std::string& path);

  rocksdb::FileSystem& files_;
  const std::string directory_path_;
  const std::size_t segment_bytes_;
  const std::size_t spares_max_;
  bool direct_io_;  // asked for, and found to work
  std::unique_ptr<rocksdb::FSDirectory> directory_;
  std::deque<Spare> spares_;
  std::unique_ptr<Filling> filling_;
  std::uint64_t fillings_ = 0;  // for their names
};

}  // namespace flotilla::raft::log
