#include "shard/founding.h"

#include <utility>

#include "base/coding.h"
#include "kv/command.h"
#include "shard/directory/edits.h"

namespace flotilla {
namespace {

// Of the keyspace `default`.
constexpr Duration kRetention = std::chrono::minutes(10);
// Of the directory's first rows: before every other.
constexpr Timestamp kFirstTimestamp{1};

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

std::vector<FoundedGroup> FoundedGroups(const Founding& founding) {
  // The registry of nodes is part of the directory group's configuration; others name members only.
  Members plain;
  std::vector<NodeRecord> nodes;
  raft::Configuration configuration;
  for (const MemberRecord& record : founding.members.records) {
    configuration.voters.insert(record.node);
    plain.records.push_back({.node = record.node, .uuid = {}, .address = {}, .promote = false});
    NodeRecord& node = nodes.emplace_back();
    node.node = record.node;
    node.uuid = record.uuid;
    node.address = record.address;
  }
  std::vector<FoundedGroup> groups;
  for (const GroupId id : {kDirectoryGroup, kFirstDataGroup}) {
    const bool directory = id == kDirectoryGroup;
    FoundedGroup& group = groups.emplace_back();
    group.group = id;
    group.configuration = configuration;
    group.configuration.context = EncodeMembers(directory ? founding.members : plain);
    group.entries.push_back({.term = raft::Term(1),
                             .index = raft::Index(1),
                             .kind = raft::EntryKind::kConfiguration,
                             .payload = Bytes(raft::EncodeConfiguration(group.configuration))});
    if (!directory) continue;
    const DirectoryEdit edit = FoundDirectory(nodes, founding.members.next_node, kRetention);
    kv::CommandBatchWriter writer(kFirstTimestamp);
    writer.Add(EncodeFirstEdit(edit));
    group.entries.push_back({.term = raft::Term(1),
                             .index = raft::Index(2),
                             .kind = raft::EntryKind::kCommand,
                             .payload = std::move(writer).Finish()});
  }
  return groups;
}

}  // namespace flotilla
