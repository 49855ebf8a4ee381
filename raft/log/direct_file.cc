#include "raft/log/direct_file.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace flotilla::raft::log {
namespace {

// What a huge batch takes is given back.
constexpr std::size_t kBufferBytesKept = 4 << 20;
const rocksdb::IOOptions kIo;

}  // namespace

bool DirectFile::Works(rocksdb::FileSystem& files, const std::string& probe) {
  rocksdb::FileOptions options;
  options.use_direct_writes = true;
  std::unique_ptr<rocksdb::FSWritableFile> opened;
  bool works = files.NewWritableFile(probe, options, &opened, nullptr).ok();
  // A memory file system takes nothing less than a page; some devices neither.
  works = works && kSectorBytes % opened->GetRequiredBufferAlignment() == 0;
  if (works) {
    DirectFile file(std::move(opened));
    works = file.Write(kSectorBytes, std::string(kSectorBytes, '\0')).ok();
  }
  files.DeleteFile(probe, kIo, nullptr).PermitUncheckedError();
  return works;
}

std::unique_ptr<DirectFile> DirectFile::Open(rocksdb::FileSystem& files, const std::string& path) {
  rocksdb::FileOptions options;
  options.use_direct_writes = true;
  std::unique_ptr<rocksdb::FSWritableFile> opened;
  // "Reuse" is what opens a file for writing without emptying it.
  if (!files.ReuseWritableFile(path, path, options, &opened, nullptr).ok()) return nullptr;
  return std::unique_ptr<DirectFile>(new DirectFile(std::move(opened)));
}

rocksdb::IOStatus DirectFile::Write(std::uint64_t offset, std::string_view bytes) {
  CHECK_EQ(offset % kSectorBytes, 0u);
  CHECK_EQ(bytes.size() % kSectorBytes, 0u);
  if (bytes.size() > buffer_bytes_) {
    buffer_bytes_ = std::max(RoundUp(bytes.size(), kPageBytes), kBufferBytesKept / 4);
    buffer_ = AllocatePages(buffer_bytes_);
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
