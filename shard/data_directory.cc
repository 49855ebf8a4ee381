#include "shard/data_directory.h"

#include <rocksdb/file_system.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <charconv>

namespace flotilla {
namespace {

// Behind the name of a group that is being removed.
constexpr std::string_view kGone = ".gone";

Status FromIO(const rocksdb::IOStatus& status, std::string_view path) {
  if (status.ok()) return absl::OkStatus();
  return Error(status.IsNoSpace() ? Reason::kDiskFull : Reason::kInternal,
               fmt::format("{}: {}", path, status.ToString()));
}

}  // namespace

StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(
    std::shared_ptr<rocksdb::FileSystem> files, const std::string& path) {
  const rocksdb::IOOptions io;
  std::unique_ptr<DataDirectory> directory(new DataDirectory(std::move(files), path));
  RETURN_IF_ERROR(FromIO(directory->files_->CreateDirIfMissing(path, io, nullptr), path));
  RETURN_IF_ERROR(FromIO(directory->files_->CreateDirIfMissing(directory->groups(), io, nullptr),
                         directory->groups()));
  // The names themselves must be durable before anything below them counts as such.
  const std::size_t slash = path.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  for (const std::string& synced : {parent, path}) {
    std::unique_ptr<rocksdb::FSDirectory> handle;
    RETURN_IF_ERROR(FromIO(directory->files_->NewDirectory(synced, io, &handle, nullptr), synced));
    RETURN_IF_ERROR(FromIO(handle->Fsync(io, nullptr), synced));
  }
  const std::string lock = path + "/LOCK";
  const rocksdb::IOStatus locked =
      directory->files_->LockFile(lock, io, &directory->lock_, nullptr);
  if (!locked.ok()) {
    return Error(Reason::kBadRequest,
                 fmt::format("{} cannot be locked: another kvd may be running on this data "
                             "directory; stop it, or choose another --data-dir ({})",
                             lock, locked.ToString()));
  }
  return directory;
}

DataDirectory::~DataDirectory() {
  if (lock_ != nullptr)
    files_->UnlockFile(lock_, rocksdb::IOOptions(), nullptr).PermitUncheckedError();
}

std::string DataDirectory::group(GroupId group) const {
  return fmt::format("{}/{}", groups(), group.value());
}

std::string DataDirectory::incoming(GroupId group) const {
  return fmt::format("{}/incoming", this->group(group));
}

StatusOr<std::optional<Identity>> DataDirectory::LoadIdentity() const {
  return flotilla::LoadIdentity(*files_, path_);
}

Status DataDirectory::StoreIdentity(const Identity& identity) const {
  return flotilla::StoreIdentity(*files_, path_, identity);
}

StatusOr<std::vector<GroupId>> DataDirectory::ListGroups() const {
  std::vector<std::string> names;
  RETURN_IF_ERROR(
      FromIO(files_->GetChildren(groups(), rocksdb::IOOptions(), &names, nullptr), groups()));
  std::vector<GroupId> ids;
  for (const std::string& name : names) {
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error == std::errc() && end == name.data() + name.size()) ids.push_back(GroupId(id));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

StatusOr<std::uint64_t> DataDirectory::FreeBytes() const {
  std::uint64_t bytes = 0;
  RETURN_IF_ERROR(
      FromIO(files_->GetFreeSpace(path_, rocksdb::IOOptions(), &bytes, nullptr), path_));
  return bytes;
}

StatusOr<bool> DataDirectory::HasLog() const {
  std::vector<std::string> names;
  const rocksdb::IOStatus listed =
      files_->GetChildren(wal(), rocksdb::IOOptions(), &names, nullptr);
  if (listed.IsNotFound() || listed.IsPathNotFound()) return false;
  RETURN_IF_ERROR(FromIO(listed, wal()));
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return name != "." && name != ".."; });
}

Status DataDirectory::RemoveTree(const std::string& path) const {
  const rocksdb::IOOptions io;
  std::vector<std::string> names;
  const rocksdb::IOStatus listed = files_->GetChildren(path, io, &names, nullptr);
  if (listed.IsNotFound() || listed.IsPathNotFound()) return absl::OkStatus();
  RETURN_IF_ERROR(FromIO(listed, path));
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    const std::string child = path + "/" + name;
    bool is_directory = false;
    RETURN_IF_ERROR(FromIO(files_->IsDirectory(child, io, &is_directory, nullptr), child));
    if (is_directory) {
      RETURN_IF_ERROR(RemoveTree(child));
    } else {
      RETURN_IF_ERROR(FromIO(files_->DeleteFile(child, io, nullptr), child));
    }
  }
  return FromIO(files_->DeleteDir(path, io, nullptr), path);
}

Status DataDirectory::RemoveUnfounded() const {
  RETURN_IF_ERROR(RemoveTree(wal()));
  RETURN_IF_ERROR(RemoveTree(groups()));
  const rocksdb::IOOptions io;
  RETURN_IF_ERROR(FromIO(files_->CreateDirIfMissing(groups(), io, nullptr), groups()));
  std::unique_ptr<rocksdb::FSDirectory> handle;
  RETURN_IF_ERROR(FromIO(files_->NewDirectory(path_, io, &handle, nullptr), path_));
  return FromIO(handle->Fsync(io, nullptr), path_);
}

Status DataDirectory::SyncGroups() const {
  const rocksdb::IOOptions io;
  std::unique_ptr<rocksdb::FSDirectory> handle;
  RETURN_IF_ERROR(FromIO(files_->NewDirectory(groups(), io, &handle, nullptr), groups()));
  return FromIO(handle->Fsync(io, nullptr), groups());
}

Status DataDirectory::RemoveGroup(GroupId id) const {
  const std::string gone = group(id) + std::string(kGone);
  RETURN_IF_ERROR(RemoveTree(gone));
  RETURN_IF_ERROR(FromIO(files_->RenameFile(group(id), gone, rocksdb::IOOptions(), nullptr), gone));
  RETURN_IF_ERROR(SyncGroups());
  return RemoveTree(gone);
}

Status DataDirectory::RemoveLeavings() const {
  std::vector<std::string> names;
  RETURN_IF_ERROR(
      FromIO(files_->GetChildren(groups(), rocksdb::IOOptions(), &names, nullptr), groups()));
  for (const std::string& name : names) {
    if (name.ends_with(kGone)) RETURN_IF_ERROR(RemoveTree(groups() + "/" + name));
  }
  return absl::OkStatus();
}

Status DataDirectory::MakeGroup(GroupId id) const {
  const rocksdb::IOOptions io;
  const std::string path = group(id);
  RETURN_IF_ERROR(FromIO(files_->CreateDirIfMissing(path, io, nullptr), path));
  return SyncGroups();
}

}  // namespace flotilla
