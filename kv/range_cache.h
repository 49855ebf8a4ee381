// RangeCache: the newest rows of ranges that are scanned, ready to be answered.
//
// Purpose: a scan of keys with many versions steps over the old ones, in every memtable and file.
// What a scan has read stays here as pieces: the rows of a range, and the certainty that there are
// no others in it. Pieces are charged to RocksDB's block cache, by whose budget and order of use
// they go. TiKV's in-memory engine serves the same end.
//
// A write marks the pieces that it changes before it is visible in the database, and changes them
// after: in between they answer nobody. A fill that a write overtakes keeps what lies before the
// first key written: whoever has seen a new row never meets the old one again.
//
// Threads: Find and fills by any reader; BeginWrites and EndWrites by the one writer.
#pragma once

#include <rocksdb/cache.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace flotilla::kv {

class RangeCache {
 public:
  struct Row {
    std::string key;  // encoded
    Timestamp timestamp;
    std::string stored;  // as in `versions`
  };
  // In the order of keys.
  using Rows = std::vector<std::shared_ptr<const Row>>;

  // Null: keeps nothing.
  explicit RangeCache(std::shared_ptr<rocksdb::Cache> cache);
  ~RangeCache();
  RangeCache(const RangeCache&) = delete;
  RangeCache& operator=(const RangeCache&) = delete;

  // Some rows of a piece, in the order of the scan.
  struct Part {
    std::shared_ptr<const Rows> rows;
    std::size_t begin = 0;
    std::size_t end = 0;
    bool reverse = false;

    std::size_t size() const { return end - begin; }
    const Row& operator[](std::size_t i) const {
      return *(*rows)[reverse ? end - 1 - i : begin + i];
    }
  };
  struct Found {
    std::vector<Part> parts;  // in the order of the scan
    bool whole = false;       // these are all rows of the range
  };
  // The rows of [start, end), from its start on or backwards from its end: all, or at least
  // `rows_wanted`. As of one moment. Nothing: they are not all here.
  std::optional<Found> Find(std::string_view start, std::string_view end, bool reverse,
                            std::size_t rows_wanted);

  // A version that is written. The views stay until EndWrites.
  struct Write {
    std::string_view key;  // encoded
    Timestamp timestamp;
    std::string_view header;  // the stored value has two parts
    std::string_view value;
  };

  // What a reader gathers from before it opens an iterator until it keeps what it found.
  class Fill {
   public:
    Fill(RangeCache& cache, std::string_view start, std::string_view end, bool reverse);
    ~Fill();
    Fill(const Fill&) = delete;
    Fill& operator=(const Fill&) = delete;

    // The newest versions of the keys, in the order of the scan; of those that were deleted, none.
    void Add(std::string_view key, Timestamp timestamp, std::string_view stored);
    // There are no other rows from the start of the scan up to this key, without it; backwards,
    // from its end down to this key, with it. Once.
    void Keep(std::string_view reached);

   private:
    friend class RangeCache;
    // Nothing from `key` on, in the scan's direction, is kept.
    void Bound(std::string_view key);
    void BoundBy(const std::vector<Write>& writes);

    RangeCache& cache_;
    const bool reverse_;
    std::string start_;
    std::string end_;
    bool refused_ = false;  // guarded by the cache's mutex, as the range is
    Rows rows_;
  };

  // Whether the writer should gather what it writes.
  bool wants_writes() const { return wants_writes_.load(std::memory_order_relaxed); }
  // All that is about to become visible, in the order of keys, the newest version of a key first;
  // null: not gathered.
  void BeginWrites(const std::vector<Write>* writes);
  // It is visible, or did not happen.
  void EndWrites(bool visible);
  // The database was replaced. Nobody reads or writes meanwhile.
  void Forget();

 private:
  struct Piece {
    std::string start;
    std::string end;
    std::shared_ptr<const Rows> rows;
    std::size_t bytes = 0;
    std::size_t charged = 0;   // of them, in the block cache
    std::uint64_t number = 0;  // there
    // Set when the block cache has let go of it.
    std::shared_ptr<std::atomic<bool>> dropped;
    std::size_t writes_unread = 0;
    bool writing = false;

    bool Covers(std::string_view key) const { return start <= key && key < end; }
    bool usable() const { return !writing && !dropped->load(); }
  };
  using Pieces = std::map<std::string, std::shared_ptr<Piece>, std::less<>>;  // by their start
  struct Ticket;
  class Name;
  struct Touched {
    std::shared_ptr<Piece> piece;
    std::size_t begin = 0;  // in *writes_
    std::size_t end = 0;
  };

  // All with the mutex held.
  Pieces::iterator Covering(std::string_view key);
  void Insert(const std::string& start, const std::string& end, const Rows& rows);
  void InsertPiece(const std::string& start, const std::string& end, Rows rows);
  void MergeAround(std::string_view start, std::string_view end);
  void Rewrite(const Touched& touched);
  void Charge(Piece& piece);
  void Discharge(const Piece& piece);
  void Drop(const Piece& piece);
  // Takes out what the block cache has let go of.
  void Sweep();
  void Clear();
  void WantWrites();

  // It was used; without the mutex.
  void Touch(std::uint64_t number) const;
  static void Release(const rocksdb::Slice& name, void* ticket);

  const std::shared_ptr<rocksdb::Cache> cache_;
  const std::uint64_t id_;
  const std::shared_ptr<std::atomic<bool>> any_dropped_ =
      std::make_shared<std::atomic<bool>>(false);
  std::atomic<bool> wants_writes_{false};

  std::mutex mutex_;
  Pieces pieces_;
  std::vector<Fill*> fills_;
  std::uint64_t last_number_ = 0;
  // Between BeginWrites and EndWrites.
  bool writing_ = false;
  const std::vector<Write>* writes_ = nullptr;
  std::vector<Touched> touched_;
};

}  // namespace flotilla::kv
