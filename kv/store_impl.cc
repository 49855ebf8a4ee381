#include "kv/store_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/planted.h"
#include "kv/evaluator.h"
#include "kv/inline_env.h"
#include "kv/key_codec.h"
#include "kv/visible_rows.h"

namespace flotilla::kv {
namespace {

// In `meta`: index, term and last timestamp, fixed64 each; and the configuration behind its index.
constexpr char kAppliedKey[] = "applied";
constexpr char kConfigurationKey[] = "configuration";
// Written since the database was opened, or the leader changed: more is to be expected.
constexpr std::uint64_t kLoadBytes = 4 << 20;

}  // namespace

StatusOr<std::unique_ptr<Store>> Store::Open(const StoreOptions& options,
                                             const StoreResources& resources) {
  auto store = std::make_unique<StoreImpl>(options, resources);
  RETURN_IF_ERROR(store->OpenAll());
  return std::unique_ptr<Store>(std::move(store));
}

StoreImpl::StoreImpl(const StoreOptions& options, const StoreResources& resources)
    : options_(options),
      resources_(resources),
      row_cache_(resources.block_cache),
      range_cache_(resources.block_cache),
      followed_(options.followed),
      sessions_({.results_max = options.session_results_max,
                 .sessions_max = options.sessions_max,
                 .idle_ms_max = options.session_idle_ms_max}),
      retention_ms_(options.retention_ms),
      unflushed_(resources.unflushed_bytes) {}

StoreImpl::~StoreImpl() {
  // First, for its threads call OnFlushed.
  CloseDatabase();
  std::vector<FlushWait> waits;
  {
    std::lock_guard lock(flush_mutex_);
    waits.swap(flush_waits_);
  }
  for (FlushWait& wait : waits) {
    wait.done(Error(Reason::kNodeStopping, "the node is stopping"));
  }
}

Status StoreImpl::OpenAll() {
  RETURN_IF_ERROR(
      FromRocks(resources_.env->CreateDirIfMissing(options_.directory), options_.directory));
  RETURN_IF_ERROR(FinishInterruptedInstall());
  RETURN_IF_ERROR(OpenDatabase());
  // RocksDB syncs what is in its directory, not the directory's own name.
  RETURN_IF_ERROR(SyncDirectory(options_.directory));
  RETURN_IF_ERROR(FinishBirth());
  return LoadMeta();
}

Status StoreImpl::OpenDatabase() {
  Database::Callbacks callbacks;
  // With inline_background_work, they are counted as flushed when that is asked for.
  callbacks.on_flush_begun = [this] {
    if (!options_.inline_background_work) unflushed_.Clear();
  };
  callbacks.on_flushed = [this](rocksdb::SequenceNumber sequence) { OnFlushed(sequence); };
  callbacks.on_background_error = [this](const Status& status) { OnBackgroundError(status); };
  // Of another state, if there was one. What this one keeps is yet to be read from it, and RocksDB
  // may compact before.
  collector_->safe_point.store(0);
  ASSIGN_OR_RETURN(auto database, Database::Open(DbPath(), options_, resources_, collector_,
                                                 std::move(callbacks)));
  database_ = std::move(database);
  {
    std::lock_guard lock(flush_mutex_);
    unflushed_birth_ = 0;
  }
  written_bytes_ = 0;
  unflushed_.Clear();
  prepared_leading_.reset();
  RunBackgroundWork();
  return absl::OkStatus();
}

Status StoreImpl::LoadMeta() {
  RETURN_IF_ERROR(LoadRange());
  ASSIGN_OR_RETURN(const raft::SnapshotMark mark, ReadState());
  {
    std::lock_guard lock(flush_mutex_);
    commits_.clear();
    ranges_ = {{mark.index.value(), range_}};
  }
  applied_.store(mark.index.value());
  durable_.store(mark.index.value());
  CollectUpTo(safe_point_.load(), last_timestamp_.load());
  shrunk_at_ = mark.index;
  DropFilesOutside();
  MeasureDatabase();
  return TellAllRows();
}

Status StoreImpl::TellAllRows() {
  if (options_.listener == nullptr) return absl::OkStatus();
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  const std::unique_ptr<rocksdb::Iterator> rows =
      database_->Iterate(options, database_->versions());
  ASSIGN_OR_RETURN(std::vector<RowChange> all, followed_.ReadAll(*rows));
  options_.listener->OnAllRows(std::move(all), last_timestamp());
  return absl::OkStatus();
}

StatusOr<raft::SnapshotMark> StoreImpl::ReadState() {
  rocksdb::DB& db = database_->db();
  std::string text;
  raft::SnapshotMark mark;
  std::uint64_t last_timestamp = 0;
  std::uint64_t safe_point = 0;
  rocksdb::Status read = db.Get(rocksdb::ReadOptions(), database_->meta(), kAppliedKey, &text);
  if (!read.IsNotFound()) {
    RETURN_IF_ERROR(FromRocks(read, DbPath()));
    Reader reader(text);
    std::uint64_t index = 0;
    std::uint64_t term = 0;
    bool good = reader.Fixed64(index) && reader.Fixed64(term) && reader.Fixed64(last_timestamp);
    if (good && reader.empty()) {
      safe_point = last_timestamp;  // of an earlier format, which does not say what was kept
    } else {
      good = good && reader.Fixed64(safe_point);
    }
    if (!good) {
      return Error(Reason::kDataDamaged,
                   fmt::format("{}: the applied index is malformed", DbPath()));
    }
    mark.index = raft::Index(index);
    mark.term = raft::Term(term);
  }
  read = db.Get(rocksdb::ReadOptions(), database_->meta(), kConfigurationKey, &text);
  if (!read.IsNotFound()) {
    RETURN_IF_ERROR(FromRocks(read, DbPath()));
    if (!raft::DecodeConfiguration(text, mark.configuration)) {
      return Error(Reason::kDataDamaged,
                   fmt::format("{}: the configuration is malformed", DbPath()));
    }
  }
  changes_.Reset();
  if (!Planted(Plant::kSessionsForgotten)) RETURN_IF_ERROR(sessions_.Load(*database_));
  session_count_.store(sessions_.size());
  {
    std::lock_guard lock(mark_mutex_);
    mark_ = mark;
  }
  configuration_unwritten_ = false;
  last_timestamp_.store(last_timestamp);
  visible_timestamp_.store(last_timestamp);
  safe_point_.store(safe_point);
  RETURN_IF_ERROR(LoadLocks());
  RETURN_IF_ERROR(RefreshNextExpiry());
  return mark;
}

Status StoreImpl::RefreshNextExpiry() {
  if (range_.frozen) {
    next_expiry_ms_.store(0);
    return absl::OkStatus();
  }
  const std::unique_ptr<rocksdb::Iterator> rows =
      database_->Iterate(rocksdb::ReadOptions(), database_->meta());
  rows->Seek(rocksdb::Slice(&kExpiryPrefix, 1));
  std::uint64_t next = 0;
  if (rows->Valid() && rows->key().size() >= 9 && rows->key()[0] == kExpiryPrefix) {
    next = LoadOrdered64(rows->key().data() + 1);
  }
  next_expiry_ms_.store(next);
  return FromRocks(rows->status(), "reading the index of expiring keys");
}

Status StoreImpl::CheckOpen() const {
  if (database_) return absl::OkStatus();
  return Error(Reason::kNotReady,
               fmt::format("{}: a snapshot is taking the place of the state", DbPath()));
}

raft::SnapshotMark StoreImpl::mark() const {
  std::lock_guard lock(mark_mutex_);
  return mark_;
}

void StoreImpl::SetLeading(bool leading) {
  if (std::exchange(leading_, leading) == leading) return;
  written_bytes_ = 0;
}

// Most groups of many are idle, change their leaders together, and need no preparation.
bool StoreImpl::MustPrepare() const {
  return !options_.inline_background_work && written_bytes_ >= kLoadBytes &&
         prepared_leading_ != leading_;
}

void StoreImpl::PrepareForLoad() {
  if (!MustPrepare()) return;
  prepared_leading_ = leading_;
  database_->PrepareForLoad(leading_);
}

// ---- applying -------------------------------------------------------------------------------

Status StoreImpl::Apply(std::vector<raft::AppliedEntry>& entries) {
  RETURN_IF_ERROR(CheckOpen());
  if (out_of_space_) RETURN_IF_ERROR(database_->Resume());
  out_of_space_ = false;
  PrepareForLoad();
  // As RocksDB would, which stops writers that its flushes cannot keep up with.
  const bool too_much =
      options_.inline_background_work && unflushed_.load() > 4 * options_.memtable_bytes;
  if (too_much) RETURN_IF_ERROR(RequestFlush());
  DropFilesOutside();
  std::size_t committed = 0;
  Status status = ApplyFrom(entries, committed);
  entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(committed));
  RunBackgroundWork();
  if (status.ok() || ReasonOf(status) != Reason::kDiskFull) return status;
  // What memory has learned of commands that did not get into the database is forgotten.
  out_of_space_ = true;
  ASSIGN_OR_RETURN(const raft::SnapshotMark mark, ReadState());
  CHECK_EQ(mark.index.value(), applied_.load());
  return status;
}

bool StoreImpl::AppliesAtOnce(const std::vector<raft::Entry>& entries) const {
  // Where the disk's work is done by whoever asks for it, nobody knows how long that takes; what
  // others hear of the rows may take long as well.
  if (options_.inline_background_work || options_.listener != nullptr) return false;
  if (!database_ || out_of_space_ || range_.frozen || MustPrepare() || FilesMayGo() ||
      database_->MayWait()) {
    return false;
  }
  return std::all_of(entries.begin(), entries.end(), [&](const raft::Entry& entry) {
    return entry.kind == raft::EntryKind::kNoop ||
           (entry.kind == raft::EntryKind::kCommand &&
            Evaluator::ReadsNothing(entry.payload.view(), next_expiry_ms_.load()));
  });
}

Status StoreImpl::ApplyFrom(std::vector<raft::AppliedEntry>& entries, std::size_t& committed) {
  std::size_t bytes = 0;
  for (const raft::AppliedEntry& applied : entries) bytes += applied.entry.payload.size();
  std::vector<std::vector<WriteResult>> results(entries.size());
  while (committed < entries.size()) {
    if (entries[committed].entry.kind == raft::EntryKind::kControl) {
      RETURN_IF_ERROR(ApplyControl(entries[committed]));
      ++committed;
      continue;
    }
    std::size_t next = committed;
    // An absorption just before may have moved it.
    Timestamp timestamp = last_timestamp();
    ShardRange range = range_;
    Evaluator evaluator(*database_, {row_cache_, range_cache_, changes_}, range_, sessions_, locks_,
                        options_.listener != nullptr ? &followed_ : nullptr);
    evaluator.Reserve(bytes);
    for (; next < entries.size(); ++next) {
      const raft::Entry& entry = entries[next].entry;
      CHECK_EQ(entry.index.value(), applied_.load() + (next - committed) + 1);
      if (entry.kind == raft::EntryKind::kControl) break;
      if (entry.kind == raft::EntryKind::kConfiguration && NoteConfiguration(entry)) ++range.epoch;
      if (entry.kind != raft::EntryKind::kCommand) continue;
      if (range_.frozen) {
        RETURN_IF_ERROR(Evaluator::RefuseBatch(entry.payload.view(), results[next]));
        continue;
      }
      ASSIGN_OR_RETURN(const bool afresh,
                       evaluator.MustStartAfresh(entry.payload.view(), next_expiry_ms_.load()));
      if (afresh) break;
      RETURN_IF_ERROR(
          Located(evaluator.ApplyBatch(entry.payload.view(), results[next], timestamp)));
      sessions_.FinishEntry(timestamp, *database_, evaluator.batch());
      applied_commands_.fetch_add(results[next].size(), std::memory_order_relaxed);
      const std::uint64_t expiry = evaluator.earliest_expiry_ms();
      const std::uint64_t known = next_expiry_ms_.load();
      if (expiry != 0 && (known == 0 || expiry < known)) next_expiry_ms_.store(expiry);
    }
    last_timestamp_.store(timestamp.value());
    RETURN_IF_ERROR(Commit(evaluator, range, entries[next - 1].entry));
    for (; committed < next; ++committed) {
      if (!entries[committed].proposal) continue;
      static_cast<WriteProposal&>(*entries[committed].proposal)
          .Complete(std::move(results[committed]));
    }
  }
  return absl::OkStatus();
}

bool StoreImpl::NoteConfiguration(const raft::Entry& entry) {
  std::lock_guard lock(mark_mutex_);
  const raft::Configuration before = mark_.configuration;
  CHECK(raft::DecodeConfiguration(entry.payload.view(), mark_.configuration));
  configuration_unwritten_ = true;
  // What a group begins with is no change.
  return before != raft::Configuration() && before != mark_.configuration;
}

Status StoreImpl::Write(rocksdb::WriteBatch& batch, const raft::Entry& last) {
  std::string applied;
  AppendFixed64(applied, last.index.value());
  AppendFixed64(applied, last.term.value());
  AppendFixed64(applied, last_timestamp_.load());
  MoveSafePoint();
  AppendFixed64(applied, safe_point_.load());
  // Last in the batch: its family's flush then tells the sequence number of all of it.
  RETURN_IF_ERROR(FromRocks(batch.Put(database_->meta(), kAppliedKey, applied), "commit"));
  if (configuration_unwritten_) {
    RETURN_IF_ERROR(FromRocks(batch.Put(database_->meta(), kConfigurationKey,
                                        raft::EncodeConfiguration(mark().configuration)),
                              "commit"));
  }
  {
    std::lock_guard lock(mark_mutex_);
    mark_.index = last.index;
    mark_.term = last.term;
  }
  if (Planted(Plant::kAppliedBeforeEffects)) {
    rocksdb::WriteBatch early;
    RETURN_IF_ERROR(FromRocks(early.Put(database_->meta(), kAppliedKey, applied), "commit"));
    RETURN_IF_ERROR(database_->Write(early));
    if (last.index.value() % 16 == 0 && RequestFlush().ok()) RunBackgroundWork();
  }
  RETURN_IF_ERROR(database_->Write(batch));
  configuration_unwritten_ = false;
  return absl::OkStatus();
}

Status StoreImpl::Commit(Evaluator& evaluator, const ShardRange& range, const raft::Entry& last) {
  Status written = evaluator.Finish();
  if (written.ok() && range != range_) {
    written = FromRocks(
        evaluator.batch().Put(database_->meta(), kRangeKey, EncodeShardRange(range)), "commit");
  }
  if (written.ok()) written = Write(evaluator.batch(), last);
  row_cache_.EndWrite(written.ok());
  range_cache_.EndWrites(written.ok());
  std::vector<RowChange> followed = followed_.Take();
  RETURN_IF_ERROR(written);
  for (const TxnId txn : locks_.Publish()) {
    if (on_unlocked_) on_unlocked_(txn);
  }
  if (range != range_) {
    std::unique_lock lock(database_mutex_);
    range_ = range;
  }
  if (!followed.empty()) options_.listener->OnRows(std::move(followed), last_timestamp());
  RETURN_IF_ERROR(Written(evaluator.batch(), last));
  if (evaluator.expired_some()) return RefreshNextExpiry();
  return absl::OkStatus();
}

void StoreImpl::NoteCommit(raft::Index index) {
  std::lock_guard lock(flush_mutex_);
  commits_.push_back({.sequence = database_->db().GetLatestSequenceNumber(),
                      .index = index.value(),
                      .safe_point = safe_point_.load(),
                      .last_timestamp = last_timestamp_.load()});
  if (!ranges_.empty() && ranges_.back().second != range_) {
    ranges_.emplace_back(index.value(), range_);
  }
  // Bounded: neighbours may be merged, at the price of a durable index that lags a little.
  if (commits_.size() <= 100'000) return;
  std::deque<Committed> kept;
  for (std::size_t i = 1; i < commits_.size(); i += 2) kept.push_back(commits_[i]);
  commits_ = std::move(kept);
}

Status StoreImpl::Written(const rocksdb::WriteBatch& batch, const raft::Entry& last) {
  NoteCommit(last.index);
  visible_timestamp_.store(last_timestamp_.load());
  applied_.store(last.index.value());
  written_bytes_ += batch.GetDataSize();
  unflushed_.Add(batch.GetDataSize());
  if (options_.inline_background_work) {
    if (unflushed_.load() >= options_.memtable_bytes) {
      // The entry is applied all the same.
      const Status requested = RequestFlush();
      if (!requested.ok() && ReasonOf(requested) != Reason::kDiskFull) return requested;
      // Before the next commit: with a few memtables full, RocksDB would let that wait for ever.
      RunBackgroundWork();
    }
  }
  session_count_.store(sessions_.size());
  return absl::OkStatus();
}

// ---- durability -----------------------------------------------------------------------------

Status StoreImpl::RequestFlush() {
  if (options_.inline_background_work) {
    // A table takes more than its rows, and a manifest has to say so.
    constexpr std::uint64_t kOverheadBytes = 64 << 10;
    RETURN_IF_ERROR(CheckRoom(*resources_.env, DbPath(), 2 * unflushed_.load() + kOverheadBytes));
    RETURN_IF_ERROR(database_->Resume());
    unflushed_.Clear();
  }
  return database_->RequestFlush();
}

void StoreImpl::OnFlushed(std::uint64_t sequence) {
  std::vector<FlushWait> ready;
  std::uint64_t durable = 0;
  {
    std::lock_guard lock(flush_mutex_);
    durable = durable_.load();
    while (!commits_.empty() && commits_.front().sequence <= sequence) {
      durable = std::max(durable, commits_.front().index);
      CollectUpTo(commits_.front().safe_point, commits_.front().last_timestamp);
      commits_.pop_front();
    }
    durable_.store(durable);
    if (sequence >= unflushed_birth_) unflushed_birth_ = 0;
    while (ranges_.size() > 1 && ranges_[1].first <= durable) ranges_.pop_front();
    std::vector<FlushWait> waiting;
    for (FlushWait& wait : flush_waits_) {
      (wait.index <= durable ? ready : waiting).push_back(std::move(wait));
    }
    flush_waits_ = std::move(waiting);
  }
  for (FlushWait& wait : ready) wait.done(raft::Index(durable));
}

void StoreImpl::OnBackgroundError(const Status& status) {
  std::vector<FlushWait> waits;
  {
    std::lock_guard lock(flush_mutex_);
    waits.swap(flush_waits_);
  }
  for (FlushWait& wait : waits) wait.done(status);
}

void StoreImpl::Flush(UniqueFunction<void(StatusOr<raft::Index>)> done) {
  std::shared_lock lock(database_mutex_);
  if (const Status open = CheckOpen(); !open.ok()) {
    done(open);
    return;
  }
  const std::uint64_t target = applied_.load();
  {
    std::unique_lock flush_lock(flush_mutex_);
    if (IsFlushed(target)) {
      flush_lock.unlock();
      done(raft::Index(durable_.load()));
      return;
    }
    flush_waits_.push_back({.index = target, .done = std::move(done)});
  }
  if (const Status requested = RequestFlush(); !requested.ok()) {
    OnBackgroundError(requested);
  }
  RunBackgroundWork();
}

void StoreImpl::RunBackgroundWork() {
  if (!options_.inline_background_work) return;
  static_cast<InlineEnv*>(resources_.env)->RunQueued();
}

// ---- looking in -----------------------------------------------------------------------------

StatusOr<std::uint64_t> StoreImpl::StateHash() {
  RETURN_IF_ERROR(CheckOpen());
  std::uint32_t crc = 0;
  std::uint64_t rows_count = 0;
  const std::uint64_t now_ms = MillisecondsOf(last_timestamp());
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  const std::unique_ptr<rocksdb::Iterator> rows =
      database_->Iterate(options, database_->versions());
  VisibleRows newest(*rows);
  // Beyond the range there may be what an absorption that was cut short has left.
  for (rows->Seek(range_.start); rows->Valid(); newest.Next()) {
    std::string_view encoded;
    Timestamp timestamp;
    VersionView version;
    if (!SplitVersionKey({rows->key().data(), rows->key().size()}, encoded, timestamp) ||
        !DecodeVersion({rows->value().data(), rows->value().size()}, version)) {
      return Error(Reason::kDataDamaged, fmt::format("{}: a version is malformed", DbPath()));
    }
    if (!range_.Contains(encoded)) break;
    if (!version.Exists(now_ms)) continue;
    ++rows_count;
    crc = ExtendCrc32c(crc, {rows->key().data(), rows->key().size()});
    crc = ExtendCrc32c(crc, {rows->value().data(), rows->value().size()});
  }
  RETURN_IF_ERROR(FromRocks(rows->status(), DbPath()));
  std::string rest;
  AppendPrefixed(rest, EncodeShardRange(range_));
  AppendFixed64(rest, sessions_.Hash());
  ASSIGN_OR_RETURN(const std::uint32_t locks, HashLocks());
  AppendFixed32(rest, locks);
  AppendFixed64(rest, last_timestamp_.load());
  AppendFixed64(rest, applied_.load());
  rest += raft::EncodeConfiguration(mark().configuration);
  crc = ExtendCrc32c(crc, rest);
  return static_cast<std::uint64_t>(crc) << 32 | (rows_count & 0xffffffff);
}

void StoreImpl::MeasureSizes() {
  std::shared_lock lock(database_mutex_);
  if (database_) MeasureDatabase();
}

void StoreImpl::MeasureDatabase() {
  StoreSizes sizes;
  rocksdb::DB& db = database_->db();
  db.GetIntProperty(database_->versions(), "rocksdb.estimate-num-keys", &sizes.keys_estimate);
  std::uint64_t blobs = 0;
  db.GetIntProperty(database_->versions(), "rocksdb.total-sst-files-size", &sizes.disk_bytes);
  db.GetIntProperty(database_->versions(), "rocksdb.total-blob-file-size", &blobs);
  sizes.disk_bytes += blobs;
  db.GetIntProperty(database_->versions(), "rocksdb.cur-size-all-mem-tables",
                    &sizes.memtable_bytes);
  // What RocksDB says depends on random heights in its skip lists: see MemtableBytes().
  if (options_.inline_background_work) sizes.memtable_bytes = unflushed_.load();
  database_->CountWithin(range_, sizes);
  MeasureVersions();
  std::lock_guard lock(sizes_mutex_);
  sizes_ = sizes;
}

StoreSizes StoreImpl::Sizes() const {
  std::lock_guard lock(sizes_mutex_);
  return sizes_;
}

StoreCounts StoreImpl::Counts() const {
  return {.versions_collected = collector_->collected.load(),
          .sessions = session_count_.load(),
          .applied_commands = applied_commands_.load(),
          .locks = locks_.count()};
}

}  // namespace flotilla::kv
