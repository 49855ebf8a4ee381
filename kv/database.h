// Database: one group's RocksDB, opened the way this project uses it.
//
// Its own write-ahead log is off: the Raft log is the log. The column families flush atomically, so
// that the applied index on disk always fits the data on disk. Internal to kv/.
#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "kv/store.h"
#include "kv/vacuum_plan.h"

namespace flotilla::kv {

// Shared with the collector, which runs on RocksDB's threads.
struct CollectorState {
  // Versions superseded at or before this timestamp may go.
  std::atomic<std::uint64_t> safe_point{0};
  // Tombstones that nothing lies under may go up to this one.
  std::atomic<std::uint64_t> tombstone_point{0};
  // A slice of a vacuum is being compacted, under whose versions nothing lies.
  std::atomic<bool> slice_complete{false};
  std::atomic<std::uint64_t> collected{0};
};

// DISK_FULL unless so many bytes are free where `path` is.
Status CheckRoom(rocksdb::Env& env, const std::string& path, std::uint64_t bytes);

// A RocksDB error as ours: damage names the file and the way out.
Status FromRocks(const rocksdb::Status& status, std::string_view where);

// For iterators over the versions of one key at a time: bloom filters tell which files to leave
// out.
rocksdb::ReadOptions PointReads();
// Puts such an iterator on the version of a key that is visible as of a timestamp; zero: on the
// newest. False: there is none, or the iterator's status says what went wrong.
bool SeekVersion(rocksdb::Iterator& rows, std::string_view encoded_key, Timestamp as_of = {});

class Database {
 public:
  struct Callbacks {
    // What is written from here on is not in the flush. On RocksDB's threads.
    std::function<void()> on_flush_begun;
    // Everything written up to this sequence number is on disk. On RocksDB's threads.
    std::function<void(rocksdb::SequenceNumber)> on_flushed;
    std::function<void(Status)> on_background_error;
  };

  // What RocksDB says that it is at.
  struct Busy {
    // Families that slow writers down, or stop them.
    std::atomic<int> stalls{0};
    // It holds a lock while the directory is synced, which the next full memtable asks for.
    std::atomic<bool> flushing{false};
  };

  static StatusOr<std::unique_ptr<Database>> Open(const std::string& path,
                                                  const StoreOptions& options,
                                                  const StoreResources& resources,
                                                  std::shared_ptr<CollectorState> collector,
                                                  Callbacks callbacks);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  rocksdb::DB& db() const { return *db_; }
  // The way to go through rows. Rows of ranges that were removed are still seen, until compactions
  // have dropped them: see RemoveOutside().
  std::unique_ptr<rocksdb::Iterator> Iterate(rocksdb::ReadOptions options,
                                             rocksdb::ColumnFamilyHandle* family) const;
  rocksdb::ColumnFamilyHandle* versions() const { return versions_; }
  rocksdb::ColumnFamilyHandle* locks() const { return locks_; }
  rocksdb::ColumnFamilyHandle* meta() const { return meta_; }

  // DISK_FULL, with nothing written, from when a flush found no space until Resume() succeeded, and
  // while memtables are full that cannot be flushed.
  Status Write(rocksdb::WriteBatch& batch);
  // Flushes what could not be flushed for want of space; waits for it.
  Status Resume();
  // Asks for a flush of everything; never waits for it.
  Status RequestFlush();
  // Adds the removal of all versions of keys outside the range to the batch: compactions will drop
  // them. Iterators see them until then, and keep to the range.
  Status RemoveOutside(const ShardRange& range, rocksdb::WriteBatch& batch) const;
  // Deletes files that hold versions outside the range only, which must have been removed, or be
  // about to be. Best effort.
  void DropFilesOutside(const ShardRange& range);
  // Keys and bytes of the range, as part of what the files hold, which may have more.
  void CountWithin(const ShardRange& range, StoreSizes& sizes) const;
  // The files of `versions` with what is counted in them.
  StatusOr<std::vector<VersionTable>> Tables() const;
  int base_level() const;
  int last_level() const;
  // Compacts these in the calling thread. SHARD_BUSY: another compaction has some of them.
  Status Compact(const VacuumSlice& slice);
  // Compactions under way end soon; there are none from here on.
  void EndCompactions();
  // A write may have to wait for the disk now. Any thread.
  bool MayWait() const { return busy_->flushing.load() || busy_->stalls.load() > 0; }
  // Much is written from here on: further memtables get a bloom filter, which costs memory.
  // `reads`: and read as well, so that the blocks of a flush go into the block cache; the page
  // cache does not have them. Waits for the disk. Best effort.
  void PrepareForLoad(bool reads);

 private:
  Database() = default;
  StatusOr<bool> HasRows(rocksdb::ColumnFamilyHandle* family) const;

  std::unique_ptr<rocksdb::Env> env_;
  std::uint64_t table_bytes_max_ = 0;
  const std::shared_ptr<Busy> busy_ = std::make_shared<Busy>();
  // With inline_background_work, a writer that is stopped until memtables are flushed would wait
  // for itself.
  bool waits_for_space_ = true;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* versions_ = nullptr;
  rocksdb::ColumnFamilyHandle* locks_ = nullptr;
  rocksdb::ColumnFamilyHandle* meta_ = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
};

}  // namespace flotilla::kv
