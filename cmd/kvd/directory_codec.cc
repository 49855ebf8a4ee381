#include "cmd/kvd/directory_codec.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "kv/key_codec.h"
#include "kv/slots.h"

namespace flotilla {
namespace {

constexpr std::uint32_t kReplicasDefault = 3;

void EncodeDuration(Duration duration, google::protobuf::Duration& out) {
  out.set_seconds(duration.count() / 1'000'000'000);
  out.set_nanos(static_cast<std::int32_t>(duration.count() % 1'000'000'000));
}

StatusOr<Duration> DecodeRetention(const google::protobuf::Duration& in) {
  constexpr std::int64_t kSecondsMax = 100ll * 366 * 24 * 3600;
  if (in.seconds() < 0 || in.seconds() > kSecondsMax || in.nanos() < 0 ||
      in.nanos() >= 1'000'000'000) {
    return Error(Reason::kBadRequest,
                 "old versions can be kept for nothing up to a hundred years: give such a time");
  }
  return Duration(std::chrono::seconds(in.seconds()) + std::chrono::nanoseconds(in.nanos()));
}

template <class Map>
Labels DecodeLabels(const Map& in) {
  return {in.begin(), in.end()};
}

template <class List>
std::vector<std::string> DecodeNames(const List& in) {
  return {in.begin(), in.end()};
}

std::uint32_t SlotAt(std::string_view bound) {
  const auto slot = kv::SlotOfEncoded(bound);
  return slot ? slot->value() : 0;
}

Status NoSuchShard(std::uint64_t group) {
  return Error(
      Reason::kShardNotFound,
      fmt::format("there is no shard {}: list the shards for those that there are", group));
}

// Of two maps by id, what is new, different or gone.
template <class Map, class Put, class Erase>
void Compare(const Map* before, const Map& after, Put put, Erase erase) {
  static const Map kNone;
  if (before == nullptr) before = &kNone;
  auto old = before->begin();
  for (const auto& [id, row] : after) {
    for (; old != before->end() && old->first < id; ++old) erase(old->first);
    if (old != before->end() && old->first == id) {
      if (!(old->second == row)) put(row);
      ++old;
    } else {
      put(row);
    }
  }
  for (; old != before->end(); ++old) erase(old->first);
}

}  // namespace

void Encode(const KeyspaceDescriptor& keyspace, v1::Keyspace& out) {
  out.set_id(keyspace.id.value());
  out.set_name(keyspace.name);
  out.set_partitioning(keyspace.partitioning == Partitioning::kHash ? v1::PARTITIONING_HASH
                                                                    : v1::PARTITIONING_RANGE);
  out.set_replicas(keyspace.replicas);
  for (const std::string& label : keyspace.apart) out.add_apart(label);
  out.mutable_require()->insert(keyspace.require.begin(), keyspace.require.end());
  EncodeDuration(keyspace.retention, *out.mutable_retention());
  out.set_shards_min(keyspace.shards_min);
  out.set_dropping(keyspace.dropping);
}

void Encode(const ShardDescriptor& shard, v1::Shard& out) {
  out.set_group_id(shard.group.value());
  out.set_keyspace_id(shard.keyspace.value());
  if (kv::IsHashed(shard.keyspace)) {
    out.set_first_slot(SlotAt(shard.start));
    const bool last = shard.end >= kv::KeyspaceEnd(shard.keyspace);
    out.set_past_last_slot(last ? kv::kSlots : SlotAt(shard.end));
  } else {
    if (shard.start > kv::KeyspaceStart(shard.keyspace)) {
      out.set_start(kv::UserKeyAt(shard.start));
    }
    if (shard.end < kv::KeyspaceEnd(shard.keyspace)) out.set_end(kv::UserKeyAt(shard.end));
  }
  out.set_epoch(shard.epoch.value());
  for (const NodeId node : shard.voters) out.add_voters(node.value());
  for (const NodeId node : shard.learners) out.add_learners(node.value());
  out.set_pinned(shard.pinned);
}

void Encode(const gossip::Member& member, v1::NodeReport& out) {
  out.set_node_id(member.node.value());
  switch (member.standing.state) {
    case gossip::MemberState::kAlive:
      out.set_liveness(v1::LIVENESS_ALIVE);
      break;
    case gossip::MemberState::kSuspect:
      out.set_liveness(v1::LIVENESS_SUSPECT);
      break;
    case gossip::MemberState::kDead:
      out.set_liveness(v1::LIVENESS_DEAD);
      break;
    case gossip::MemberState::kLeft:
      out.set_liveness(v1::LIVENESS_LEFT);
      break;
  }
  if (member.load == nullptr) return;
  out.set_bytes_stored(member.load->bytes_stored);
  out.set_disk_bytes(member.load->capacity_bytes);
  out.set_replicas(member.load->replicas);
  out.set_leaders(member.load->leaders);
  out.set_requests_per_second(member.load->requests_per_second);
}

void Encode(const NodeRecord& node, v1::NodeDescriptor& out) {
  out.set_node_id(node.node.value());
  out.set_address(node.address);
  out.mutable_labels()->insert(node.labels.begin(), node.labels.end());
  out.set_weight(node.weight);
  out.set_disk_bytes(node.disk_bytes);
  switch (node.role) {
    case NodeRole::kActive:
      out.set_role(v1::NODE_ROLE_ACTIVE);
      break;
    case NodeRole::kDraining:
      out.set_role(v1::NODE_ROLE_DRAINING);
      break;
    case NodeRole::kDecommissioned:
      out.set_role(v1::NODE_ROLE_DECOMMISSIONED);
      break;
  }
}

void Encode(const JobRecord& job, v1::Job& out) {
  // Both lists of kinds and of states have the same numbers.
  static_assert(static_cast<int>(JobKind::kSplit) == v1::JOB_KIND_SPLIT &&
                static_cast<int>(JobKind::kMerge) == v1::JOB_KIND_MERGE &&
                static_cast<int>(JobKind::kMove) == v1::JOB_KIND_MOVE &&
                static_cast<int>(JobKind::kDrain) == v1::JOB_KIND_DRAIN &&
                static_cast<int>(JobKind::kDropKeyspace) == v1::JOB_KIND_DROP_KEYSPACE);
  static_assert(static_cast<int>(JobState::kRunning) == v1::JOB_STATE_RUNNING &&
                static_cast<int>(JobState::kCancelling) == v1::JOB_STATE_CANCELLING &&
                static_cast<int>(JobState::kDone) == v1::JOB_STATE_DONE &&
                static_cast<int>(JobState::kCancelled) == v1::JOB_STATE_CANCELLED &&
                static_cast<int>(JobState::kFailed) == v1::JOB_STATE_FAILED);
  out.set_job_id(job.id.value());
  out.set_kind(static_cast<v1::JobKind>(job.kind));
  out.set_state(static_cast<v1::JobState>(job.state));
  out.set_step(job.step);
  out.set_group_id(job.group.value());
  out.set_other_group_id(job.other.value());
  out.set_from_node_id(job.from.value());
  out.set_to_node_id(job.to.value());
  out.set_keyspace_id(job.keyspace.value());
  out.set_reason(job.reason);
  out.set_error(job.error);
  out.set_created(job.created.value());
  out.set_updated(job.updated.value());
}

void Encode(const ShardSurvey& survey, v1::ShardLoad& out) {
  out.set_leader_id(survey.leader.value());
  out.set_bytes(survey.bytes);
  out.set_keys(survey.keys);
  out.set_reads_per_second(survey.reads_per_s);
  out.set_writes_per_second(survey.writes_per_s);
}

void EncodeWithCount(const KeyspaceDescriptor& keyspace, const DirectoryImage& image,
                     v1::Keyspace& out) {
  Encode(keyspace, out);
  out.set_shards(static_cast<std::uint32_t>(
      image.Overlapping(kv::KeyspaceStart(keyspace.id), kv::KeyspaceEnd(keyspace.id)).size()));
}

StatusOr<CreateKeyspaceCall> Decode(const v1::CreateKeyspaceRequest& request,
                                    const DirectoryImage& image) {
  CreateKeyspaceCall call;
  KeyspaceSpec& spec = call.spec;
  spec.name = request.name();
  switch (request.partitioning()) {
    case v1::PARTITIONING_UNSPECIFIED:
    case v1::PARTITIONING_RANGE:
      spec.partitioning = Partitioning::kRange;
      break;
    case v1::PARTITIONING_HASH:
      spec.partitioning = Partitioning::kHash;
      break;
    default:
      return Error(Reason::kBadRequest,
                   "this server does not know the partitioning asked for: use RANGE or HASH");
  }
  spec.replicas = request.replicas() == 0 ? kReplicasDefault : request.replicas();
  spec.apart = DecodeNames(request.apart());
  spec.require = DecodeLabels(request.require());
  spec.shards = request.shards() == 0 ? 1 : request.shards();
  spec.split_keys = DecodeNames(request.split_keys());
  if (request.has_retention()) {
    ASSIGN_OR_RETURN(spec.retention, DecodeRetention(request.retention()));
  } else if (const KeyspaceDescriptor* first = image.Find(kv::kDefaultKeyspace)) {
    spec.retention = first->retention;
  }
  return call;
}

StatusOr<AlterKeyspaceCall> Decode(const v1::AlterKeyspaceRequest& request) {
  AlterKeyspaceCall call;
  call.name = request.name();
  if (request.has_replicas()) call.replicas = request.replicas();
  if (request.has_apart()) call.apart = DecodeNames(request.apart().names());
  if (request.has_require()) call.require = DecodeLabels(request.require().values());
  if (request.has_retention()) {
    ASSIGN_OR_RETURN(call.retention, DecodeRetention(request.retention()));
  }
  if (!call.replicas && !call.apart && !call.require && !call.retention) {
    return Error(Reason::kBadRequest,
                 "nothing is to change: give replicas, apart, require or retention");
  }
  return call;
}

StatusOr<SplitCall> Decode(const v1::SplitShardRequest& request, const DirectoryImage& image) {
  SplitCall call;
  call.group = GroupId(request.group_id());
  const ShardDescriptor* shard = image.Find(call.group);
  if (shard == nullptr) return NoSuchShard(request.group_id());
  const bool hashed = kv::IsHashed(shard->keyspace);
  switch (request.at_case()) {
    case v1::SplitShardRequest::AT_NOT_SET:
      return call;
    case v1::SplitShardRequest::kKey:
      if (hashed) {
        return Error(Reason::kBadRequest, "a shard of a hash keyspace is split at a slot");
      }
      if (request.key().empty()) {
        return Error(Reason::kBadRequest, "the key to split at is empty: name one");
      }
      call.key = kv::RangeStart(shard->keyspace, request.key());
      break;
    case v1::SplitShardRequest::kSlot:
      if (!hashed) {
        return Error(Reason::kBadRequest, "a shard of a range keyspace is split at a key");
      }
      // Nothing is before slot 0.
      if (request.slot() == 0 || request.slot() >= kv::kSlots) {
        return Error(Reason::kBadRequest,
                     fmt::format("a shard is split at slot 1 to {}", kv::kSlots - 1));
      }
      call.key = kv::SlotBound(shard->keyspace, request.slot());
      break;
  }
  if (call.key <= shard->start || call.key >= shard->end) {
    return Error(Reason::kBadRequest, fmt::format("shard {} does not hold both sides of that place",
                                                  shard->group.value()));
  }
  return call;
}

StatusOr<MoveCall> Decode(const v1::MoveReplicaRequest& request) {
  if (request.from_node_id() == 0 && request.to_node_id() == 0) {
    return Error(Reason::kBadRequest, "say from which node to which the replica goes");
  }
  if (request.from_node_id() == request.to_node_id()) {
    return Error(Reason::kBadRequest, "a replica cannot go from a node to the same node");
  }
  return MoveCall{.group = GroupId(request.group_id()),
                  .from = NodeId(request.from_node_id()),
                  .to = NodeId(request.to_node_id())};
}

void EncodeChange(const DirectoryImage* before, const DirectoryImage& after,
                  v1::WatchDirectoryResponse& out) {
  out.set_whole(before == nullptr);
  out.set_version(after.version().value());
  Compare(
      before == nullptr ? nullptr : &before->keyspaces(), after.keyspaces(),
      [&](const KeyspaceDescriptor& row) { Encode(row, *out.add_keyspaces()); },
      [&](kv::KeyspaceId id) { out.add_erased_keyspaces(id.value()); });
  Compare(
      before == nullptr ? nullptr : &before->shards(), after.shards(),
      [&](const ShardDescriptor& row) { Encode(row, *out.add_shards()); },
      [&](GroupId id) { out.add_erased_shards(id.value()); });
  Compare(
      before == nullptr ? nullptr : &before->nodes(), after.nodes(),
      [&](const NodeRecord& row) { Encode(row, *out.add_nodes()); },
      [&](NodeId id) { out.add_erased_nodes(id.value()); });
}

bool HasRows(const v1::WatchDirectoryResponse& change) {
  return change.whole() || change.keyspaces_size() > 0 || change.shards_size() > 0 ||
         change.nodes_size() > 0 || change.erased_keyspaces_size() > 0 ||
         change.erased_shards_size() > 0 || change.erased_nodes_size() > 0;
}

bool HasEnded(const JobRecord& job) {
  return job.state == JobState::kDone || job.state == JobState::kCancelled ||
         job.state == JobState::kFailed;
}

}  // namespace flotilla
