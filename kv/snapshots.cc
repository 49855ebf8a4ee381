// Snapshots: checkpoints of the database, and taking one over.
//
// Installing moves the received directory to db.new, the old database to db.old, and db.new to db,
// each step synced. Whatever is found at start-up is either the old state (db, perhaps with a
// db.new to drop) or the new one (db.new alone, to be moved; or db with a db.old to drop). A full
// disk may hold up an install between any two steps; until it goes on there is no database to read.

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "kv/inline_env.h"
#include "kv/store_impl.h"

namespace flotilla::kv {

bool StoreImpl::Exists(const std::string& path) const {
  return resources_.env->FileExists(path).ok();
}

Status StoreImpl::SyncDirectory(const std::string& path) const {
  if (Planted(Plant::kSnapshotNotSynced)) return absl::OkStatus();
  std::unique_ptr<rocksdb::Directory> directory;
  RETURN_IF_ERROR(FromRocks(resources_.env->NewDirectory(path, &directory), path));
  return FromRocks(directory->Fsync(), path);
}

Status StoreImpl::RemoveFlatDirectory(const std::string& path) const {
  std::vector<std::string> children;
  const rocksdb::Status listed = resources_.env->GetChildren(path, &children);
  if (listed.IsNotFound() || listed.IsPathNotFound()) return absl::OkStatus();
  RETURN_IF_ERROR(FromRocks(listed, path));
  for (const std::string& child : children) {
    if (child == "." || child == "..") continue;
    RETURN_IF_ERROR(FromRocks(resources_.env->DeleteFile(path + "/" + child), path));
  }
  return FromRocks(resources_.env->DeleteDir(path), path);
}

Status StoreImpl::RemoveTree(const std::string& path) const {
  std::vector<std::string> children;
  const rocksdb::Status listed = resources_.env->GetChildren(path, &children);
  if (listed.IsNotFound() || listed.IsPathNotFound()) return absl::OkStatus();
  RETURN_IF_ERROR(FromRocks(listed, path));
  for (const std::string& child : children) {
    if (child == "." || child == "..") continue;
    const std::string inner = path + "/" + child;
    bool is_directory = false;
    RETURN_IF_ERROR(FromRocks(resources_.env->IsDirectory(inner, &is_directory), inner));
    RETURN_IF_ERROR(is_directory ? RemoveFlatDirectory(inner)
                                 : FromRocks(resources_.env->DeleteFile(inner), inner));
  }
  return FromRocks(resources_.env->DeleteDir(path), path);
}

Status StoreImpl::FinishInterruptedInstall() {
  if (Planted(Plant::kInstallHalfRenamed)) return absl::OkStatus();
  const std::string current = DbPath();
  const std::string incoming = current + ".new";
  const std::string old = current + ".old";
  if (!Exists(current) && Exists(incoming)) {
    RETURN_IF_ERROR(FromRocks(resources_.env->RenameFile(incoming, current), current));
    RETURN_IF_ERROR(SyncDirectory(options_.directory));
  }
  if (!Exists(current) && Exists(old)) {
    RETURN_IF_ERROR(FromRocks(resources_.env->RenameFile(old, current), current));
    RETURN_IF_ERROR(SyncDirectory(options_.directory));
  }
  RETURN_IF_ERROR(RemoveFlatDirectory(incoming));
  RETURN_IF_ERROR(RemoveFlatDirectory(old));
  // Of a split or an absorption that was cut short (split.cc, absorb.cc).
  RETURN_IF_ERROR(RemoveTree(options_.directory + "/child"));
  RETURN_IF_ERROR(RemoveTree(options_.directory + "/taking"));
  // Checkpoints serve one transfer of one process.
  const std::string checkpoints = options_.directory + "/checkpoints";
  std::vector<std::string> children;
  if (resources_.env->GetChildren(checkpoints, &children).ok()) {
    for (const std::string& child : children) {
      if (child == "." || child == "..") continue;
      RETURN_IF_ERROR(RemoveFlatDirectory(checkpoints + "/" + child));
    }
  }
  return absl::OkStatus();
}

// Everything applied is on disk on return. Apply strand.
Status StoreImpl::FlushNow() {
  const auto flushed = [this] {
    std::lock_guard lock(flush_mutex_);
    return IsFlushed(applied_.load());
  };
  if (flushed()) return absl::OkStatus();
  if (options_.inline_background_work) {
    // It takes place in here, or says why not.
    const auto outcome = std::make_shared<Status>();
    Flush([outcome](const StatusOr<raft::Index>& flushed) { *outcome = flushed.status(); });
    RETURN_IF_ERROR(*outcome);
  } else {
    const rocksdb::SequenceNumber latest = database_->db().GetLatestSequenceNumber();
    RETURN_IF_ERROR(FromRocks(
        database_->db().Flush(rocksdb::FlushOptions(),
                              {database_->versions(), database_->locks(), database_->meta()}),
        "flushing for a checkpoint"));
    // RocksDB may tell its listeners of it after those who wait for it.
    OnFlushed(latest);
  }
  if (flushed()) return absl::OkStatus();
  return Error(Reason::kInternal,
               fmt::format("{}: the flush for a checkpoint did not take place", DbPath()));
}

// RocksDB 7.8 makes one as well, but asks for logs, too, and then waits for ever if a reader lets
// go of old files at the same time.
Status StoreImpl::Checkpoint(const std::string& directory) {
  RETURN_IF_ERROR(FromRocks(database_->db().DisableFileDeletions(), directory));
  const Status made = LinkFiles(directory);
  database_->db().EnableFileDeletions(/*force=*/false).PermitUncheckedError();
  RunBackgroundWork();
  if (!made.ok()) RemoveFlatDirectory(directory).IgnoreError();
  return made;
}

Status StoreImpl::LinkFiles(const std::string& directory) const {
  rocksdb::Env& env = *resources_.env;
  std::vector<std::string> names;  // with a slash in front
  std::uint64_t manifest_bytes = 0;
  RETURN_IF_ERROR(FromRocks(
      database_->db().GetLiveFiles(names, &manifest_bytes, /*flush_memtable=*/false), directory));
  RETURN_IF_ERROR(FromRocks(env.CreateDir(directory), directory));
  for (const std::string& name : names) {
    const std::string from = DbPath() + name;
    const std::string to = directory + name;
    if (name.ends_with(".sst") || name.ends_with(".blob")) {
      RETURN_IF_ERROR(FromRocks(env.LinkFile(from, to), to));
    } else if (name.starts_with("/MANIFEST-")) {
      // It grows; what it says of later files is not for this copy.
      std::string text;
      RETURN_IF_ERROR(FromRocks(rocksdb::ReadFileToString(&env, from, &text), from));
      text.resize(std::min<std::size_t>(text.size(), manifest_bytes));
      RETURN_IF_ERROR(FromRocks(rocksdb::WriteStringToFile(&env, text, to, true), to));
      RETURN_IF_ERROR(FromRocks(
          rocksdb::WriteStringToFile(&env, name.substr(1) + "\n", directory + "/CURRENT", true),
          directory));
    }
  }
  return SyncDirectory(directory);
}

StatusOr<raft::SnapshotInfo> StoreImpl::TakeSnapshot() {
  RETURN_IF_ERROR(CheckOpen());
  RETURN_IF_ERROR(FlushNow());
  raft::SnapshotInfo snapshot;
  snapshot.mark = mark();
  const std::string checkpoints = options_.directory + "/checkpoints";
  RETURN_IF_ERROR(FromRocks(resources_.env->CreateDirIfMissing(checkpoints), checkpoints));
  snapshot.directory =
      fmt::format("{}/{}-{}", checkpoints, snapshot.mark.index.value(), ++snapshots_taken_);
  RETURN_IF_ERROR(Checkpoint(snapshot.directory));
  std::vector<rocksdb::Env::FileAttributes> files;
  RETURN_IF_ERROR(FromRocks(resources_.env->GetChildrenFileAttributes(snapshot.directory, &files),
                            snapshot.directory));
  for (const rocksdb::Env::FileAttributes& file : files) {
    if (file.name == "." || file.name == "..") continue;
    snapshot.files.push_back({.name = file.name, .bytes = file.size_bytes});
  }
  std::sort(
      snapshot.files.begin(), snapshot.files.end(),
      [](const raft::SnapshotFile& a, const raft::SnapshotFile& b) { return a.name < b.name; });
  return snapshot;
}

void StoreImpl::DropSnapshot(const raft::SnapshotInfo& snapshot) {
  // What cannot be removed now is removed at the next start.
  RemoveFlatDirectory(snapshot.directory).IgnoreError();
}

// Each step is one that an earlier try may have made: a full disk stops it anywhere.
Status StoreImpl::PutInPlace(const std::string& directory) {
  const std::string current = DbPath();
  const std::string incoming = current + ".new";
  const std::string old = current + ".old";
  if (Exists(directory)) {
    RETURN_IF_ERROR(RemoveFlatDirectory(incoming));
    RETURN_IF_ERROR(FromRocks(resources_.env->RenameFile(directory, incoming), incoming));
  }
  if (!Exists(incoming)) return absl::OkStatus();
  RETURN_IF_ERROR(SyncDirectory(options_.directory));
  RunBackgroundWork();
  if (!Planted(Plant::kRowsOutliveInstall)) {
    row_cache_.Forget();
    range_cache_.Forget();
  }
  CloseDatabase();
  RunBackgroundWork();
  if (Exists(current)) {
    RETURN_IF_ERROR(RemoveFlatDirectory(old));
    RETURN_IF_ERROR(FromRocks(resources_.env->RenameFile(current, old), current));
    RETURN_IF_ERROR(SyncDirectory(options_.directory));
  }
  RETURN_IF_ERROR(FromRocks(resources_.env->RenameFile(incoming, current), current));
  return SyncDirectory(options_.directory);
}

Status StoreImpl::InstallSnapshot(const std::string& directory, const raft::SnapshotMark& wanted) {
  // While it waits nothing can be read: a database needs room to be opened.
  constexpr std::uint64_t kOpenBytes = 256 << 10;
  RETURN_IF_ERROR(CheckRoom(*resources_.env, DbPath(), kOpenBytes));
  std::unique_lock lock(database_mutex_);
  RETURN_IF_ERROR(PutInPlace(directory));
  if (!database_) {
    OnBackgroundError(Error(Reason::kNotReady, "a snapshot took the place of the state"));
    RETURN_IF_ERROR(OpenDatabase());
  }
  RETURN_IF_ERROR(LoadMeta());
  if (Planted(Plant::kSessionsNotInSnapshot)) sessions_.Clear();
  RETURN_IF_ERROR(RemoveFlatDirectory(DbPath() + ".old"));
  if (mark() == wanted) return absl::OkStatus();
  return Error(Reason::kDataDamaged,
               fmt::format("{}: the received snapshot holds index {}, not {} as announced",
                           DbPath(), mark().index.value(), wanted.index.value()));
}

}  // namespace flotilla::kv
