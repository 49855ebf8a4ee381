#include "kv/full_disk.h"

#include <rocksdb/file_system.h>

#include <memory>
#include <string>
#include <utility>

#include "kv/lean_env.h"
#include "kv/manifest_guard.h"
#include "kv/noted_file.h"

namespace flotilla::kv {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

constexpr char kNoRoom[] = "no space left on device";

IOStatus Soften(IOStatus status) {
  if (!status.IsNoSpace()) return status;
  IOStatus soft = IOStatus::IOError(kNoRoom, status.ToString());
  soft.SetRetryable(true);
  return soft;
}

class WritableFile final : public NotedFile {
 public:
  using NotedFile::NotedFile;

  IOStatus RangeSync(std::uint64_t offset, std::uint64_t bytes, const IOOptions& options,
                     IODebugContext* debug) override {
    return Soften(target()->RangeSync(offset, bytes, options, debug));
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    return Soften(target()->Close(options, debug));
  }

 private:
  IOStatus Note(IOStatus done) override { return Soften(std::move(done)); }
};

class Directory final : public rocksdb::FSDirectoryWrapper {
 public:
  using FSDirectoryWrapper::FSDirectoryWrapper;

  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Soften(FSDirectoryWrapper::Fsync(options, debug));
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& what) override {
    return Soften(FSDirectoryWrapper::FsyncWithDirOptions(options, debug, what));
  }
};

class Files final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;

  const char* Name() const override { return "FlotillaFullDiskFiles"; }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* file, IODebugContext* debug) override {
    if (IsOptionsFile(path)) return IOStatus::NotSupported(path);
    return Wrap(target()->NewWritableFile(path, options, file, debug), file);
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<FSWritableFile>* file,
                              IODebugContext* debug) override {
    return Wrap(target()->ReopenWritableFile(path, options, file, debug), file);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* directory,
                        IODebugContext* debug) override {
    const IOStatus opened = target()->NewDirectory(path, options, directory, debug);
    if (opened.ok()) *directory = std::make_unique<Directory>(std::move(*directory));
    return opened;
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    return Soften(target()->RenameFile(from, to, options, debug));
  }

 private:
  static IOStatus Wrap(IOStatus opened, std::unique_ptr<FSWritableFile>* file) {
    if (!opened.ok()) return Soften(std::move(opened));
    *file = std::make_unique<WritableFile>(std::move(*file));
    return opened;
  }
};

}  // namespace

FullDiskEnv::FullDiskEnv(rocksdb::Env* base) : EnvWrapper(base) {
  file_system_ = std::make_shared<Files>(GuardManifest(base->GetFileSystem()));
  system_clock_ = base->GetSystemClock();
}

FullDiskEnv::~FullDiskEnv() = default;

// RocksDB 7.8 asserts the wrong status when the archive of a log, of which we have none, cannot be
// looked for (WalManager::GetSortedWalFiles), and ends the process.
rocksdb::Status FullDiskEnv::FileExists(const std::string& path) {
  const rocksdb::Status exists = EnvWrapper::FileExists(path);
  return exists.IsIOError() && path.ends_with("/archive") ? rocksdb::Status::NotFound(path)
                                                          : exists;
}

bool SaysDiskFull(const rocksdb::Status& status) {
  return status.IsNoSpace() ||
         (status.IsIOError() && status.ToString().find(kNoRoom) != std::string::npos);
}

}  // namespace flotilla::kv
