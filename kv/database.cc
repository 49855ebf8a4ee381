#include "kv/database.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/file_system.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/rate_limiter.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/timer_slack.h"
#include "kv/collector.h"
#include "kv/damage.h"
#include "kv/full_disk.h"
#include "kv/inline_env.h"
#include "kv/key_codec.h"
#include "kv/lean_env.h"
#include "kv/memtable.h"
#include "kv/version_counts.h"

namespace flotilla::kv {
namespace {

// A version key without its timestamp: what bloom filters and point reads go by.
class KeyWithoutTimestamp final : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "flotilla.KeyWithoutTimestamp"; }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override {
    return {key.data(), key.size() - kTimestampBytes};
  }
  bool InDomain(const rocksdb::Slice& key) const override {
    return key.size() > kTimestampBytes + kKeyspaceBytes;
  }
};

class Listener final : public rocksdb::EventListener {
 public:
  Listener(Database::Callbacks callbacks, std::shared_ptr<Database::Busy> busy)
      : callbacks_(std::move(callbacks)), busy_(std::move(busy)) {}

  void OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo&) override {
    busy_->flushing = true;
    callbacks_.on_flush_begun();
  }
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& info) override {
    busy_->flushing = false;
    callbacks_.on_flushed(info.largest_seqno);
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    busy_->flushing = false;
    callbacks_.on_background_error(FromRocks(*status, "a background job"));
  }
  void OnStallConditionsChanged(const rocksdb::WriteStallInfo& info) override {
    using rocksdb::WriteStallCondition;
    busy_->stalls += (info.condition.cur != WriteStallCondition::kNormal ? 1 : 0) -
                     (info.condition.prev != WriteStallCondition::kNormal ? 1 : 0);
  }

 private:
  const Database::Callbacks callbacks_;
  const std::shared_ptr<Database::Busy> busy_;
};

class NoLog final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

// Memtables of a family, of which one is written to and the others are flushed.
constexpr int kWriteBuffers = 4;

// Of memory for a memtable: what an idle group has of each kind of its own is counted in thousands.
constexpr std::size_t kArenaBlockBytes = 32 << 10;

// The size of a memtable at which RocksDB flushes by itself. What a memtable takes depends on the
// allocator and on random heights in its skip list: a simulated store flushes by its own count of
// bytes instead (StoreImpl::Commit), which repeats.
std::size_t MemtableBytes(const StoreOptions& options) {
  return options.inline_background_work ? 64 * options.memtable_bytes : options.memtable_bytes;
}

// Of a file, and so of most slices of a vacuum. RocksDB's own choice, with memtables of usual size.
std::uint64_t TableBytesMax(const StoreOptions& options) {
  return std::max<std::uint64_t>(2 * options.memtable_bytes, 256 << 10);
}

rocksdb::ColumnFamilyOptions SmallFamily(const StoreOptions& options,
                                         const StoreResources& resources) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = resources.block_cache;
  rocksdb::ColumnFamilyOptions family;
  family.arena_block_size = kArenaBlockBytes;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  family.memtable_factory = std::make_shared<MemtableFactory>();
  family.write_buffer_size = MemtableBytes(options);
  // All families flush together: this one must not stop writers before the large one would.
  family.max_write_buffer_number = kWriteBuffers;
  family.compression = rocksdb::kNoCompression;
  return family;
}

rocksdb::ColumnFamilyOptions VersionsFamily(const StoreOptions& options,
                                            const StoreResources& resources,
                                            std::shared_ptr<CollectorState> collector) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = resources.block_cache;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = false;
  table.block_size = 16 << 10;  // versions of a key stand together, and are read together
  table.cache_index_and_filter_blocks = false;
  rocksdb::ColumnFamilyOptions family;
  family.arena_block_size = kArenaBlockBytes;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  family.prefix_extractor = std::make_shared<KeyWithoutTimestamp>();
  family.memtable_factory = std::make_shared<MemtableFactory>();
  family.write_buffer_size = MemtableBytes(options);
  family.level_compaction_dynamic_level_bytes = true;
  // Writes are amplified by few, large compactions rather than many small ones.
  family.level0_file_num_compaction_trigger = 8;
  family.level0_slowdown_writes_trigger = 32;
  family.level0_stop_writes_trigger = 64;
  family.max_write_buffer_number = kWriteBuffers;
  family.max_bytes_for_level_base = 8 * options.memtable_bytes;
  family.target_file_size_base = TableBytesMax(options);
  family.compression_per_level = {rocksdb::kNoCompression,  rocksdb::kNoCompression,
                                  rocksdb::kLZ4Compression, rocksdb::kLZ4Compression,
                                  rocksdb::kLZ4Compression, rocksdb::kLZ4Compression,
                                  rocksdb::kLZ4Compression};
  family.enable_blob_files = true;
  family.min_blob_size = 64 << 10;
  family.enable_blob_garbage_collection = true;
  family.table_properties_collector_factories.push_back(std::make_shared<VersionCounterFactory>());
  // RocksDB would have every file compacted once a month: vacuums do that where there is something
  // to drop.
  family.periodic_compaction_seconds = 0;
  family.ttl = 0;
  family.compaction_filter_factory = std::make_shared<CollectorFactory>(std::move(collector));
  return family;
}

std::string TableName(std::uint64_t number) { return fmt::format("{:06}.sst", number); }

// Of a path; 0: it is none.
std::uint64_t TableNumber(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);
  std::uint64_t number = 0;
  for (const char digit : path.substr(0, path.find('.'))) {
    if (digit < '0' || digit > '9') return 0;
    number = 10 * number + static_cast<std::uint64_t>(digit - '0');
  }
  return number;
}

// Some file systems refuse it (older tmpfs, some overlays).
bool SupportsDirectIo(rocksdb::Env& env, const std::string& directory) {
  const std::string path = directory + "/direct-io-probe";
  rocksdb::EnvOptions direct;
  direct.use_direct_writes = true;
  std::unique_ptr<rocksdb::WritableFile> file;
  const bool opened =
      env.CreateDirIfMissing(directory).ok() && env.NewWritableFile(path, &file, direct).ok();
  file.reset();
  env.DeleteFile(path).PermitUncheckedError();
  return opened;
}

}  // namespace

Status FromRocks(const rocksdb::Status& status, std::string_view where) {
  if (status.ok()) return absl::OkStatus();
  // A file that another one names is part of the data.
  if (status.IsCorruption() || status.IsPathNotFound()) {
    return Error(Reason::kDataDamaged,
                 fmt::format("{}: {}; remove this node from the cluster, empty its data directory "
                             "and let it join again",
                             where, status.ToString()));
  }
  if (status.ToString().find("Too many open files") != std::string::npos) {
    return Error(Reason::kInternal,
                 fmt::format("{}: {}: raise the limit of open files (`ulimit -n`, or LimitNOFILE= "
                             "of the service)",
                             where, status.ToString()));
  }
  return Error(SaysDiskFull(status) ? Reason::kDiskFull : Reason::kInternal,
               fmt::format("{}: {}", where, status.ToString()));
}

rocksdb::ReadOptions PointReads() {
  rocksdb::ReadOptions options;
  options.prefix_same_as_start = true;
  return options;
}

bool SeekVersion(rocksdb::Iterator& rows, std::string_view encoded_key, Timestamp as_of) {
  std::string target(encoded_key);
  AppendVersionSuffix(target, as_of ? as_of : Timestamp(UINT64_MAX));
  rows.Seek(target);
  return rows.Valid() && rows.key().size() == target.size() &&
         rows.key().starts_with(rocksdb::Slice(encoded_key.data(), encoded_key.size()));
}

StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path,
                                                   const StoreOptions& options,
                                                   const StoreResources& resources,
                                                   std::shared_ptr<CollectorState> collector,
                                                   Callbacks callbacks) {
  rocksdb::DBOptions db_options;
  db_options.create_if_missing = true;
  db_options.create_missing_column_families = true;
  db_options.atomic_flush = true;
  db_options.avoid_flush_during_shutdown = true;  // the owner flushes when it wants to
  if (!options.inline_background_work) db_options.write_buffer_manager = resources.write_buffer;
  db_options.rate_limiter = resources.rate_limiter;
  db_options.allow_concurrent_memtable_write = false;  // one writer: the apply strand
  db_options.enable_write_thread_adaptive_yield = false;
  db_options.max_background_jobs = 2;
  db_options.max_file_opening_threads = 1;  // many databases are opened at one time
  db_options.table_cache_numshardbits = 0;  // tables stay open: nobody looks them up
  db_options.stats_dump_period_sec = 0;
  db_options.stats_persist_period_sec = 0;
  db_options.max_total_wal_size = 1 << 20;
  // Past the page cache: copying into pages that are fresh, and forgetting others for them, costs
  // more than the flush itself. What is read again is in the block cache.
  if (!options.inline_background_work && SupportsDirectIo(*resources.env, path)) {
    db_options.use_direct_reads = true;
    db_options.use_direct_io_for_flush_and_compaction = true;
  }
  db_options.info_log = std::make_shared<NoLog>();
  std::unique_ptr<Database> database(new Database());
  db_options.listeners.push_back(std::make_shared<Listener>(std::move(callbacks), database->busy_));
  if (options.inline_background_work) {
    database->env_ = std::make_unique<FullDiskEnv>(resources.env);
    database->waits_for_space_ = false;
    db_options.max_bgerror_resume_count = 0;
  } else {
    database->env_ = std::make_unique<LeanEnv>(resources.env);
  }
  db_options.env = database->env_.get();
  database->table_bytes_max_ = TableBytesMax(options);
  const std::vector<rocksdb::ColumnFamilyDescriptor> families{
      // Unused; but RocksDB resumes after a full disk only once the largest memtable would fit.
      {rocksdb::kDefaultColumnFamilyName, SmallFamily(options, resources)},
      {"versions", VersionsFamily(options, resources, std::move(collector))},
      {"locks", SmallFamily(options, resources)},
      {"meta", SmallFamily(options, resources)}};
  RETURN_IF_ERROR(CheckManifest(*resources.env, path));
  rocksdb::DB* db = nullptr;
  rocksdb::Status opened;
  {
    // RocksDB begins a thread here, which looks after every database every ten seconds: of a
    // thousand that is a hundred wake-ups a second, if it is exact.
    const CoarseTimers coarse(std::chrono::milliseconds(200));
    opened = rocksdb::DB::Open(db_options, path, families, &database->handles_, &db);
  }
  // What the files say fits nothing that we ever wrote.
  if (opened.IsNotFound() || opened.IsInvalidArgument() || opened.IsNotSupported()) {
    opened = rocksdb::Status::Corruption(opened.ToString());
  }
  if (const Status status = FromRocks(opened, path); !status.ok()) {
    return LacksPlace(status) ? Annotate(status, FindDamage(*resources.env, path)) : status;
  }
  database->db_.reset(db);
  database->versions_ = database->handles_[1];
  database->locks_ = database->handles_[2];
  database->meta_ = database->handles_[3];
  return database;
}

Database::~Database() {
  if (!db_) return;
  for (rocksdb::ColumnFamilyHandle* handle : handles_) {
    db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  }
  db_->Close().PermitUncheckedError();
}

std::unique_ptr<rocksdb::Iterator> Database::Iterate(rocksdb::ReadOptions options,
                                                     rocksdb::ColumnFamilyHandle* family) const {
  // RocksDB 7.8 (until 8.5.3, pull request 11782) steps over the first block of a table that is not
  // the first of its level without a word, if it cannot be read, unless range tombstones are
  // ignored. Compactions are not concerned.
  options.ignore_range_deletions = true;
  return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options, family));
}

Status Database::Write(rocksdb::WriteBatch& batch) {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  options.no_slowdown = !waits_for_space_;
  const rocksdb::Status written = db_->Write(options, &batch);
  if (!written.IsIncomplete()) return FromRocks(written, "writing to the state machine");
  return Error(Reason::kDiskFull,
               fmt::format("the memtables are full and cannot be flushed ({}): make space on the "
                           "disk, if it is full; it is tried again by itself",
                           written.ToString()));
}

Status CheckRoom(rocksdb::Env& env, const std::string& path, std::uint64_t bytes) {
  std::uint64_t free_bytes = 0;
  const rocksdb::IOStatus asked =
      env.GetFileSystem()->GetFreeSpace(path, rocksdb::IOOptions(), &free_bytes, nullptr);
  if (!asked.ok() || free_bytes >= bytes) return absl::OkStatus();
  return Error(Reason::kDiskFull,
               fmt::format("{}: {} bytes may be needed, and {} are free: make space; it is tried "
                           "again by itself",
                           path, bytes, free_bytes));
}

Status Database::Resume() {
  const rocksdb::Status resumed = db_->Resume();
  if (!resumed.IsBusy()) return FromRocks(resumed, "resuming after a full disk");
  // RocksDB is about to do so itself.
  return Error(Reason::kDiskFull, "the state machine waits for space on its disk");
}

Status Database::RequestFlush() {
  rocksdb::FlushOptions options;
  options.wait = false;
  options.allow_write_stall = true;
  return FromRocks(db_->Flush(options, {versions_, locks_, meta_}), "flushing the state machine");
}

StatusOr<bool> Database::HasRows(rocksdb::ColumnFamilyHandle* family) const {
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  const std::unique_ptr<rocksdb::Iterator> rows = Iterate(options, family);
  rows->SeekToFirst();
  RETURN_IF_ERROR(FromRocks(rows->status(), "looking for rows"));
  return rows->Valid();
}

Status Database::RemoveOutside(const ShardRange& range, rocksdb::WriteBatch& batch) const {
  // RocksDB 7.8 asserts the wrong thing of a compaction whose empty table cannot be synced, and
  // ends the process: ranges that are removed from nothing would come to that on a full disk.
  ASSIGN_OR_RETURN(const bool some, HasRows(versions_));
  if (!some) return absl::OkStatus();
  if (!range.start.empty()) {
    RETURN_IF_ERROR(FromRocks(batch.DeleteRange(versions_, "", range.start), "removing a range"));
  }
  if (!range.end.empty()) {
    const rocksdb::Slice last(kKeysEnd.data(), kKeysEnd.size());
    RETURN_IF_ERROR(FromRocks(batch.DeleteRange(versions_, range.end, last), "removing a range"));
  }
  return absl::OkStatus();
}

void Database::DropFilesOutside(const ShardRange& range) {
  const rocksdb::Slice start(range.start);
  const rocksdb::Slice end(range.end);
  std::vector<rocksdb::RangePtr> outside;
  if (!start.empty()) outside.emplace_back(nullptr, &start);
  if (!end.empty()) outside.emplace_back(&end, nullptr);
  if (outside.empty()) return;
  rocksdb::DeleteFilesInRanges(db_.get(), versions_, outside.data(), outside.size(),
                               /*include_end=*/false)
      .PermitUncheckedError();
}

void Database::CountWithin(const ShardRange& range, StoreSizes& sizes) const {
  if (range.unbounded()) return;
  const rocksdb::Slice all(kKeysEnd.data(), kKeysEnd.size());
  const rocksdb::Range ranges[] = {
      {range.start, range.end.empty() ? all : rocksdb::Slice(range.end)}, {"", all}};
  std::uint64_t bytes[2] = {0, 0};
  // Of files alone: of memtables RocksDB would count deleted ranges, and those by chance.
  const rocksdb::SizeApproximationOptions options;
  if (!db_->GetApproximateSizes(options, versions_, ranges, 2, bytes).ok() || bytes[1] == 0) return;
  const double part = std::min(1.0, static_cast<double>(bytes[0]) / static_cast<double>(bytes[1]));
  const auto scale = [part](std::uint64_t& value) {
    value = static_cast<std::uint64_t>(static_cast<double>(value) * part);
  };
  scale(sizes.keys_estimate);
  scale(sizes.disk_bytes);
}

StatusOr<std::vector<VersionTable>> Database::Tables() const {
  rocksdb::TablePropertiesCollection properties;
  RETURN_IF_ERROR(FromRocks(db_->GetPropertiesOfAllTables(versions_, &properties),
                            "reading the properties of tables"));
  std::map<std::uint64_t, VersionCounts> counts;
  for (const auto& [path, table] : properties) {
    counts[TableNumber(path)] = CountsOf(*table);
  }
  rocksdb::ColumnFamilyMetaData files;
  db_->GetColumnFamilyMetaData(versions_, &files);
  std::vector<VersionTable> tables;
  for (const rocksdb::LevelMetaData& level : files.levels) {
    for (const rocksdb::SstFileMetaData& file : level.files) {
      VersionTable& table = tables.emplace_back();
      table.number = file.file_number;
      table.level = level.level;
      const std::size_t suffix = std::min(file.smallestkey.size(), kTimestampBytes);
      table.first = file.smallestkey.substr(0, file.smallestkey.size() - suffix);
      table.last = file.largestkey;
      table.bytes = file.size;
      table.busy = file.being_compacted;
      table.counts = counts[file.file_number];
    }
  }
  return tables;
}

int Database::base_level() const {
  std::uint64_t level = 0;
  const bool known =
      db_->GetIntProperty(versions_, rocksdb::DB::Properties::kBaseLevel, &level) && level > 0;
  return known ? static_cast<int>(level) : last_level();
}

int Database::last_level() const { return db_->NumberLevels(versions_) - 1; }

Status Database::Compact(const VacuumSlice& slice) {
  rocksdb::CompactionOptions options;
  options.compression = rocksdb::kDisableCompressionOption;  // the family's
  options.output_file_size_limit = table_bytes_max_;
  std::vector<std::string> names;
  names.reserve(slice.tables.size());
  for (const std::uint64_t table : slice.tables) {
    names.push_back(TableName(table));
  }
  const rocksdb::Status done = db_->CompactFiles(options, versions_, names, slice.output_level);
  if (done.IsShutdownInProgress()) {
    return Error(Reason::kNotReady, "another state takes the place of the one that is compacted");
  }
  // Aborted: a compaction has one of them; or it has just ended, and they are gone.
  if (!done.IsAborted() && !done.IsInvalidArgument()) return FromRocks(done, "compacting");
  return Error(Reason::kShardBusy,
               fmt::format("another compaction is under way ({}): it is tried again in a moment",
                           done.ToString()));
}

void Database::EndCompactions() { rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/false); }

void Database::PrepareForLoad(bool reads) {
  const std::string keep = reads ? "kFlushOnly" : "kDisable";
  db_->SetOptions(versions_,
                  {{"memtable_prefix_bloom_size_ratio", "0.05"},
                   {"block_based_table_factory", "{prepopulate_block_cache=" + keep + ";}"}})
      .PermitUncheckedError();
}

StoreResources MakeStoreResources(rocksdb::Env* env, const ResourceOptions& options) {
  StoreResources resources;
  resources.env = env;
  // Flushes and compactions yield to requests.
  env->LowerThreadPoolCPUPriority(rocksdb::Env::LOW, rocksdb::CpuPriority::kLow);
  env->LowerThreadPoolCPUPriority(rocksdb::Env::HIGH, rocksdb::CpuPriority::kLow);
  rocksdb::LRUCacheOptions cache;
  cache.capacity = options.cache_bytes;
  // Blocks are named by random numbers, and which of them share a part of the cache, hence what has
  // to go, is up to those names: undivided, the cache of a simulated store does the same every
  // time.
  if (options.inline_background_work) cache.num_shard_bits = 0;
  resources.block_cache = rocksdb::NewLRUCache(cache);
  resources.write_buffer = std::make_shared<rocksdb::WriteBufferManager>(options.write_buffer_bytes,
                                                                         resources.block_cache);
  resources.unflushed_bytes = std::make_shared<UnflushedBytes::Total>(0);
  resources.readers = std::make_shared<ReaderHorizon>();
  if (options.background_bytes_per_second_max > 0) {
    // Not tuned by itself: RocksDB's tuning takes minutes to find out that more is needed, while
    // writers wait.
    resources.rate_limiter.reset(rocksdb::NewGenericRateLimiter(
        static_cast<std::int64_t>(options.background_bytes_per_second_max)));
  }
  return resources;
}

}  // namespace flotilla::kv
