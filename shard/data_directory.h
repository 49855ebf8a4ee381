// DataDirectory: what a node keeps where, and that nobody else uses it at the same time.
//
//   IDENTITY            who the directory belongs to (shard/identity.h)
//   LOCK                held while a node runs on it
//   wal/                the node's log
//   groups/<id>/        one group's state machine; incoming/ inside receives snapshots
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "shard/identity.h"

namespace rocksdb {
class FileSystem;
class FileLock;
}  // namespace rocksdb

namespace flotilla {

class DataDirectory {
 public:
  // Makes the directory and takes its lock; an error says who may be using it.
  static StatusOr<std::unique_ptr<DataDirectory>> Open(std::shared_ptr<rocksdb::FileSystem> files,
                                                       const std::string& path);
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  rocksdb::FileSystem& files() const { return *files_; }
  const std::string& path() const { return path_; }
  std::string wal() const { return path_ + "/wal"; }
  std::string groups() const { return path_ + "/groups"; }
  std::string group(GroupId group) const;
  std::string incoming(GroupId group) const;

  StatusOr<std::optional<Identity>> LoadIdentity() const;
  Status StoreIdentity(const Identity& identity) const;

  // Ids of the groups that have a directory here, ascending.
  StatusOr<std::vector<GroupId>> ListGroups() const;
  // True when the log has at least one file.
  StatusOr<bool> HasLog() const;
  // Of the disk that holds it.
  StatusOr<std::uint64_t> FreeBytes() const;
  // Deletes the log and all groups: the leavings of a founding that was cut short before the node
  // had told anybody.
  Status RemoveUnfounded() const;
  Status MakeGroup(GroupId group) const;
  // It is gone in one step, and its files soon after.
  Status RemoveGroup(GroupId group) const;
  // What removals that were cut short have left.
  Status RemoveLeavings() const;

 private:
  DataDirectory(std::shared_ptr<rocksdb::FileSystem> files, std::string path)
      : files_(std::move(files)), path_(std::move(path)) {}

  Status RemoveTree(const std::string& path) const;
  Status SyncGroups() const;

  const std::shared_ptr<rocksdb::FileSystem> files_;
  const std::string path_;
  rocksdb::FileLock* lock_ = nullptr;
};

}  // namespace flotilla
