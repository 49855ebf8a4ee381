#include "tests/sim/climate.h"

#include <initializer_list>

namespace flotilla::sim {
namespace {

// How often each fault strikes in the mean, when the climate has it.
constexpr std::array<std::uint64_t, kFaults> kUsual = [] {
  std::array<std::uint64_t, kFaults> weights{};
  const auto set = [&](Fault fault, std::uint64_t weight) {
    weights[static_cast<std::size_t>(fault)] = weight;
  };
  set(Fault::kCrash, 6);
  set(Fault::kKill, 3);
  set(Fault::kCrashAll, 2);
  set(Fault::kUprising, 5);
  set(Fault::kPartition, 5);
  set(Fault::kOneWay, 2);
  set(Fault::kIsolateLeader, 6);
  set(Fault::kPause, 6);
  set(Fault::kSlowDisks, 4);
  set(Fault::kHang, 2);
  set(Fault::kFullDisk, 2);
  set(Fault::kFailingDisk, 3);
  set(Fault::kStorm, 4);
  set(Fault::kTransfer, 2);
  set(Fault::kCompact, 3);
  set(Fault::kClocks, 3);
  set(Fault::kCalm, 3);
  return weights;
}();

template <class T>
T OneOf(Random& random, std::initializer_list<T> choices) {
  return *(choices.begin() + random.Below(choices.size()));
}

// What is different where there are many groups.
void DrawShards(Random& random, Climate& climate) {
  climate.sharded = true;
  climate.between_shard_changes_max =
      std::chrono::milliseconds(OneOf<int>(random, {1000, 3000, 8000}));
  climate.membership_changes = random.Chance(0.5);
  if (random.Chance(0.4)) {
    climate.weights[static_cast<std::size_t>(Fault::kCutSplit)] = random.Between(4, 16);
  }
}

}  // namespace

Climate DrawClimate(Random& random, int nodes, bool sharded) {
  Climate climate;
  const bool everything = random.Chance(0.3);
  for (std::size_t fault = 0; fault <= static_cast<std::size_t>(Fault::kCalm); ++fault) {
    const bool has_it = everything || random.Chance(0.55);
    const std::uint64_t weight = kUsual[fault] * random.Between(1, 3);
    climate.weights[fault] = has_it ? weight : 0;
  }
  // Never nothing at all.
  climate.weights[static_cast<std::size_t>(Fault::kCrash)] += 1;
  climate.between_faults_max =
      std::chrono::milliseconds(OneOf<int>(random, {600, 1500, 2500, 4000}));
  climate.membership_changes = random.Chance(0.5);
  climate.between_changes_max = std::chrono::milliseconds(OneOf<int>(random, {500, 2000, 6000}));

  climate.leases = random.Chance(0.3);
  // Two clocks that far off in opposite directions are within raft::CoreOptions::lease_drift_max.
  climate.drift_ppm_max = climate.leases ? 40'000 : OneOf<int>(random, {0, 1'000, 250'000});

  // More nodes cost more per operation.
  const int share = nodes > 3 ? 8 : 2;
  climate.think_max = std::chrono::milliseconds(OneOf<int>(random, {15, 50, 80, 200}) * share);
  climate.value_bytes_max = OneOf<std::size_t>(random, {0, 0, 200, 3'000});

  climate.append_bytes_max = OneOf<std::size_t>(random, {1, 100, 2'000, 1 << 20});
  climate.compact_after_bytes =
      OneOf<std::uint64_t>(random, {4 << 10, 24 << 10, 96 << 10}) + 8 * climate.value_bytes_max;
  // Large values must not mean a flush for every other write: those cost more than all the rest.
  climate.memtable_bytes =
      OneOf<std::size_t>(random, {8 << 10, 64 << 10, 256 << 10}) + 8 * climate.value_bytes_max;
  climate.session_idle_ms_max = OneOf<std::uint64_t>(random, {600'000, 3'600'000, 3'600'000});
  climate.retention_ms = OneOf<std::uint64_t>(random, {0, 1'000, 600'000});

  // Drawn apart, so that a run without it is what it was before there was such a thing.
  Random apart = Random(random).Fork();
  if (apart.Chance(0.35)) {
    climate.weights[static_cast<std::size_t>(Fault::kCutInMidst)] = apart.Between(4, 16);
  }
  if (apart.Chance(0.35)) {
    climate.weights[static_cast<std::size_t>(Fault::kMinority)] = apart.Between(6, 24);
  }
  if (apart.Chance(0.25)) climate.apply_stalls = 0.1 + apart.Unit() * 0.4;
  if (apart.Chance(0.2)) {
    climate.weights[static_cast<std::size_t>(Fault::kCutInstall)] = apart.Between(4, 16);
  }
  climate.syncs_take_their_time = apart.Chance(0.3);
  climate.hasty_changes = apart.Chance(0.3);
  // Only a lease trusts that a leader who is heard is not deposed.
  if (climate.leases && apart.Chance(0.5)) {
    climate.weights[static_cast<std::size_t>(Fault::kDeposition)] = apart.Between(4, 16);
  }
  if (apart.Chance(0.5)) {
    climate.quiesce_after = std::chrono::milliseconds(OneOf<int>(apart, {50, 150, 500, 2000}));
  }
  if (sharded) DrawShards(apart, climate);
  if (apart.Chance(0.3)) climate.snapshot_bytes_per_second_max = 128 << 10;
  if (apart.Chance(0.5)) climate.log_bytes_soft_max = 512 << 10;
  climate.vacuum.automatic = apart.Chance(0.8);
  climate.vacuum.versions_min = OneOf<std::uint64_t>(apart, {1, 20, 200});
  climate.vacuum.fraction_min = OneOf<double>(apart, {0, 0.2, 1});
  climate.vacuum.age_max = std::chrono::seconds(OneOf<int>(apart, {2, 20}));
  climate.vacuum.hold_max = std::chrono::seconds(OneOf<int>(apart, {1, 300, 300}));
  climate.vacuum.unheard_max = std::chrono::milliseconds(OneOf<int>(apart, {0, 1'000, 4'000, 4'000}));
  return climate;
}

void Apply(const Climate& climate, NodeOptions& options) {
  options.leases = climate.leases;
  options.quiesce_after = climate.quiesce_after;
  options.append_bytes_max = climate.append_bytes_max;
  options.compact_after_bytes = climate.compact_after_bytes;
  options.store.memtable_bytes = climate.memtable_bytes;
  options.store.session_idle_ms_max = climate.session_idle_ms_max;
  options.vacuum = climate.vacuum;
  options.log.segment_bytes = 64 << 10;
  options.log.cache_bytes = 16 << 10;
  options.log.live_bytes_soft_max = climate.log_bytes_soft_max;
  options.snapshot_bytes_per_second_max = climate.snapshot_bytes_per_second_max;
  options.block_cache_bytes = 1 << 20;
  // With several groups, some must flush for others.
  options.write_buffer_bytes = 12 * climate.memtable_bytes;
}

}  // namespace flotilla::sim
