// DirectFile: writes into a log segment past the page cache.
//
// Copying what is logged into pages that nobody reads again costs more than the rest of the write.
// Where the file system or the device does not allow it, the log writes through the cache instead.
#pragma once

#include <rocksdb/file_system.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "raft/log/format.h"
#include "raft/log/page_memory.h"

namespace flotilla::raft::log {

class DirectFile {
 public:
  // Whether files beside `probe`, which is made and deleted, can be written to in such a way, whole
  // sectors at a time.
  static bool Works(rocksdb::FileSystem& files, const std::string& probe);
  // Of a file that exists; null when it cannot be opened so.
  static std::unique_ptr<DirectFile> Open(rocksdb::FileSystem& files, const std::string& path);

  // Both of them whole sectors.
  rocksdb::IOStatus Write(std::uint64_t offset, std::string_view bytes);
  rocksdb::IOStatus Sync();

 private:
  explicit DirectFile(std::unique_ptr<rocksdb::FSWritableFile> file) : file_(std::move(file)) {}

  const std::unique_ptr<rocksdb::FSWritableFile> file_;
  PageMemory buffer_;
  std::size_t buffer_bytes_ = 0;
};

}  // namespace flotilla::raft::log
