// The form of RocksDB's memtables for versions: see kv/memtable_tree.h.
#pragma once

#include <rocksdb/memtablerep.h>

namespace flotilla::kv {

// For column families with the default comparator (bytewise), written by one thread at a time
// (allow_concurrent_memtable_write off).
class MemtableFactory final : public rocksdb::MemTableRepFactory {
 public:
  const char* Name() const override { return "flotilla.Memtable"; }
  bool CanHandleDuplicatedKey() const override { return true; }

  using rocksdb::MemTableRepFactory::CreateMemTableRep;
  rocksdb::MemTableRep* CreateMemTableRep(const rocksdb::MemTableRep::KeyComparator& comparator,
                                          rocksdb::Allocator* allocator,
                                          const rocksdb::SliceTransform* prefix,
                                          rocksdb::Logger* logger) override;
};

}  // namespace flotilla::kv
