#include "kv/memtable.h"

#include <new>
#include <optional>

#include "kv/memtable_tree.h"

namespace rocksdb {

// The one member that is needed of a class which RocksDB's library has and its headers only name.
class Arena {
 public:
  char* AllocateAligned(std::size_t bytes, std::size_t huge_page_size = 0,
                        Logger* logger = nullptr);
};

}  // namespace rocksdb

namespace flotilla::kv {
namespace {

class Memtable final : public rocksdb::MemTableRep {
 public:
  explicit Memtable(rocksdb::Allocator* allocator)
      : rocksdb::MemTableRep(allocator), tree_([this](std::size_t bytes) {
          char* memory = nullptr;
          MemTableRep::Allocate(bytes, &memory);
          return memory;
        }) {}

  void Insert(rocksdb::KeyHandle handle) override { InsertKey(handle); }
  bool InsertKey(rocksdb::KeyHandle handle) override {
    return tree_.Insert(static_cast<const char*>(handle));
  }
  bool InsertKeyWithHint(rocksdb::KeyHandle handle, void**) override { return InsertKey(handle); }
  bool Contains(const char* key) const override { return tree_.Contains(EntryKey::Of(key)); }
  // All of it comes from the allocator.
  std::size_t ApproximateMemoryUsage() override { return 0; }

  Iterator* GetIterator(rocksdb::Arena* arena) override {
    if (arena == nullptr) return new Rows(&tree_);
    return new (arena->AllocateAligned(sizeof(Rows))) Rows(&tree_);
  }
  // Without an arena it is MemTableRep::Get() that asks, which is done with the iterator when it
  // returns, and never deletes it (RocksDB 7.8).
  Iterator* GetDynamicPrefixIterator(rocksdb::Arena* arena) override {
    if (arena != nullptr) return GetIterator(arena);
    thread_local std::optional<Rows> rows;
    return &rows.emplace(&tree_);
  }

 private:
  class Rows final : public Iterator {
   public:
    explicit Rows(const MemtableTree* tree) : cursor_(tree) {}

    bool Valid() const override { return cursor_.valid(); }
    const char* key() const override { return cursor_.entry(); }
    void Next() override { cursor_.Next(); }
    void Prev() override { cursor_.Prev(); }
    void Seek(const rocksdb::Slice& internal, const char* entry) override {
      cursor_.Seek(KeyOf(internal, entry));
    }
    void SeekForPrev(const rocksdb::Slice& internal, const char* entry) override {
      cursor_.SeekForPrev(KeyOf(internal, entry));
    }
    void SeekToFirst() override { cursor_.SeekToFirst(); }
    void SeekToLast() override { cursor_.SeekToLast(); }

   private:
    static EntryKey KeyOf(const rocksdb::Slice& internal, const char* entry) {
      return entry != nullptr ? EntryKey::Of(entry)
                              : EntryKey::OfInternal({internal.data(), internal.size()});
    }

    MemtableCursor cursor_;
  };

  MemtableTree tree_;
};

}  // namespace

rocksdb::MemTableRep* MemtableFactory::CreateMemTableRep(const rocksdb::MemTableRep::KeyComparator&,
                                                         rocksdb::Allocator* allocator,
                                                         const rocksdb::SliceTransform*,
                                                         rocksdb::Logger*) {
  return new Memtable(allocator);
}

}  // namespace flotilla::kv
