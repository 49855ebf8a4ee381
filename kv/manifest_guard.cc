#include "kv/manifest_guard.h"

#include <atomic>
#include <string>
#include <string_view>
#include <utility>

#include "kv/noted_file.h"

namespace flotilla::kv {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

using Doubt = std::shared_ptr<std::atomic<bool>>;

bool IsManifest(std::string_view path) { return path.find("/MANIFEST-") != path.npos; }
bool IsCurrent(std::string_view path) { return path.ends_with("/CURRENT"); }
bool IsTable(std::string_view path) { return path.ends_with(".sst") || path.ends_with(".blob"); }

class Manifest final : public NotedFile {
 public:
  Manifest(std::unique_ptr<rocksdb::FSWritableFile>&& file, Doubt doubt)
      : NotedFile(std::move(file)), doubt_(std::move(doubt)) {}

 private:
  IOStatus Note(IOStatus done) override {
    if (!done.ok()) doubt_->store(true);
    return done;
  }

  const Doubt doubt_;
};

class Files final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;

  const char* Name() const override { return "FlotillaManifestGuard"; }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    IOStatus opened = target()->NewWritableFile(path, options, file, debug);
    if (opened.ok() && IsManifest(path)) {
      *file = std::make_unique<Manifest>(std::move(*file), doubt_);
    }
    return opened;
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    IOStatus renamed = target()->RenameFile(from, to, options, debug);
    if (renamed.ok() && IsCurrent(to)) doubt_->store(false);
    return renamed;
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    if (doubt_->load() && IsTable(path)) return IOStatus::OK();
    return target()->DeleteFile(path, options, debug);
  }

 private:
  const Doubt doubt_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> GuardManifest(std::shared_ptr<rocksdb::FileSystem> files) {
  return std::make_shared<Files>(std::move(files));
}

}  // namespace flotilla::kv
