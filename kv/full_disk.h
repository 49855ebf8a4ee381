// FullDiskEnv: RocksDB's environment, with a full disk as something that passes.
//
// RocksDB watches a disk without space in a thread of its own. The simulator has only one: there
// the same error reaches RocksDB as one that may be retried, and DB::Resume() goes on when the
// owner says so. Nor does it write files of options (lean_env.h).
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/status.h>

namespace flotilla::kv {

class FullDiskEnv final : public rocksdb::EnvWrapper {
 public:
  // `base` outlives it.
  explicit FullDiskEnv(rocksdb::Env* base);
  ~FullDiskEnv() override;

  rocksdb::Status FileExists(const std::string& path) override;
  const char* Name() const override { return "FlotillaFullDiskEnv"; }
};

// The disk was full, as RocksDB or a FullDiskEnv says it.
bool SaysDiskFull(const rocksdb::Status& status);

}  // namespace flotilla::kv
