// The bodies of snapshot calls. All integers are varints unless said otherwise.
//
//   open   = id fixed64 | group | index | term | file count | (prefixed name | bytes)*
//   opened = offset per file, in the order of the request: what the receiver has already
//   part   = id fixed64 | group | index | term | file number | offset | crc32c fixed32 | prefixed
//   data
//            a file number equal to the file count, with no data: all parts are sent, make it
//            durable
//   reply to a part = empty
//   id = of the one checkpoint that is sent: two of the same index differ in their bytes
//   Every answer starts with one byte: 1, or 0 and a message for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "raft/core/types.h"
#include "raft/state_machine.h"

namespace flotilla::raft {

inline constexpr std::size_t kSnapshotFilesMax = 100'000;

struct SnapshotOpen {
  std::uint64_t id = 0;
  GroupId group;
  Index index;
  Term term;
  std::vector<SnapshotFile> files;
};

struct SnapshotPart {
  std::uint64_t id = 0;
  GroupId group;
  Index index;
  Term term;
  std::uint64_t file = 0;
  std::uint64_t offset = 0;
  std::string_view data;
};

std::string EncodeSnapshotOpen(const SnapshotOpen& open);
// BAD_REQUEST for anything that is not one, or that names a path outside its directory.
StatusOr<SnapshotOpen> DecodeSnapshotOpen(std::string_view body);

std::string EncodeSnapshotPart(const SnapshotPart& part);
// Verifies the checksum; the data views into `body`.
StatusOr<SnapshotPart> DecodeSnapshotPart(std::string_view body);

std::string EncodeSnapshotAnswer(const StatusOr<std::string>& result);
StatusOr<std::string> DecodeSnapshotAnswer(std::string_view body);

std::string EncodeOffsets(const std::vector<std::uint64_t>& offsets);
StatusOr<std::vector<std::uint64_t>> DecodeOffsets(std::string_view body, std::size_t count);

}  // namespace flotilla::raft
