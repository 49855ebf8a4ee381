#include "raft/log/direct_file.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

namespace flotilla::raft::log {
namespace {

// A disk that takes writes of whole blocks only, as memory file systems and some devices do.
class BlockFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  BlockFile(std::unique_ptr<rocksdb::FSWritableFile> file, std::size_t block_bytes)
      : FSWritableFileOwnerWrapper(std::move(file)), block_bytes_(block_bytes) {}

  std::size_t GetRequiredBufferAlignment() const override { return block_bytes_; }

  rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t offset,
                                     const rocksdb::IOOptions& options,
                                     rocksdb::IODebugContext* debug) override {
    EXPECT_EQ(offset % block_bytes_, 0u);
    EXPECT_EQ(data.size() % block_bytes_, 0u);
    return target()->PositionedAppend(data, offset, options, debug);
  }

 private:
  const std::size_t block_bytes_;
};

class BlockDisk final : public rocksdb::FileSystemWrapper {
 public:
  explicit BlockDisk(std::size_t block_bytes)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), block_bytes_(block_bytes) {}

  static const char* kClassName() { return "BlockDisk"; }
  const char* Name() const override { return kClassName(); }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    // The wish for direct writes is not passed on: not every directory of a test can do them.
    rocksdb::FileOptions plain = options;
    plain.use_direct_writes = false;
    rocksdb::IOStatus status = target()->NewWritableFile(path, plain, file, debug);
    if (status.ok()) *file = std::make_unique<BlockFile>(std::move(*file), block_bytes_);
    return status;
  }

 private:
  const std::size_t block_bytes_;
};

std::string Probe() {
  return std::filesystem::path(::testing::TempDir()) / "flotilla-direct-probe";
}

TEST(DirectFile, WorksOnSectors) {
  BlockDisk disk(kSectorBytes);
  EXPECT_TRUE(DirectFile::Works(disk, Probe()));
  EXPECT_FALSE(std::filesystem::exists(Probe()));
}

TEST(DirectFile, IsNotUsedOnADiskThatTakesNothingLessThanAPage) {
  BlockDisk disk(kPageBytes);
  EXPECT_FALSE(DirectFile::Works(disk, Probe()));
  EXPECT_FALSE(std::filesystem::exists(Probe()));
}

}  // namespace
}  // namespace flotilla::raft::log
