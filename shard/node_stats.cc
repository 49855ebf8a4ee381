#include "shard/node_stats.h"

#include <cmath>

#include "base/coding.h"

namespace flotilla {
namespace {

constexpr std::uint64_t kGroupsMax = 100'000;
constexpr std::uint64_t kMembersMax = 100;

// A thousandth of a request a second is exact enough.
std::uint64_t Milli(double rate) { return static_cast<std::uint64_t>(std::llround(rate * 1000)); }

bool ReadRate(Reader& reader, double& rate) {
  std::uint64_t milli = 0;
  if (!reader.Varint(milli)) return false;
  rate = static_cast<double>(milli) / 1000;
  return true;
}

bool ReadShard(Reader& reader, ShardStats& shard) {
  std::uint64_t group = 0;
  std::uint64_t behind = 0;
  if (!reader.Varint(group) || !reader.Varint(shard.bytes) || !reader.Varint(shard.keys) ||
      !ReadRate(reader, shard.reads_per_s) || !ReadRate(reader, shard.writes_per_s) ||
      !reader.Varint(behind) || behind > kMembersMax) {
    return false;
  }
  shard.group = GroupId(group);
  for (std::uint64_t i = 0; i < behind; ++i) {
    std::uint64_t node = 0;
    if (!reader.Varint(node)) return false;
    shard.behind.insert(NodeId(node));
  }
  std::string_view median;
  if (!reader.Prefixed(median)) return false;
  shard.load_median = median;
  return true;
}

}  // namespace

std::string EncodeNodeStats(const NodeStats& stats) {
  std::string out;
  out.push_back(stats.same ? '\1' : '\0');
  if (stats.same) return out;
  AppendVarint(out, stats.leads.size());
  for (const ShardStats& shard : stats.leads) {
    AppendVarint(out, shard.group.value());
    AppendVarint(out, shard.bytes);
    AppendVarint(out, shard.keys);
    AppendVarint(out, Milli(shard.reads_per_s));
    AppendVarint(out, Milli(shard.writes_per_s));
    AppendVarint(out, shard.behind.size());
    for (const NodeId node : shard.behind) AppendVarint(out, node.value());
    AppendPrefixed(out, shard.load_median);
  }
  return out;
}

StatusOr<NodeStats> DecodeNodeStats(std::string_view body) {
  Reader reader(body);
  NodeStats stats;
  std::uint64_t count = 0;
  std::uint8_t same = 0;
  bool good = reader.Byte(same) && same <= 1;
  stats.same = same == 1;
  good = good && (stats.same || (reader.Varint(count) && count <= kGroupsMax));
  for (std::uint64_t i = 0; good && i < count; ++i) {
    good = ReadShard(reader, stats.leads.emplace_back());
  }
  if (!good || !reader.empty()) {
    return Error(Reason::kBadRequest, "a node's report of its shards is malformed");
  }
  return stats;
}

}  // namespace flotilla
