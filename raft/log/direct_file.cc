#include "raft/log/direct_file.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace flotilla::raft::log {
namespace {

// What a huge batch takes is given back.
constexpr std::size_t kBufferBytesKept = 4 << 20;
const rocksdb::IOOptions kIo;

}  // namespace

void DirectFile::Free::operator()(char* memory) const { std::free(memory); }

std::unique_ptr<DirectFile> DirectFile::Open(rocksdb::FileSystem& files, const std::string& path,
                                             std::string_view first_sector) {
  rocksdb::FileOptions options;
  options.use_direct_writes = true;
  std::unique_ptr<rocksdb::FSWritableFile> opened;
  // "Reuse" is what opens a file for writing without emptying it.
  if (!files.ReuseWritableFile(path, path, options, &opened, nullptr).ok() ||
      !opened->use_direct_io()) {
    return nullptr;
  }
  std::unique_ptr<DirectFile> file(new DirectFile(std::move(opened)));
  return file->Write(0, first_sector).ok() ? std::move(file) : nullptr;
}

rocksdb::IOStatus DirectFile::Write(std::uint64_t offset, std::string_view bytes) {
  CHECK_EQ(offset % kSectorBytes, 0u);
  CHECK_EQ(bytes.size() % kSectorBytes, 0u);
  if (bytes.size() > buffer_bytes_) {
    buffer_bytes_ = std::max(RoundUp(bytes.size(), kPageBytes), kBufferBytesKept / 4);
    buffer_.reset(static_cast<char*>(std::aligned_alloc(kPageBytes, buffer_bytes_)));
    CHECK(buffer_ != nullptr);
  }
  std::memcpy(buffer_.get(), bytes.data(), bytes.size());
  rocksdb::IOStatus status =
      file_->PositionedAppend(rocksdb::Slice(buffer_.get(), bytes.size()), offset, kIo, nullptr);
  if (buffer_bytes_ > kBufferBytesKept) {
    buffer_ = nullptr;
    buffer_bytes_ = 0;
  }
  return status;
}

rocksdb::IOStatus DirectFile::Sync() { return file_->Sync(kIo, nullptr); }

}  // namespace flotilla::raft::log
