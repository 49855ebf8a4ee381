#include "shard/directory/image.h"

#include <spdlog/fmt/fmt.h>

#include <iterator>
#include <utility>

#include "kv/key_codec.h"

namespace flotilla {
namespace {

template <class Key, class Value>
const Value* FindIn(const std::map<Key, Value>& map, Key key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

Status NotTiled(const KeyspaceDescriptor& keyspace, std::string_view what) {
  return Error(Reason::kInternal, fmt::format("the shards of keyspace {} {}", keyspace.name, what));
}

}  // namespace

Status DirectoryImage::Apply(const std::vector<kv::RowChange>& batch, Timestamp at) {
  std::vector<DirectoryRow> rows;
  for (const kv::RowChange& change : batch) {
    if (!change.value) continue;
    ASSIGN_OR_RETURN(DirectoryRow row, DecodeRow(change.key, *change.value));
    rows.push_back(std::move(row));
  }
  for (const kv::RowChange& change : batch) {
    if (!change.value) Erase(change.key);
  }
  for (DirectoryRow& row : rows) {
    std::visit([this](auto&& one) { Put(std::move(one)); }, std::move(row));
  }
  version_ = at;
  return absl::OkStatus();
}

void DirectoryImage::Put(KeyspaceDescriptor row) {
  if (const KeyspaceDescriptor* old = Find(row.id)) keyspaces_by_name_.erase(old->name);
  keyspaces_by_name_[row.name] = row.id;
  const kv::KeyspaceId id = row.id;
  keyspaces_[id] = std::move(row);
}

void DirectoryImage::Put(ShardDescriptor row) {
  if (const ShardDescriptor* old = Find(row.group)) Unlink(*old);
  shards_by_start_[row.start] = row.group;
  const GroupId group = row.group;
  shards_[group] = std::move(row);
}

void DirectoryImage::Put(NodeRecord row) {
  const NodeId node = row.node;
  nodes_[node] = std::move(row);
}

void DirectoryImage::Put(JobRecord row) {
  const JobId job = row.id;
  jobs_[job] = std::move(row);
}

// Another shard of the same batch may begin there by now.
void DirectoryImage::Unlink(const ShardDescriptor& shard) {
  const auto found = shards_by_start_.find(shard.start);
  if (found != shards_by_start_.end() && found->second == shard.group) {
    shards_by_start_.erase(found);
  }
}

void DirectoryImage::Erase(std::string_view key) {
  const StatusOr<RowId> id = ParseRowKey(key);
  if (!id.ok()) return;
  switch (id->kind) {
    case RowKind::kKeyspace:
      if (const KeyspaceDescriptor* old = Find(id->keyspace())) {
        keyspaces_by_name_.erase(old->name);
        keyspaces_.erase(id->keyspace());
      }
      return;
    case RowKind::kShard:
      if (const ShardDescriptor* old = Find(id->group())) {
        Unlink(*old);
        shards_.erase(id->group());
      }
      return;
    case RowKind::kNode:
      nodes_.erase(id->node());
      return;
    case RowKind::kJob:
      jobs_.erase(id->job());
      return;
    case RowKind::kCounters:
    case RowKind::kWindow:
      return;  // these stay
  }
}

const KeyspaceDescriptor* DirectoryImage::Find(kv::KeyspaceId keyspace) const {
  return FindIn(keyspaces_, keyspace);
}

const KeyspaceDescriptor* DirectoryImage::FindKeyspace(std::string_view name) const {
  const auto found = keyspaces_by_name_.find(name);
  return found == keyspaces_by_name_.end() ? nullptr : Find(found->second);
}

const ShardDescriptor* DirectoryImage::Find(GroupId group) const { return FindIn(shards_, group); }
const NodeRecord* DirectoryImage::Find(NodeId node) const { return FindIn(nodes_, node); }
const JobRecord* DirectoryImage::Find(JobId job) const { return FindIn(jobs_, job); }

const ShardDescriptor* DirectoryImage::Locate(std::string_view encoded_key) const {
  auto after = shards_by_start_.upper_bound(encoded_key);
  if (after == shards_by_start_.begin()) return nullptr;
  const ShardDescriptor* shard = Find(std::prev(after)->second);
  return shard->Contains(encoded_key) ? shard : nullptr;
}

const ShardDescriptor* DirectoryImage::LocateBelow(std::string_view encoded_key) const {
  const auto after = shards_by_start_.lower_bound(encoded_key);
  if (after == shards_by_start_.begin()) return nullptr;
  const ShardDescriptor* shard = Find(std::prev(after)->second);
  return shard->end >= encoded_key ? shard : nullptr;
}

std::vector<const ShardDescriptor*> DirectoryImage::Overlapping(std::string_view start,
                                                                std::string_view end) const {
  std::vector<const ShardDescriptor*> found;
  auto it = shards_by_start_.upper_bound(start);
  if (it != shards_by_start_.begin()) --it;
  for (; it != shards_by_start_.end() && it->first < end; ++it) {
    const ShardDescriptor* shard = Find(it->second);
    if (shard->end > start) found.push_back(shard);
  }
  return found;
}

Status DirectoryImage::CheckTiling() const {
  for (const auto& [id, keyspace] : keyspaces_) {
    if (keyspace.dropping) continue;
    std::string reached = kv::KeyspaceStart(id);
    const std::string end = kv::KeyspaceEnd(id);
    for (const ShardDescriptor* shard : Overlapping(reached, end)) {
      if (shard->keyspace != id) return NotTiled(keyspace, "are another's");
      if (shard->start != reached) {
        return NotTiled(
            keyspace, fmt::format("leave a gap or overlap before group {}", shard->group.value()));
      }
      reached = shard->end;
    }
    if (reached != end) return NotTiled(keyspace, "end before it does");
  }
  for (const auto& [group, shard] : shards_) {
    if (keyspaces_.contains(shard.keyspace)) continue;
    return Error(Reason::kInternal, fmt::format("shard {} is of keyspace {}, which is none",
                                                group.value(), shard.keyspace.value()));
  }
  return absl::OkStatus();
}

}  // namespace flotilla
