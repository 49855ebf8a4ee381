// RowCache: the newest rows of keys that are read, ready to be answered.
//
// Purpose: a point read of a key with many versions, or one that lies in several files, costs
// microseconds of seeking; a row that was read before is one lookup. It lives in RocksDB's block
// cache, by whose budget and order of use it goes.
//
// A write takes its keys out before it is visible in the database, puts those back with their new
// rows that were there, and no reader puts one in that was read before the write was: whoever has
// seen the new row never meets the old one again. Every key belongs to one of a fixed number of
// slots, whose counts of writes begun and ended tell.
//
// Threads: Find, Begin and Keep by any reader; BeginWrite and EndWrite by the one writer.
#pragma once

#include <rocksdb/cache.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace flotilla::kv {

class RowCache {
 public:
  // Null: keeps nothing.
  explicit RowCache(std::shared_ptr<rocksdb::Cache> cache);
  ~RowCache();
  RowCache(const RowCache&) = delete;
  RowCache& operator=(const RowCache&) = delete;

  // Calls take(timestamp, stored value) if the key's newest row is here.
  template <class Take>
  bool Find(std::string_view encoded_key, Take take) {
    if (cache_ == nullptr) return false;
    rocksdb::Cache::Handle* const handle = cache_->Lookup(NameOf(encoded_key));
    if (handle == nullptr) return false;
    const auto& row = *static_cast<const Row*>(cache_->Value(handle));
    take(row.timestamp, std::string_view(row.value));
    cache_->Release(handle);
    return true;
  }

  // What a reader holds from before it looks into the database until it keeps what it found.
  using Token = std::uint64_t;
  Token Begin(std::string_view encoded_key) const;
  void Keep(std::string_view encoded_key, Token token, Timestamp timestamp, std::string_view value);

  // The key gets a new row, whose stored value has two parts; before that is visible.
  void BeginWrite(std::string_view encoded_key, Timestamp timestamp, std::string_view header,
                  std::string_view value);
  // All that has begun is visible now, or did not happen.
  void EndWrite(bool visible);
  // All rows become invalid: the database was replaced. Nobody reads or writes meanwhile.
  void Forget();

 private:
  struct Row {
    Timestamp timestamp;
    std::string value;
  };
  // A write that has begun; with the row that goes back in, if the key was here.
  struct Write {
    std::size_t slot;
    std::string key;
    std::unique_ptr<Row> row;
  };
  struct Slot {
    std::mutex mutex;
    std::atomic<std::uint32_t> begun = 0;
    std::atomic<std::uint32_t> ended = 0;
    bool used = false;  // some key of it was kept once; guarded by mutex
  };
  static constexpr std::size_t kSlots = 1024;

  rocksdb::Slice NameOf(std::string_view encoded_key) const;
  static std::size_t SlotOf(std::string_view encoded_key);
  static void Delete(const rocksdb::Slice& key, void* row);
  void Insert(std::string_view encoded_key, std::unique_ptr<Row> row);

  const std::shared_ptr<rocksdb::Cache> cache_;
  std::uint64_t id_ = 0;
  std::unique_ptr<std::array<Slot, kSlots>> slots_;
  std::vector<Write> writing_;
};

}  // namespace flotilla::kv
