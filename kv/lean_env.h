// LeanEnv: RocksDB's environment without its files of options, which nobody reads here: writing
// and checking one takes RocksDB longer than all else that it does when it opens a database.
#pragma once

#include <rocksdb/env.h>

#include <string_view>

namespace flotilla::kv {

bool IsOptionsFile(std::string_view path);

class LeanEnv final : public rocksdb::EnvWrapper {
 public:
  // `base` outlives it.
  explicit LeanEnv(rocksdb::Env* base);
  ~LeanEnv() override;

  const char* Name() const override { return "FlotillaLeanEnv"; }
};

}  // namespace flotilla::kv
