// Sizes: what is big or hot is split, small cold neighbours are merged.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <tuple>

#include "kv/key_codec.h"
#include "shard/placement/slots.h"
#include "shard/placement/steps.h"

namespace flotilla {
namespace {

std::string BytesText(std::uint64_t bytes) {
  constexpr double kMiB = 1 << 20;
  const double mib = static_cast<double>(bytes) / kMiB;
  return mib < 1024 ? fmt::format("{:.1f} MiB", mib) : fmt::format("{:.1f} GiB", mib / 1024);
}

std::string LoadText(double per_s) { return fmt::format("{:.0f} requests/s", per_s); }

// Where a split near `wish` can be; none when the shard would not fall in two.
std::optional<std::string> SplitKey(const ShardState& shard, const std::string& wish) {
  const ShardDescriptor& descriptor = shard.view->descriptor;
  if (shard.keyspace->partitioning == Partitioning::kHash) {
    return SlotBoundaryNear(wish, {descriptor.start, descriptor.end});
  }
  if (wish <= descriptor.start || wish >= descriptor.end) return std::nullopt;
  return wish;
}

bool SplitOne(Draft& draft, ShardState& shard, const std::string& median, std::string reason) {
  std::optional<std::string> key = SplitKey(shard, median);
  if (!key) {
    const bool hash = shard.keyspace->partitioning == Partitioning::kHash;
    draft.Obstruct(
        fmt::format("{}, but no {} is known that would part it", reason, hash ? "slot" : "key"),
        shard.group());
    return false;
  }
  draft.Split(shard, std::move(*key), {Purpose::kLoad, std::move(reason)});
  return true;
}

struct MergeLimits {
  std::uint64_t bytes;
  double requests_per_s;
};
MergeLimits LimitsOf(const BalancerOptions& options) {
  // Far enough from the limits of splits that nothing is merged to be split again.
  return {std::min(options.merge_bytes, options.split_bytes / 4),
          std::min(options.merge_requests_per_s, options.split_requests_per_s / 4)};
}

bool Mergeable(const Draft& draft, const ShardState& shard) {
  return shard.group() != kDirectoryGroup && !shard.view->descriptor.pinned && draft.Free(shard) &&
         draft.Quiet(shard, draft.options().merge_after);
}

// Shards that a keyspace will have once running merges are done.
std::map<kv::KeyspaceId, std::uint32_t> ShardsOf(Draft& draft) {
  std::map<kv::KeyspaceId, std::uint32_t> shards;
  std::map<GroupId, kv::KeyspaceId> keyspaces;
  for (const ShardState& shard : draft.shards()) {
    ++shards[shard.view->descriptor.keyspace];
    keyspaces[shard.group()] = shard.view->descriptor.keyspace;
  }
  for (const JobRecord& job : draft.view().jobs) {
    const bool runs = job.state == JobState::kRunning || job.state == JobState::kCancelling;
    if (runs && job.kind == JobKind::kMerge && keyspaces.contains(job.group)) {
      --shards[keyspaces[job.group]];
    }
  }
  return shards;
}

struct Pair {
  ShardState* left;
  ShardState* right;

  std::uint64_t bytes() const { return left->view->bytes + right->view->bytes; }
  double load() const { return left->view->load() + right->view->load(); }
};

std::vector<Pair> SmallPairs(Draft& draft) {
  const MergeLimits limits = LimitsOf(draft.options());
  std::vector<Pair> pairs;
  std::vector<ShardState>& shards = draft.shards();
  for (std::size_t i = 0; i + 1 < shards.size(); ++i) {
    const Pair pair{&shards[i], &shards[i + 1]};
    const ShardDescriptor& left = pair.left->view->descriptor;
    const ShardDescriptor& right = pair.right->view->descriptor;
    if (left.keyspace == right.keyspace && left.end == right.start &&
        Mergeable(draft, *pair.left) && Mergeable(draft, *pair.right) &&
        pair.bytes() <= limits.bytes && pair.load() <= limits.requests_per_s) {
      pairs.push_back(pair);
    }
  }
  std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
    return std::tuple(a.bytes(), a.left) < std::tuple(b.bytes(), b.left);
  });
  return pairs;
}

}  // namespace

void SplitShards(Draft& draft) {
  const BalancerOptions& options = draft.options();
  for (ShardState& shard : draft.shards()) {
    const ShardView& view = *shard.view;
    if (shard.group() == kDirectoryGroup || !draft.Free(shard) ||
        !draft.Quiet(shard, options.settle_after)) {
      continue;
    }
    const bool big = view.bytes > options.split_bytes;
    const bool hot = view.load() > options.split_requests_per_s;
    if (hot && SplitOne(draft, shard, view.load_median,
                        fmt::format("{}; more than {} are split", LoadText(view.load()),
                                    LoadText(options.split_requests_per_s)))) {
      continue;
    }
    if (big) {
      SplitOne(draft, shard, view.bytes_median,
               fmt::format("{}; more than {} are split", BytesText(view.bytes),
                           BytesText(options.split_bytes)));
    }
  }
}

void MergeShards(Draft& draft) {
  std::map<kv::KeyspaceId, std::uint32_t> shards = ShardsOf(draft);
  for (const Pair& pair : SmallPairs(draft)) {
    std::uint32_t& left_over = shards[pair.left->view->descriptor.keyspace];
    if (pair.left->touched || pair.right->touched ||
        left_over <= std::max(1u, pair.left->keyspace->shards_min)) {
      continue;
    }
    --left_over;
    draft.Merge(*pair.left, *pair.right,
                {Purpose::kLoad, fmt::format("{} and {} together", BytesText(pair.bytes()),
                                             LoadText(pair.load()))});
  }
}

}  // namespace flotilla
