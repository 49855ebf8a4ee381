// RocksDB's file errors as ours, for the log.
#pragma once

#include <fmt/format.h>
#include <rocksdb/io_status.h>

#include <string_view>

#include "base/status.h"

namespace flotilla::raft::log {

// OK, DISK_FULL when there is no space, INTERNAL otherwise. `what` names the attempt and the file.
inline Status FromIo(const rocksdb::IOStatus& status, std::string_view what) {
  if (status.ok()) return absl::OkStatus();
  const Reason reason = status.IsNoSpace() ? Reason::kDiskFull : Reason::kInternal;
  return Error(reason, fmt::format("{}: {}", what, status.ToString()));
}

// DATA_DAMAGED with file, offset and the way out.
inline Status Damaged(std::string_view file, std::uint64_t offset, std::string_view what) {
  return Error(
      Reason::kDataDamaged,
      fmt::format("the log is damaged in {} at offset {}: {}. This node does not go on with "
                  "it. If the other replicas are well, remove this node from the cluster, "
                  "move its data directory away and join it again; otherwise restore the "
                  "file from a copy of the disk",
                  file, offset, what),
      {{"file", std::string(file)}, {"offset", fmt::format("{}", offset)}});
}

}  // namespace flotilla::raft::log
