// DirectoryImage: the directory in memory, for whoever asks where things are.
//
// Purpose: every node and client routes by one, the directory's leader plans by one. It is made of
// the directory's rows and follows them batch by batch; a batch is whole or absent.
//
// Pure data; the owner locks.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "shard/directory/codec.h"

namespace flotilla {

class DirectoryImage {
 public:
  // One atomic batch. DATA_DAMAGED names a row that cannot be read; nothing has changed then.
  Status Apply(const std::vector<kv::RowChange>& batch, Timestamp at);

  // Of the newest batch.
  Timestamp version() const { return version_; }

  const KeyspaceDescriptor* Find(kv::KeyspaceId keyspace) const;
  const KeyspaceDescriptor* FindKeyspace(std::string_view name) const;
  const ShardDescriptor* Find(GroupId group) const;
  const NodeRecord* Find(NodeId node) const;
  const JobRecord* Find(JobId job) const;

  // The shard that holds the key; null where there is no keyspace.
  const ShardDescriptor* Locate(std::string_view encoded_key) const;
  // The shard that holds what lies just below the key, which may be an end.
  const ShardDescriptor* LocateBelow(std::string_view encoded_key) const;
  // Those that hold a part of [start, end), in their order.
  std::vector<const ShardDescriptor*> Overlapping(std::string_view start,
                                                  std::string_view end) const;

  const std::map<kv::KeyspaceId, KeyspaceDescriptor>& keyspaces() const { return keyspaces_; }
  const std::map<GroupId, ShardDescriptor>& shards() const { return shards_; }
  const std::map<NodeId, NodeRecord>& nodes() const { return nodes_; }
  const std::map<JobId, JobRecord>& jobs() const { return jobs_; }
  const Counters& counters() const { return counters_; }
  TimestampWindow window() const { return window_; }

  // INTERNAL, and what is wrong, unless the shards of every keyspace hold each of its keys once.
  Status CheckTiling() const;

 private:
  void Put(KeyspaceDescriptor row);
  void Put(ShardDescriptor row);
  void Put(NodeRecord row);
  void Put(JobRecord row);
  void Put(Counters row) { counters_ = row; }
  void Put(TimestampWindow row) { window_ = row; }
  void Erase(std::string_view key);
  void Unlink(const ShardDescriptor& shard);

  Timestamp version_;
  std::map<kv::KeyspaceId, KeyspaceDescriptor> keyspaces_;
  std::map<std::string, kv::KeyspaceId, std::less<>> keyspaces_by_name_;
  std::map<GroupId, ShardDescriptor> shards_;
  std::map<std::string, GroupId, std::less<>> shards_by_start_;
  std::map<NodeId, NodeRecord> nodes_;
  std::map<JobId, JobRecord> jobs_;
  Counters counters_;
  TimestampWindow window_;
};

}  // namespace flotilla
