// Absorption: a group takes over the one on its right, which stands still.
//
//   right's store ──▶ taking/*.sst ──▶ the left's database ──▶ one batch: range, sessions, time,
//   (frozen)          (versions)       (outside its range)     what expires, the applied index
//
// The versions come first, and nobody sees them: they lie outside of the range until the batch that
// has the absorption's index. A crash before that batch is flushed lets the entry be applied once
// more. It removes what it finds beyond the range and takes everything again, for the right's store
// is still there and still the same.

#include <fmt/format.h>
#include <rocksdb/sst_file_writer.h>

#include <algorithm>
#include <mutex>

#include "base/planted.h"
#include "kv/evaluator.h"
#include "kv/key_codec.h"
#include "kv/store_impl.h"

namespace flotilla::kv {
namespace {

constexpr std::uint64_t kFileBytes = 64 << 20;
constexpr std::uint64_t kIngestBytes = 256 << 10;

rocksdb::Slice EndOf(const ShardRange& range) {
  return range.end.empty() ? rocksdb::Slice(kKeysEnd.data(), kKeysEnd.size())
                           : rocksdb::Slice(range.end);
}

// Rows, in their order, into as many files as it takes.
class FileWriter {
 public:
  FileWriter(const rocksdb::Options& options, std::string directory)
      : options_(options), directory_(std::move(directory)) {}

  Status Put(const rocksdb::Slice& key, const rocksdb::Slice& value) {
    if (writer_ && writer_->FileSize() >= kFileBytes) RETURN_IF_ERROR(Finish());
    RETURN_IF_ERROR(Begin());
    return FromRocks(writer_->Put(key, value), directory_);
  }
  Status Remove(const rocksdb::Slice& key) {
    if (writer_ && writer_->FileSize() >= kFileBytes) RETURN_IF_ERROR(Finish());
    RETURN_IF_ERROR(Begin());
    return FromRocks(writer_->Delete(key), directory_);
  }
  Status Finish() {
    if (!writer_) return absl::OkStatus();
    const rocksdb::Status finished = writer_->Finish();
    writer_ = nullptr;
    return FromRocks(finished, directory_);
  }
  const std::vector<std::string>& files() const { return files_; }

 private:
  Status Begin() {
    if (writer_) return absl::OkStatus();
    files_.push_back(fmt::format("{}/{}.sst", directory_, files_.size() + 1));
    writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), options_);
    return FromRocks(writer_->Open(files_.back()), files_.back());
  }

  const rocksdb::Options options_;
  const std::string directory_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::vector<std::string> files_;
};

}  // namespace

Status StoreImpl::TakeOver(const Absorb& absorb, rocksdb::WriteBatch& batch) {
  if (!IsMember()) {
    return Error(Reason::kInternal,
                 fmt::format("{}: node {} is not a member of the group, which absorbs group {}: it "
                             "should have been sent a snapshot",
                             DbPath(), options_.self.value(), absorb.right.value()));
  }
  const std::shared_ptr<Store> store =
      options_.store_of ? options_.store_of(absorb.right) : nullptr;
  if (store == nullptr) {
    return Error(Reason::kInternal,
                 fmt::format("{}: group {} is to be absorbed and is not on this node", DbPath(),
                             absorb.right.value()));
  }
  const auto& right = static_cast<const StoreImpl&>(*store);  // there is no other kind
  // A memtable must not lie in the way of files that come in.
  RETURN_IF_ERROR(FlushNow());
  const std::string taking = options_.directory + "/taking";
  RETURN_IF_ERROR(RemoveTree(taking));
  RETURN_IF_ERROR(FromRocks(resources_.env->CreateDir(taking), taking));
  std::shared_lock lock(right.database_mutex_);
  RETURN_IF_ERROR(right.CheckOpen());
  RETURN_IF_ERROR(right.CheckFrozen(absorb));
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ExportVersions(right, taking));
  // The files are there, and what is left to be written is little; but RocksDB does not get over a
  // disk that is full just then.
  RETURN_IF_ERROR(CheckRoom(*resources_.env, DbPath(), kIngestBytes));
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.write_global_seqno = false;
  if (!files.empty()) {
    RETURN_IF_ERROR(FromRocks(
        database_->db().IngestExternalFile(database_->versions(), files, options), taking));
  }
  RETURN_IF_ERROR(RemoveTree(taking));
  changes_.Reset();
  RunBackgroundWork();

  if (!Planted(Plant::kLocksNotMerged)) RETURN_IF_ERROR(CopyLocks(right, batch));
  const std::string expiry(1, kExpiryPrefix);
  const std::string past_expiry(1, kExpiryPrefix + 1);
  RETURN_IF_ERROR(CopyRows(*right.database_, right.database_->meta(), database_->meta(),
                           {expiry, past_expiry}, batch));
  Sessions sessions(sessions_.options());
  if (!Planted(Plant::kSessionsNotMerged)) RETURN_IF_ERROR(sessions.Load(*right.database_));
  const Timestamp now = std::max(last_timestamp(), right.last_timestamp());
  sessions_.Absorb(sessions, now, *database_, batch);
  last_timestamp_.store(now.value());
  safe_point_.store(std::max(safe_point_.load(), right.safe_point_.load()));
  return absl::OkStatus();
}

Status StoreImpl::CheckFrozen(const Absorb& absorb) const {
  if (range_ == absorb.held && durable() >= absorb.frozen_at) return absl::OkStatus();
  if (Planted(Plant::kMergedInMidst)) return absl::OkStatus();
  return Error(Reason::kInternal,
               fmt::format("{}: it is to be absorbed at epoch {}, frozen and flushed at index {}; "
                           "but it is at epoch {}, {}, and flushed up to index {}",
                           DbPath(), absorb.held.epoch.value(), absorb.frozen_at.value(),
                           range_.epoch.value(), range_.frozen ? "frozen" : "not frozen",
                           durable().value()));
}

StatusOr<std::vector<std::string>> StoreImpl::ExportVersions(const StoreImpl& right,
                                                             const std::string& directory) const {
  const rocksdb::Slice start(right.range_.start);
  const rocksdb::Slice end = EndOf(right.range_);
  FileWriter writer(database_->db().GetOptions(database_->versions()), directory);
  rocksdb::ReadOptions reads;
  reads.total_order_seek = true;
  reads.fill_cache = false;
  reads.iterate_upper_bound = &end;
  const std::unique_ptr<rocksdb::Iterator> rows =
      right.database_->Iterate(reads, right.database_->versions());
  // What this group gave away once is there until compactions have dropped it. And an absorption
  // that was cut short may have been here.
  const std::unique_ptr<rocksdb::Iterator> stale = database_->Iterate(reads, database_->versions());
  stale->Seek(start);
  const auto remove_stale_before = [&](const rocksdb::Slice* key) -> Status {
    for (; stale->Valid() && (key == nullptr || stale->key().compare(*key) < 0); stale->Next()) {
      RETURN_IF_ERROR(writer.Remove(stale->key()));
    }
    if (key != nullptr && stale->Valid() && stale->key() == *key) stale->Next();
    return FromRocks(stale->status(), DbPath());
  };
  for (rows->Seek(start); rows->Valid(); rows->Next()) {
    const rocksdb::Slice key = rows->key();
    RETURN_IF_ERROR(remove_stale_before(&key));
    RETURN_IF_ERROR(writer.Put(key, rows->value()));
  }
  RETURN_IF_ERROR(FromRocks(rows->status(), right.DbPath()));
  RETURN_IF_ERROR(remove_stale_before(nullptr));
  RETURN_IF_ERROR(writer.Finish());
  return writer.files();
}

Status StoreImpl::CopyRows(const Database& from, rocksdb::ColumnFamilyHandle* from_family,
                           rocksdb::ColumnFamilyHandle* to_family, const rocksdb::Range& range,
                           rocksdb::WriteBatch& batch) {
  rocksdb::ReadOptions reads;
  reads.total_order_seek = true;
  reads.iterate_upper_bound = &range.limit;
  const std::unique_ptr<rocksdb::Iterator> rows = from.Iterate(reads, from_family);
  for (rows->Seek(range.start); rows->Valid(); rows->Next()) {
    RETURN_IF_ERROR(
        FromRocks(batch.Put(to_family, rows->key(), rows->value()), "absorbing a group"));
  }
  return FromRocks(rows->status(), "absorbing a group");
}

}  // namespace flotilla::kv
