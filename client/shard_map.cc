#include "client/shard_map.h"

#include <iterator>

#include "base/stable_hash.h"
#include "flotilla/v1/directory.pb.h"

namespace flotilla::client {
namespace {

// A key's slot is the upper 16 bits of its hash.
constexpr unsigned kSlotShift = 48;

}  // namespace

void ShardMap::Clear() {
  id_ = 0;
  shards_.clear();
  starts_.clear();
}

void ShardMap::Erase(GroupId group) {
  const auto start = starts_.find(group);
  if (start == starts_.end()) return;
  // Another shard may have taken the place.
  const auto shard = shards_.find(start->second);
  if (shard != shards_.end() && shard->second.group == group) shards_.erase(shard);
  starts_.erase(start);
}

void ShardMap::Apply(const v1::WatchDirectoryResponse& change) {
  if (change.whole()) Clear();
  for (const std::uint32_t id : change.erased_keyspaces()) {
    if (id == id_) Clear();
  }
  for (const v1::Keyspace& keyspace : change.keyspaces()) {
    if (keyspace.name() != keyspace_) continue;
    if (keyspace.id() != id_ || keyspace.dropping()) Clear();
    id_ = keyspace.dropping() ? 0 : keyspace.id();
    hashed_ = keyspace.partitioning() == v1::PARTITIONING_HASH;
  }
  for (const std::uint64_t group : change.erased_shards()) Erase(GroupId(group));
  for (const v1::Shard& shard : change.shards()) {
    const GroupId group(shard.group_id());
    Erase(group);
    if (id_ == 0 || shard.keyspace_id() != id_) continue;
    const Start start{.slot = shard.first_slot(), .key = shard.start()};
    shards_[start] = {.group = group, .end = shard.end(), .past_last_slot = shard.past_last_slot()};
    starts_[group] = start;
  }
}

GroupId ShardMap::Locate(std::string_view key) const {
  if (shards_.empty()) return {};
  Start at;
  if (hashed_) {
    at.slot = static_cast<std::uint32_t>(StableHash(key) >> kSlotShift);
  } else {
    at.key = key;
  }
  auto next = shards_.upper_bound(at);
  if (next == shards_.begin()) return {};
  const Shard& shard = std::prev(next)->second;
  const bool within =
      hashed_ ? at.slot < shard.past_last_slot : shard.end.empty() || at.key < shard.end;
  return within ? shard.group : GroupId();
}

}  // namespace flotilla::client
