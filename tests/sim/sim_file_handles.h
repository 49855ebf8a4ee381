// Open files and directories of a SimFileSystem. Each forwards to it and holds only a position.
#pragma once

#include <rocksdb/file_system.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "tests/sim/sim_file_system.h"

namespace flotilla::sim {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

inline std::string_view ViewOf(const Slice& slice) { return {slice.data(), slice.size()}; }

class SimSequentialFile final : public rocksdb::FSSequentialFile {
 public:
  SimSequentialFile(SimFileSystem& files, SimFileSystem::Handle handle)
      : files_(files), handle_(std::move(handle)) {}

  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    IOStatus status = files_.HandleRead(handle_, position_, n, result, scratch);
    if (status.ok()) position_ += result->size();
    return status;
  }
  IOStatus Skip(uint64_t n) override {
    position_ += n;
    return IOStatus::OK();
  }
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }
  IOStatus PositionedRead(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                          IODebugContext*) override {
    return files_.HandleRead(handle_, offset, n, result, scratch);
  }

 private:
  SimFileSystem& files_;
  const SimFileSystem::Handle handle_;
  std::uint64_t position_ = 0;
};

class SimRandomAccessFile final : public rocksdb::FSRandomAccessFile {
 public:
  SimRandomAccessFile(SimFileSystem& files, SimFileSystem::Handle handle)
      : files_(files), handle_(std::move(handle)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return files_.HandleRead(handle_, offset, n, result, scratch);
  }
  IOStatus Prefetch(uint64_t, size_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

 private:
  SimFileSystem& files_;
  const SimFileSystem::Handle handle_;
};

class SimWritableFile final : public rocksdb::FSWritableFile {
 public:
  SimWritableFile(SimFileSystem& files, SimFileSystem::Handle handle, std::uint64_t position)
      : files_(files), handle_(std::move(handle)), position_(position) {}

  using FSWritableFile::Append;
  using FSWritableFile::PositionedAppend;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    IOStatus status = files_.HandleWrite(handle_, position_, ViewOf(data));
    if (status.ok()) position_ += data.size();
    return status;
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions&,
                            IODebugContext*) override {
    IOStatus status = files_.HandleWrite(handle_, offset, ViewOf(data));
    if (status.ok()) position_ = offset + data.size();
    return status;
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    IOStatus status = files_.HandleTruncate(handle_, size);
    if (status.ok()) position_ = size;
    return status;
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return files_.HandleSync(handle_); }
  // Makes nothing durable, like sync_file_range(2).
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return position_; }
  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }
  void PrepareWrite(size_t, size_t, const IOOptions&, IODebugContext*) override {}

 private:
  SimFileSystem& files_;
  const SimFileSystem::Handle handle_;
  std::uint64_t position_;
};

class SimRandomRWFile final : public rocksdb::FSRandomRWFile {
 public:
  SimRandomRWFile(SimFileSystem& files, SimFileSystem::Handle handle)
      : files_(files), handle_(std::move(handle)) {}

  IOStatus Write(uint64_t offset, const Slice& data, const IOOptions&, IODebugContext*) override {
    return files_.HandleWrite(handle_, offset, ViewOf(data));
  }
  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return files_.HandleRead(handle_, offset, n, result, scratch);
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return files_.HandleSync(handle_); }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  SimFileSystem& files_;
  const SimFileSystem::Handle handle_;
};

class SimDirectory final : public rocksdb::FSDirectory {
 public:
  SimDirectory(SimFileSystem& files, SimFileSystem::Handle handle)
      : files_(files), handle_(std::move(handle)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return files_.HandleSyncDirectory(handle_);
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  SimFileSystem& files_;
  const SimFileSystem::Handle handle_;
};

class SimFileLock final : public rocksdb::FileLock {
 public:
  SimFileLock(std::string path, std::uint64_t life) : path_(std::move(path)), life_(life) {}
  const std::string& path() const { return path_; }
  std::uint64_t life() const { return life_; }

 private:
  const std::string path_;
  const std::uint64_t life_;
};

// Drops everything.
class SimNullLogger final : public rocksdb::Logger {
 public:
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

}  // namespace flotilla::sim
