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

namespace flotilla::raft::log {

class DirectFile {
 public:
  // Null when `path`, a file that exists, cannot be written to in such a way, whole sectors at a
  // time. Writes its first sector, which holds `first_sector`, once more to find out.
  static std::unique_ptr<DirectFile> Open(rocksdb::FileSystem& files, const std::string& path,
                                          std::string_view first_sector);

  // Both of them whole sectors.
  rocksdb::IOStatus Write(std::uint64_t offset, std::string_view bytes);
  rocksdb::IOStatus Sync();

 private:
  explicit DirectFile(std::unique_ptr<rocksdb::FSWritableFile> file) : file_(std::move(file)) {}

  struct Free {
    void operator()(char* memory) const;
  };

  const std::unique_ptr<rocksdb::FSWritableFile> file_;
  // The device reads from memory that begins with a page.
  std::unique_ptr<char, Free> buffer_;
  std::size_t buffer_bytes_ = 0;
};

}  // namespace flotilla::raft::log
