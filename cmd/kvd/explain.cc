#include "cmd/kvd/explain.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>

#include "cmd/kvd/directory_codec.h"
#include "kv/key_codec.h"
#include "kv/slots.h"
#include "shard/placement/hash_ring.h"

namespace flotilla {
namespace {

std::string Names(const std::vector<NodeId>& nodes) {
  std::string names;
  for (const NodeId node : nodes)
    names += fmt::format("{}n{}", names.empty() ? "" : ", ", node.value());
  return names;
}

std::string Holds(const KeyspaceDescriptor& keyspace, const ShardDescriptor& shard) {
  v1::Shard encoded;
  Encode(shard, encoded);
  if (keyspace.partitioning == Partitioning::kHash) {
    return fmt::format("shard {} holds slots {} to {}", shard.group.value(), encoded.first_slot(),
                       encoded.past_last_slot() - 1);
  }
  if (encoded.start().empty() && encoded.end().empty()) {
    return fmt::format("shard {} holds all keys of the keyspace", shard.group.value());
  }
  return fmt::format("shard {} holds the keys from its start up to its end", shard.group.value());
}

std::string Place(const DirectoryImage& image, const KeyspaceDescriptor& keyspace,
                  const ShardDescriptor& shard) {
  if (shard.pinned) return "its replicas were put there by hand, and the balancer leaves them";
  if (keyspace.partitioning == Partitioning::kRange) {
    return "its replicas went to the nodes with the fewest, and the balancer evens them out";
  }
  std::vector<NodeRecord> takers;
  for (const auto& [id, node] : image.nodes()) {
    if (node.role == NodeRole::kActive && node.weight > 0) takers.push_back(node);
  }
  const std::vector<NodeId> wanted = HashRing(takers).PlaceShard(RingKey(shard), RuleOf(keyspace));
  const bool there = std::set<NodeId>(wanted.begin(), wanted.end()) == shard.voters;
  return fmt::format("the ring of hashes puts its replicas on {}{}", Names(wanted),
                     there ? "" : ", and they are on their way there");
}

}  // namespace

std::vector<std::string> WhyThere(const DirectoryImage& image, const KeyspaceDescriptor& keyspace,
                                  const ShardDescriptor& shard, std::string_view user_key) {
  std::vector<std::string> reasons;
  if (keyspace.partitioning == Partitioning::kHash) {
    reasons.push_back(fmt::format("keyspace {} is partitioned by hash: the key's slot is {} of {}",
                                  keyspace.name, kv::SlotOf(user_key).value(), kv::kSlots));
  } else {
    reasons.push_back(fmt::format("keyspace {} is partitioned by ranges of keys", keyspace.name));
  }
  reasons.push_back(Holds(keyspace, shard));
  reasons.push_back(Place(image, keyspace, shard));
  if (!keyspace.apart.empty()) {
    reasons.push_back(fmt::format("no two on nodes that share {}, as long as there are enough",
                                  fmt::join(keyspace.apart, " or ")));
  }
  if (!keyspace.require.empty()) {
    reasons.push_back(fmt::format("only on nodes with {}", LabelsText(keyspace.require)));
  }
  return reasons;
}

}  // namespace flotilla
