#include "cmd/kvd/vacuum_codec.h"

#include <algorithm>
#include <optional>
#include <string>

#include "base/timestamp.h"

namespace flotilla {
namespace {

void EncodeMs(std::uint64_t ms, google::protobuf::Duration& out) {
  out.set_seconds(static_cast<std::int64_t>(ms / 1000));
  out.set_nanos(static_cast<std::int32_t>(ms % 1000 * 1'000'000));
}

void EncodeGroup(const GroupInfo& group, const DirectoryImage& image, v1::GroupVacuum& out) {
  out.set_group_id(group.group.value());
  const ShardDescriptor* const shard = image.Find(group.group);
  const KeyspaceDescriptor* const keyspace =
      shard != nullptr ? image.Find(shard->keyspace) : nullptr;
  if (keyspace != nullptr) out.set_keyspace(keyspace->name);
  out.set_versions(group.versions.versions);
  out.set_dead_versions(group.versions.dead);
  out.set_dead_bytes(group.versions.dead_bytes);
  out.set_due_versions(group.versions.due);
  out.set_file_bytes(group.versions.file_bytes);
  out.set_safe_point(group.safe_point.value());
  const std::uint64_t now_ms = MillisecondsOf(group.last_timestamp);
  EncodeMs(now_ms - std::min(now_ms, MillisecondsOf(group.safe_point)),
           *out.mutable_safe_point_age());
  if (group.retention_ms != kv::kKeepAll) {
    EncodeMs(group.retention_ms, *out.mutable_retention());
  }
  EncodeVacuum(group.vacuum, *out.mutable_last_run());
  out.set_collected_total(group.counts.versions_collected);
}

// The reader keeps what the retention does not, and has not done so for too long.
bool HeldUp(const GroupInfo& group, const std::optional<OldestReader>& reader) {
  if (!reader || group.retention_ms == kv::kKeepAll || group.safe_point > reader->reads_at) {
    return false;
  }
  return MillisecondsOf(reader->reads_at) + group.retention_ms <
         MillisecondsOf(group.last_timestamp);
}

}  // namespace

void EncodeVacuum(const VacuumReport& report, v1::VacuumRunStatus& out) {
  out.set_runs(report.runs);
  out.set_running(report.running);
  if (report.runs == 0) return;
  const std::int64_t us = report.ended_at.count();
  out.mutable_ended_at()->set_seconds(us / 1'000'000);
  out.mutable_ended_at()->set_nanos(static_cast<std::int32_t>(us % 1'000'000 * 1'000));
  EncodeMs(static_cast<std::uint64_t>(report.took / std::chrono::milliseconds(1)),
           *out.mutable_took());
  out.set_versions_dropped(report.versions_dropped);
  out.set_bytes_before(report.bytes_before);
  out.set_bytes_after(report.bytes_after);
  if (!report.failure.ok()) out.set_failure(std::string(MessageOf(report.failure)));
}

void EncodeVacuums(const NodeInfo& info, const DirectoryImage& image,
                   v1::VacuumStatusResponse& out) {
  out.set_node_id(info.node.value());
  for (const GroupInfo& group : info.groups) {
    v1::GroupVacuum& one = *out.add_groups();
    EncodeGroup(group, image, one);
    one.set_held_up(HeldUp(group, info.oldest_reader));
  }
  if (!info.oldest_reader) return;
  v1::OldReader& reader = *out.mutable_oldest_reader();
  reader.set_transaction_id(info.oldest_reader->txn.value());
  reader.set_node_id(info.oldest_reader->node.value());
  reader.set_read_timestamp(info.oldest_reader->reads_at.value());
}

}  // namespace flotilla
