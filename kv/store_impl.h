// StoreImpl: see kv/store.h. Internal to kv/.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/timestamp.h"
#include "kv/change_table.h"
#include "kv/database.h"
#include "kv/followed_rows.h"
#include "kv/range_cache.h"
#include "kv/row_cache.h"
#include "kv/sessions.h"
#include "kv/store.h"
#include "kv/txn/locks.h"
#include "kv/writer_first_mutex.h"

namespace flotilla::kv {

class Evaluator;

// Attempts at a read of one moment, while others write and transactions come and go.
inline constexpr int kMomentsMax = 8;

class StoreImpl final : public Store {
 public:
  StoreImpl(const StoreOptions& options, const StoreResources& resources);
  ~StoreImpl() override;

  // Finishes or undoes an interrupted install, then opens the database.
  Status OpenAll();

  // raft::StateMachine
  Status Apply(std::vector<raft::AppliedEntry>& entries) override;
  bool AppliesAtOnce(const std::vector<raft::Entry>& entries) const override;
  raft::Index applied() const override { return raft::Index(applied_.load()); }
  raft::Index durable() const override { return raft::Index(durable_.load()); }
  raft::SnapshotMark mark() const override;
  bool members_fixed() const override { return frozen_.load(); }
  void Flush(UniqueFunction<void(StatusOr<raft::Index>)> done) override;
  StatusOr<raft::SnapshotInfo> TakeSnapshot() override;
  void DropSnapshot(const raft::SnapshotInfo& snapshot) override;
  Status InstallSnapshot(const std::string& directory, const raft::SnapshotMark& mark) override;

  // Store
  StatusOr<std::vector<GetResult>> BatchGet(KeyspaceId keyspace,
                                            const std::vector<std::string_view>& keys,
                                            const GetRules& rules) override;
  StatusOr<ScanPage> Scan(const ScanRequest& request, InTheWay obstacle) override;
  StatusOr<AggregatePage> Aggregate(const AggregateRequest& request, InTheWay obstacle) override;
  StatusOr<HistoryPage> History(const HistoryRequest& request, InTheWay obstacle) override;
  StatusOr<std::vector<GetResult>> ProvisionalGet(
      KeyspaceId keyspace, const std::vector<std::string_view>& keys) override;
  StatusOr<ScanPage> ProvisionalScan(const ScanRequest& request) override;
  StatusOr<std::optional<TxnRecord>> Record(std::string_view anchor, TxnId txn) override;
  ShardRange range() const override;
  StatusOr<std::string> MiddleKey() override;
  ShardRange durable_range() const override;
  Timestamp last_timestamp() const override { return Timestamp(last_timestamp_.load()); }
  std::uint64_t next_expiry_ms() const override { return next_expiry_ms_.load(); }
  void SetLeading(bool leading) override;
  StatusOr<std::uint64_t> StateHash() override;
  StoreSizes Sizes() const override;
  StoreCounts Counts() const override;
  void MeasureSizes() override;
  VersionStats Versions() const override;
  Timestamp safe_point() const override { return Timestamp(safe_point_.load()); }
  Timestamp collects_up_to() const override { return Timestamp(collector_->safe_point.load()); }
  std::uint64_t retention_ms() const override {
    return retention_ms_.load(std::memory_order_relaxed);
  }
  StatusOr<bool> CollectSlice(VacuumPass& pass) override;
  void SetRetention(std::chrono::milliseconds retention) override {
    retention_ms_.store(static_cast<std::uint64_t>(retention.count()), std::memory_order_relaxed);
  }
  std::uint64_t unflushed_bytes() const override { return unflushed_.load(); }
  void RunBackgroundWork() override;
  const Locks& locks() const override { return locks_; }
  void OnUnlocked(std::function<void(TxnId)> listener) override {
    on_unlocked_ = std::move(listener);
  }

 private:
  struct Committed {
    std::uint64_t sequence = 0;  // of the database, afterwards
    std::uint64_t index = 0;     // of the log
    std::uint64_t safe_point = 0;
    std::uint64_t last_timestamp = 0;
  };
  struct FlushWait {
    std::uint64_t index;
    UniqueFunction<void(StatusOr<raft::Index>)> done;
  };

  // reads.cc; with the database's lock held.
  // What is read of one group's keys; `newest`: the largest timestamp that was met.
  StatusOr<std::vector<GetResult>> ReadKeys(const std::vector<std::string>& encoded,
                                            Timestamp as_of, Timestamp& newest);
  // What a read that does without transactions under way may see. Zero: the newest.
  Timestamp Settled(Timestamp as_of) const;
  // Of a read as of then; zero: as of now.
  std::uint64_t MillisecondsAt(Timestamp as_of) const {
    return MillisecondsOf(as_of ? as_of : last_timestamp());
  }
  // TIMESTAMP_TOO_OLD when versions that were visible then may be gone. To be called when the
  // iterator is there that reads them.
  Status CheckKept(Timestamp as_of) const;
  // Says where the damage is, if RocksDB did not.
  Status Located(const Status& status);

  // provisional.cc; with the database's lock held. Nothing: it is no intent any more.
  StatusOr<std::optional<RowChange>> ReadIntent(const Obstacle& intent);
  // Without a value: it is not there. Under the lock of the database.
  StatusOr<std::optional<RowChange>> ReadNewest(const std::string& encoded_key);

  // scan.cc; with the database's lock held.
  // By the kind of its keyspace.
  StatusOr<ScanPage> ScanAny(const ScanRequest& request);
  StatusOr<ScanPage> ScanRange(const ScanRequest& request);
  StatusOr<ScanPage> ScanSlots(const ScanRequest& request);
  StatusOr<ScanPage> ScanAround(const ScanRequest& request, InTheWay obstacle);

  // store_impl.cc
  Status OpenDatabase();
  // NOT_READY when there is no database. With its lock held, or on the apply strand.
  Status CheckOpen() const;
  Status LoadMeta();
  // The rest of what memory has of the state, as the database has it.
  StatusOr<raft::SnapshotMark> ReadState();
  // Applies entries from `committed` on, and moves it past those that are.
  Status ApplyFrom(std::vector<raft::AppliedEntry>& entries, std::size_t& committed);
  // The evaluator's effects, in one batch; and the range with the epoch that it has then.
  Status Commit(Evaluator& evaluator, const ShardRange& range, const raft::Entry& last);
  // Writes the batch, and the applied index with it.
  Status Write(rocksdb::WriteBatch& batch, const raft::Entry& last);
  // What follows once it is visible.
  Status Written(const rocksdb::WriteBatch& batch, const raft::Entry& last);
  // MeasureSizes() of a database that stays while it is measured.
  void MeasureDatabase();
  // PrepareForLoad() has something to do, which waits for the disk.
  bool MustPrepare() const;
  void PrepareForLoad();
  void NoteCommit(raft::Index index);
  // Whether it raises the epoch.
  bool NoteConfiguration(const raft::Entry& entry);
  Status RefreshNextExpiry();
  Status TellAllRows();
  // Asks for a flush; inline_background_work: unless there may be no room for it.
  Status RequestFlush();
  void OnFlushed(std::uint64_t sequence);
  void OnBackgroundError(const Status& status);

  // store_vacuum.cc
  // What was superseded longer ago than the retention, and before anybody reads, may go from now
  // on.
  void MoveSafePoint();
  // A state is on disk that had this safe point and last timestamp.
  void CollectUpTo(std::uint64_t safe_point, std::uint64_t last_timestamp);
  void MeasureVersions();
  // Once no slice is under way. With the database's lock, alone.
  void CloseDatabase();

  // split.cc
  // Applies one kControl entry, alone.
  Status ApplyControl(raft::AppliedEntry& applied);
  // Range and applied index, and the removal of what lies outside; and what `batch` has already.
  Status ChangeRange(const ShardRange& range, const raft::Entry& entry, rocksdb::WriteBatch& batch);
  // Whether this node is a member of the group, at this point of its log.
  bool IsMember() const;
  // The child's directory exists and is durable on return.
  Status MakeChild(GroupId child, const ShardRange& range);
  Status PrepareChild(const std::string& directory, const ShardRange& range);
  // A child, when it is opened for the first time: takes what is its own out of the checkpoint.
  Status FinishBirth();
  Status RemoveOutside(const ShardRange& range, rocksdb::WriteBatch& batch);
  Status LoadRange();
  // The range that the group was left with is durable, and files outside of it are still there.
  bool FilesMayGo() const { return shrunk_at_ && durable() >= shrunk_at_; }
  // Files of the database that hold nothing of the range go, once it is durable.
  void DropFilesOutside();

  // absorb.cc
  // Versions of the right group's keys are in the database on return; the rest is in the batch.
  Status TakeOver(const Absorb& absorb, rocksdb::WriteBatch& batch);
  // That it stands still as the command says. With its lock held.
  Status CheckFrozen(const Absorb& absorb) const;
  // Its versions as files in this directory.
  StatusOr<std::vector<std::string>> ExportVersions(const StoreImpl& right,
                                                    const std::string& directory) const;
  static Status CopyRows(const Database& from, rocksdb::ColumnFamilyHandle* from_family,
                         rocksdb::ColumnFamilyHandle* to_family, const rocksdb::Range& range,
                         rocksdb::WriteBatch& batch);

  // store_locks.cc
  // What memory has of locks, as the database has it.
  Status LoadLocks();
  // Adds the removal of those that lie outside the range to the batch.
  Status RemoveLocksOutside(const ShardRange& range, rocksdb::WriteBatch& batch);
  StatusOr<std::uint32_t> HashLocks() const;
  // Adds those of another group to the batch.
  Status CopyLocks(const StoreImpl& from, rocksdb::WriteBatch& batch) const;

  // snapshots.cc
  Status FinishInterruptedInstall();
  // Moves the received directory to where the database is; closes that, which is opened afterwards.
  Status PutInPlace(const std::string& directory);
  Status FlushNow();
  // With the lock of flushes: the database's files have everything up to the index, and the birth.
  bool IsFlushed(std::uint64_t index) const {
    return durable_.load() >= index && unflushed_birth_ == 0;
  }
  // Of the flushed state, in a directory that is to be made.
  Status Checkpoint(const std::string& directory);
  Status LinkFiles(const std::string& directory) const;
  // A directory and the directories in it.
  Status RemoveTree(const std::string& path) const;
  std::string DbPath() const { return options_.directory + "/db"; }
  Status SyncDirectory(const std::string& path) const;
  Status RemoveFlatDirectory(const std::string& path) const;
  bool Exists(const std::string& path) const;

  const StoreOptions options_;
  const StoreResources resources_;
  RowCache row_cache_;
  RangeCache range_cache_;
  const std::shared_ptr<CollectorState> collector_ = std::make_shared<CollectorState>();

  // Readers share it; the installation of a snapshot and a change of the range take it alone. An
  // installation that was cut short leaves no database.
  mutable WriterFirstMutex database_mutex_;
  std::shared_ptr<Database> database_;
  // Held while a slice of a vacuum is compacted; taken with the database's lock, and kept without.
  std::mutex slice_mutex_;
  ShardRange range_;

  std::once_flag damage_searched_;
  std::string damage_;

  // Apply strand.
  FollowedRows followed_;
  Sessions sessions_;
  Locks locks_;
  ChangeTable changes_;
  std::function<void(TxnId)> on_unlocked_;
  std::uint64_t snapshots_taken_ = 0;
  bool out_of_space_ = false;
  bool configuration_unwritten_ = false;
  bool leading_ = false;
  std::uint64_t written_bytes_ = 0;
  std::optional<bool> prepared_leading_;  // what the database has been prepared for
  raft::Index shrunk_at_;  // files outside the range are to be dropped once this is durable

  mutable std::mutex mark_mutex_;
  raft::SnapshotMark mark_;

  std::atomic<bool> frozen_{false};  // as range_ has it
  std::atomic<std::uint64_t> applied_{0};
  std::atomic<std::uint64_t> durable_{0};
  std::atomic<std::uint64_t> last_timestamp_{0};
  std::atomic<std::uint64_t> visible_timestamp_{0};  // of what has been written
  std::atomic<std::uint64_t> next_expiry_ms_{0};
  std::atomic<std::uint64_t> retention_ms_;
  // Reads as of a time below it are refused. The collector goes by what of it is on disk, so that a
  // crash leaves none behind who would serve what has gone.
  std::atomic<std::uint64_t> safe_point_{0};
  UnflushedBytes unflushed_;
  std::atomic<std::uint64_t> applied_commands_{0};
  std::atomic<std::uint64_t> session_count_{0};

  mutable std::mutex sizes_mutex_;
  StoreSizes sizes_;
  VersionStats versions_;

  mutable std::mutex flush_mutex_;
  std::deque<Committed> commits_;
  // The durable range, and those that have come after it, each with its index in the log.
  std::deque<std::pair<std::uint64_t, ShardRange>> ranges_;
  // The database's sequence number of a birth (split.cc) that is not on disk. A crash would have it
  // repeated, so that its index counts as durable; a copy of the files would not.
  std::uint64_t unflushed_birth_ = 0;
  std::vector<FlushWait> flush_waits_;
};

}  // namespace flotilla::kv
