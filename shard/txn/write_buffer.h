// WriteBuffer: what a transaction has written and not committed, and its savepoints.
//
// Not shared between threads.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/request.h"
#include "shard/transactions.h"

namespace flotilla {

class WriteBuffer {
 public:
  struct Write {
    bool deletes = false;
    std::string value = {};
    std::uint64_t ttl_ms = 0;
  };
  using Key = std::pair<kv::KeyspaceId, std::string>;
  using Writes = std::map<Key, Write>;

  // BATCH_TOO_LARGE, KEY_TOO_LARGE, VALUE_TOO_LARGE, BAD_REQUEST; then it stays as it was.
  Status Add(std::vector<TxnMutation> mutations);
  Status SetSavepoint(const std::string& name);
  Status RollBackTo(const std::string& name);

  bool empty() const { return writes_.empty(); }
  std::size_t bytes() const { return bytes_; }
  const Writes& writes() const { return writes_; }
  Writes TakeWrites() { return std::move(writes_); }

  // What a read of the key finds; nothing: it was not written.
  std::optional<kv::GetResult> Find(kv::KeyspaceId keyspace, const std::string& key) const;
  // A page of what others have committed, as it is with these writes in it.
  void Overlay(const kv::ScanRequest& request, kv::ScanPage& page) const;

 private:
  void Set(const Key& key, std::optional<Write> write);

  Writes writes_;
  std::size_t bytes_ = 0;
  std::size_t undo_bytes_ = 0;
  // Since the first savepoint: what a key was before.
  std::vector<std::pair<Key, std::optional<Write>>> undo_;
  std::vector<std::pair<std::string, std::size_t>> savepoints_;  // by where `undo_` ended
};

}  // namespace flotilla
