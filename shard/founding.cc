#include "shard/founding.h"

#include <utility>

#include "base/coding.h"
#include "kv/command.h"
#include "kv/control.h"
#include "kv/key_codec.h"
#include "shard/directory/edits.h"

namespace flotilla {
namespace {

// Of the keyspace `default`.
constexpr Duration kRetention = std::chrono::minutes(10);
// Of the directory's first rows: before every other.
constexpr Timestamp kFirstTimestamp{1};

void Append(FoundedGroup& group, raft::EntryKind kind, Bytes payload) {
  group.entries.push_back({.term = raft::Term(1),
                           .index = raft::Index(group.entries.size() + 1),
                           .kind = kind,
                           .payload = std::move(payload)});
}

FoundedGroup FoundGroup(const ShardDescriptor& shard, const Members& members) {
  FoundedGroup group;
  group.group = shard.group;
  group.configuration.voters = shard.voters;
  group.configuration.context = EncodeMembers(members);
  Append(group, raft::EntryKind::kConfiguration,
         Bytes(raft::EncodeConfiguration(group.configuration)));
  const kv::ControlCommand range{.expected_epoch = Epoch(kFoundedEpoch.value() - 1),
                                 .change = kv::SetRange{.start = shard.start, .end = shard.end}};
  Append(group, raft::EntryKind::kControl, Bytes(kv::EncodeControl(range)));
  return group;
}

Bytes FirstRows(const DirectoryEdit& edit) {
  kv::CommandBatchWriter writer(kFirstTimestamp);
  writer.Add(EncodeFirstEdit(edit));
  return std::move(writer).Finish();
}

}  // namespace

std::string EncodeFounding(const Founding& founding) {
  std::string out;
  AppendFixed64(out, founding.cluster.value());
  AppendPrefixed(out, EncodeMembers(founding.members));
  return out;
}

StatusOr<Founding> DecodeFounding(std::string_view bytes) {
  Reader reader(bytes);
  std::uint64_t cluster = 0;
  std::string_view encoded;
  if (!reader.Fixed64(cluster) || !reader.Prefixed(encoded) || !reader.empty() || cluster == 0) {
    return Error(Reason::kBadRequest, "a malformed founding of a cluster");
  }
  ASSIGN_OR_RETURN(Members members, DecodeMembers(encoded));
  return Founding{.cluster = ClusterId(cluster), .members = std::move(members)};
}

FoundedGroup FoundGroup(const ShardDescriptor& shard) {
  Members members;
  for (const NodeId node : shard.voters) {
    members.records.push_back({.node = node, .uuid = {}, .address = {}, .promote = false});
  }
  return FoundGroup(shard, members);
}

raft::RecoveredGroup AsRecovered(const FoundedGroup& group) {
  raft::RecoveredGroup recovered;
  recovered.hard_state.term = raft::Term(1);
  for (const raft::Entry& entry : group.entries) {
    recovered.entries.push_back(
        {.term = entry.term, .bytes = static_cast<std::uint32_t>(entry.payload.size())});
  }
  recovered.configurations.emplace_back(raft::Index(1), group.configuration);
  return recovered;
}

std::vector<FoundedGroup> FoundedGroups(const Founding& founding) {
  std::vector<NodeRecord> nodes;
  for (const MemberRecord& record : founding.members.records) {
    NodeRecord& node = nodes.emplace_back();
    node.node = record.node;
    node.uuid = record.uuid;
    node.address = record.address;
  }
  const DirectoryEdit edit = FoundDirectory(nodes, founding.members.next_node, kRetention);
  std::vector<FoundedGroup> groups;
  for (const DirectoryRow& row : edit.put) {
    const auto* first = std::get_if<ShardDescriptor>(&row);
    if (first == nullptr) continue;
    ShardDescriptor directory = *first;
    directory.group = kDirectoryGroup;
    directory.start = kv::KeyspaceStart(kDirectoryKeyspace);
    directory.end = kv::KeyspaceEnd(kDirectoryKeyspace);
    // The registry of nodes is part of its configuration.
    groups.push_back(FoundGroup(directory, founding.members));
    Append(groups.back(), raft::EntryKind::kCommand, FirstRows(edit));
    groups.push_back(FoundGroup(*first));
  }
  return groups;
}

}  // namespace flotilla
