#include "shard/directory/edits.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/planted.h"
#include "kv/command.h"
#include "kv/key_codec.h"
#include "shard/placement/slots.h"

namespace flotilla {
namespace {

constexpr std::string_view kDefaultName = "default";
constexpr std::size_t kNameBytesMax = 128;
constexpr std::uint32_t kReplicasMax = 15;
constexpr std::uint32_t kShardsMax = 10'000;

bool IsNameByte(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_' ||
         byte == '-' || byte == '.';
}

Status BadReplicas(std::uint32_t replicas) {
  return Error(Reason::kBadRequest,
               fmt::format("a shard has 1 to {} replicas, not {}", kReplicasMax, replicas));
}

Status CheckSpec(const KeyspaceSpec& spec) {
  if (spec.name.empty() || spec.name.size() > kNameBytesMax ||
      !std::all_of(spec.name.begin(), spec.name.end(), IsNameByte)) {
    return Error(
        Reason::kBadRequest,
        fmt::format("a keyspace's name has 1 to {} of a-z, 0-9, '_', '-' and '.'", kNameBytesMax));
  }
  if (spec.replicas == 0 || spec.replicas > kReplicasMax) {
    return BadReplicas(spec.replicas);
  }
  const bool hash = spec.partitioning == Partitioning::kHash;
  if (hash ? !spec.split_keys.empty() : spec.shards != 1) {
    return Error(Reason::kBadRequest,
                 "a hash keyspace is split by a number of shards, a range keyspace by keys");
  }
  if (spec.shards == 0 ||
      std::max<std::size_t>(spec.shards, spec.split_keys.size() + 1) > kShardsMax) {
    return Error(Reason::kBadRequest,
                 fmt::format("a keyspace begins with 1 to {} shards", kShardsMax));
  }
  return absl::OkStatus();
}

Status NoSuchKeyspace(std::string_view name) {
  return Error(Reason::kKeyspaceNotFound, fmt::format("there is no keyspace {}", name));
}

std::vector<kv::RowChange> ToChanges(const DirectoryEdit& edit) {
  std::vector<kv::RowChange> changes;
  for (const std::string& key : edit.erase) changes.push_back({key, std::nullopt});
  for (const DirectoryRow& row : edit.put) changes.push_back({RowKey(row), EncodeRow(row)});
  return changes;
}

// `counters`: how the row must be before; null: it does not matter.
std::string EncodeChanges(const std::vector<kv::RowChange>& changes, const std::string* counters,
                          const kv::Session& session) {
  const std::string counters_key = RowKey(DirectoryRow(Counters()));
  kv::CommandView command{.keyspace = kDirectoryKeyspace, .session = session, .ops = {}};
  for (const kv::RowChange& change : changes) {
    kv::WriteOp& op = command.ops.emplace_back();
    op.key = change.key;
    if (change.value) {
      op.value = *change.value;
    } else {
      op.kind = kv::WriteKind::kDelete;
    }
    if (counters != nullptr && change.key == counters_key) {
      op.condition = kv::ConditionKind::kValueIs;
      op.condition_value = *counters;
    }
  }
  return kv::EncodeCommand(command);
}

// Of the groups that have held a key, each later one had a greater epoch: a split and a merge begin
// above those that they come from.
bool Superseded(const ShardDescriptor& report, const DirectoryImage& image,
                const std::vector<ShardDescriptor>& reports) {
  const auto later = [&](const ShardDescriptor& other) {
    return other.group != report.group && other.epoch >= report.epoch && other.start < report.end &&
           report.start < other.end;
  };
  const std::vector<const ShardDescriptor*> known = image.Overlapping(report.start, report.end);
  return std::any_of(known.begin(), known.end(), [&](const auto* one) { return later(*one); }) ||
         std::any_of(reports.begin(), reports.end(), later);
}

}  // namespace

void DirectoryEdit::Add(DirectoryEdit other) {
  std::move(other.put.begin(), other.put.end(), std::back_inserter(put));
  std::move(other.erase.begin(), other.erase.end(), std::back_inserter(erase));
}

std::string EncodeFirstEdit(const DirectoryEdit& edit) {
  return EncodeChanges(ToChanges(edit), nullptr, {});
}

std::string EncodeEdit(const DirectoryEdit& edit, const DirectoryImage& image,
                       const kv::Session& session) {
  DirectoryEdit whole = edit;
  Counters counters = image.counters();
  std::erase_if(whole.put, [&](const DirectoryRow& row) {
    if (const auto* own = std::get_if<Counters>(&row)) counters = *own;
    return std::holds_alternative<Counters>(row);
  });
  counters.edition = image.counters().edition + 1;
  whole.put.emplace_back(counters);
  const std::string before = EncodeRow(image.counters());
  return EncodeChanges(ToChanges(whole), Planted(Plant::kEditBlind) ? nullptr : &before, session);
}

// No edit: it touches nothing that edits are computed from, and makes none of them anew.
std::string EncodeWindowMove(TimestampWindow before, TimestampWindow after) {
  const std::string key = RowKey(DirectoryRow(after));
  const std::string value = EncodeRow(after);
  const std::string expected = EncodeRow(before);
  kv::WriteOp op{.key = key, .value = value};
  if (before.end) {
    op.condition = kv::ConditionKind::kValueIs;
    op.condition_value = expected;
  } else {
    op.condition = kv::ConditionKind::kAbsent;
  }
  return kv::EncodeCommand({.keyspace = kDirectoryKeyspace, .session = {}, .ops = {op}});
}

StatusOr<DirectoryImage> WithEdit(const DirectoryImage& image, const DirectoryEdit& edit) {
  DirectoryImage after = image;
  RETURN_IF_ERROR(after.Apply(ToChanges(edit), image.version()));
  return after;
}

DirectoryEdit FoundDirectory(const std::vector<NodeRecord>& nodes, NodeId next_node,
                             Duration retention) {
  DirectoryEdit edit;
  KeyspaceDescriptor keyspace;
  keyspace.id = kv::kDefaultKeyspace;
  keyspace.name = kDefaultName;
  keyspace.replicas = nodes.size() < 5 ? 3 : 5;  // as nodes allow, which may yet come
  keyspace.retention = retention;
  ShardDescriptor shard;
  shard.group = kFirstDataGroup;
  shard.keyspace = keyspace.id;
  shard.start = kv::KeyspaceStart(keyspace.id);
  shard.end = kv::KeyspaceEnd(keyspace.id);
  shard.epoch = kFoundedEpoch;
  for (const NodeRecord& node : nodes) {
    shard.voters.insert(node.node);
    edit.put.emplace_back(node);
  }
  edit.put.emplace_back(std::move(keyspace));
  edit.put.emplace_back(std::move(shard));
  edit.put.emplace_back(Counters{.next_keyspace = kv::KeyspaceId(2),
                                 .next_group = GroupId(kFirstDataGroup.value() + 1),
                                 .next_job = JobId(1),
                                 .next_node = next_node});
  return edit;
}

StatusOr<DirectoryEdit> CreateKeyspace(const DirectoryImage& image, const KeyspaceSpec& spec,
                                       const Placement& placement) {
  RETURN_IF_ERROR(CheckSpec(spec));
  if (image.FindKeyspace(spec.name) != nullptr) {
    return Error(Reason::kKeyspaceExists, fmt::format("there is a keyspace {} already", spec.name));
  }
  Counters counters = image.counters();
  KeyspaceDescriptor keyspace;
  keyspace.id = spec.partitioning == Partitioning::kHash
                    ? kv::KeyspaceId(counters.next_keyspace.value() | kv::kHashedBit)
                    : counters.next_keyspace;
  keyspace.name = spec.name;
  keyspace.partitioning = spec.partitioning;
  keyspace.replicas = spec.replicas;
  keyspace.apart = spec.apart;
  keyspace.require = spec.require;
  keyspace.retention = spec.retention;
  ++counters.next_keyspace;
  ASSIGN_OR_RETURN(const std::vector<KeyRange> ranges,
                   spec.partitioning == Partitioning::kHash
                       ? SplitIntoSlotRuns(keyspace.id, spec.shards)
                       : SplitAtKeys(keyspace.id, spec.split_keys));
  keyspace.shards_min = static_cast<std::uint32_t>(ranges.size());
  DirectoryEdit edit;
  for (const KeyRange& range : ranges) {
    ShardDescriptor shard;
    shard.group = counters.next_group;
    shard.keyspace = keyspace.id;
    shard.start = range.start;
    shard.end = range.end;
    shard.epoch = kFoundedEpoch;
    for (const NodeId node : placement(keyspace, shard)) shard.voters.insert(node);
    if (shard.voters.empty()) {
      return Error(Reason::kNoQuorum,
                   fmt::format("no node may hold keyspace {}: see its constraints and `kvctl node "
                               "list`",
                               spec.name));
    }
    counters.next_group = GroupId(shard.group.value() + 1);
    edit.put.emplace_back(std::move(shard));
  }
  edit.put.emplace_back(std::move(keyspace));
  edit.put.emplace_back(counters);
  return edit;
}

StatusOr<DirectoryEdit> AlterKeyspace(const DirectoryImage& image, std::string_view name,
                                      const std::function<void(KeyspaceDescriptor&)>& change) {
  const KeyspaceDescriptor* found = image.FindKeyspace(name);
  if (found == nullptr || found->dropping) return NoSuchKeyspace(name);
  KeyspaceDescriptor altered = *found;
  change(altered);
  if (altered.replicas == 0 || altered.replicas > kReplicasMax)
    return BadReplicas(altered.replicas);
  DirectoryEdit edit;
  if (altered != *found) edit.put.emplace_back(std::move(altered));
  return edit;
}

StatusOr<DirectoryEdit> BeginDropKeyspace(const DirectoryImage& image, std::string_view name) {
  const KeyspaceDescriptor* found = image.FindKeyspace(name);
  if (found == nullptr) return NoSuchKeyspace(name);
  if (found->id == kv::kDefaultKeyspace) {
    return Error(Reason::kBadRequest, "the keyspace default cannot be dropped: delete its keys");
  }
  DirectoryEdit edit;
  if (found->dropping) return edit;
  KeyspaceDescriptor dropping = *found;
  dropping.dropping = true;
  edit.put.emplace_back(std::move(dropping));
  return edit;
}

StatusOr<DirectoryEdit> FinishDropKeyspace(const DirectoryImage& image, kv::KeyspaceId keyspace) {
  DirectoryEdit edit;
  const KeyspaceDescriptor* found = image.Find(keyspace);
  if (found == nullptr) return edit;
  if (!found->dropping) {
    return Error(Reason::kInternal, fmt::format("keyspace {} is in use", found->name));
  }
  edit.erase.push_back(RowKey(keyspace));
  for (const auto& [group, shard] : image.shards()) {
    if (shard.keyspace == keyspace) edit.erase.push_back(RowKey(group));
  }
  return edit;
}

StatusOr<DirectoryEdit> RecordNode(const DirectoryImage& image, const NodeRecord& node) {
  DirectoryEdit edit;
  const NodeRecord* known = image.Find(node.node);
  if (known != nullptr && known->role == NodeRole::kDecommissioned) {
    return Error(Reason::kBadRequest,
                 fmt::format("node {} was decommissioned: empty its data directory and let it join "
                             "as a new one",
                             node.node.value()));
  }
  NodeRecord now = node;
  // What people have decided about a node is not the node's to say.
  if (known != nullptr) now.role = known->role;
  if (known != nullptr && *known == now) return edit;
  edit.put.emplace_back(std::move(now));
  return edit;
}

StatusOr<DirectoryEdit> SetNodeRole(const DirectoryImage& image, NodeId node, NodeRole role) {
  const NodeRecord* known = image.Find(node);
  if (known == nullptr) {
    return Error(Reason::kNodeNotFound,
                 fmt::format("there is no node {}: see `kvctl node list`", node.value()));
  }
  DirectoryEdit edit;
  if (known->role == role) return edit;
  if (known->role == NodeRole::kDecommissioned) {
    return Error(Reason::kBadRequest,
                 fmt::format("node {} was decommissioned, and does not come back: while it is not "
                             "empty, `kvctl job cancel` with its job's number lets it stay",
                             node.value()));
  }
  const bool last = std::none_of(image.nodes().begin(), image.nodes().end(), [&](const auto& one) {
    return one.first != node && one.second.role == NodeRole::kActive;
  });
  if (role != NodeRole::kActive && last) {
    return Error(Reason::kMembershipRefused,
                 fmt::format("node {} is the last one that is not being emptied: add another first",
                             node.value()));
  }
  NodeRecord now = *known;
  now.role = role;
  edit.put.emplace_back(std::move(now));
  return edit;
}

StatusOr<DirectoryEdit> TakeReports(const DirectoryImage& image,
                                    const std::vector<ShardDescriptor>& reports) {
  DirectoryEdit edit;
  std::set<GroupId> reported;
  for (const ShardDescriptor& report : reports) {
    // Of one that was dropped meanwhile.
    if (image.Find(report.keyspace) == nullptr) continue;
    if (Superseded(report, image, reports)) continue;
    reported.insert(report.group);
    const ShardDescriptor* known = image.Find(report.group);
    if (known != nullptr && known->epoch >= report.epoch) continue;
    ShardDescriptor now = report;
    if (known != nullptr) now.pinned = known->pinned;
    edit.put.emplace_back(std::move(now));
  }
  if (edit.empty()) return edit;
  for (const DirectoryRow& row : edit.put) {
    const auto& taken = std::get<ShardDescriptor>(row);
    for (const ShardDescriptor* other : image.Overlapping(taken.start, taken.end)) {
      const bool covered = other->start >= taken.start && other->end <= taken.end;
      if (covered && !reported.contains(other->group)) edit.erase.push_back(RowKey(other->group));
    }
  }
  ASSIGN_OR_RETURN(const DirectoryImage after, WithEdit(image, edit));
  if (const Status tiled = after.CheckTiling(); !tiled.ok()) {
    return Error(Reason::kNotReady, std::string(MessageOf(tiled)));
  }
  return edit;
}

}  // namespace flotilla
