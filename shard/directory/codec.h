// The directory's rows: their keys, and descriptors as bytes.
//
//   keyspace/<id>  KeyspaceDescriptor      node/<id>  NodeRecord      next       Counters
//   shard/<group>  ShardDescriptor         job/<id>   JobRecord       timestamp  end of the window
//
// Ids are big-endian, so that rows come in their order. Every value begins with a format number;
// one that is newer than this build is refused, never misread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "shard/directory/descriptors.h"

namespace flotilla {

// Where the directory's rows are, in the state of group 1. No user's keyspace.
inline constexpr kv::KeyspaceId kDirectoryKeyspace{0};

// Numbers that are never given twice.
struct Counters {
  kv::KeyspaceId next_keyspace{2};
  GroupId next_group{3};
  JobId next_job{1};
  NodeId next_node{1};
  // How often the directory was edited.
  std::uint64_t edition = 0;

  bool operator==(const Counters&) const = default;
};

// Timestamps below `end` may have been given out (DESIGN, section 6).
struct TimestampWindow {
  Timestamp end;

  bool operator==(const TimestampWindow&) const = default;
};

using DirectoryRow = std::variant<KeyspaceDescriptor, ShardDescriptor, NodeRecord, JobRecord,
                                  Counters, TimestampWindow>;

enum class RowKind : std::uint8_t { kKeyspace, kShard, kNode, kJob, kCounters, kWindow };

struct RowId {
  RowKind kind = RowKind::kCounters;
  std::uint64_t number = 0;

  kv::KeyspaceId keyspace() const { return kv::KeyspaceId(static_cast<std::uint32_t>(number)); }
  GroupId group() const { return GroupId(number); }
  NodeId node() const { return NodeId(number); }
  JobId job() const { return JobId(number); }
};

// DATA_DAMAGED when it is no key of a row.
StatusOr<RowId> ParseRowKey(std::string_view key);

std::string RowKey(kv::KeyspaceId keyspace);
std::string RowKey(GroupId group);
std::string RowKey(NodeId node);
std::string RowKey(JobId job);
std::string RowKey(const DirectoryRow& row);

std::string EncodeRow(const DirectoryRow& row);
// DATA_DAMAGED when the key or the value is not one of the above.
StatusOr<DirectoryRow> DecodeRow(std::string_view key, std::string_view value);

}  // namespace flotilla
