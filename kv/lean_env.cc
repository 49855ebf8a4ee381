#include "kv/lean_env.h"

#include <rocksdb/file_system.h>

#include <memory>
#include <string>

#include "kv/manifest_guard.h"

namespace flotilla::kv {
namespace {

class Files final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;

  const char* Name() const override { return "FlotillaLeanFiles"; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    // RocksDB goes on without it (fail_if_options_file_error is off).
    if (IsOptionsFile(path)) return rocksdb::IOStatus::NotSupported(path);
    return target()->NewWritableFile(path, options, file, debug);
  }
};

}  // namespace

bool IsOptionsFile(std::string_view path) { return path.find("/OPTIONS-") != path.npos; }

LeanEnv::LeanEnv(rocksdb::Env* base) : EnvWrapper(base) {
  file_system_ = std::make_shared<Files>(GuardManifest(base->GetFileSystem()));
  system_clock_ = base->GetSystemClock();
}

LeanEnv::~LeanEnv() = default;

}  // namespace flotilla::kv
