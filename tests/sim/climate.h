// Climate: what one seed's run is like: its load, its limits, and how often which fault strikes.
//
// Drawn from the seed, and far apart: a run that has few kinds of faults goes deeper into them than
// one that has all (swarm testing), and limits that are small in some runs make rare paths common.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "base/random.h"
#include "shard/node.h"

namespace flotilla::sim {

enum class Fault : std::uint8_t {
  kCrash,          // a power cut of one node
  kKill,           // the end of one process
  kCrashAll,       // a power cut of all
  kUprising,       // crashes while a new leader is chosen
  kPartition,      // of nodes and clients, in two
  kOneWay,         // what one node says to another is lost
  kIsolateLeader,  // from its peers and some clients
  kPause,          // of one process
  kSlowDisks,      // syncs take long
  kHang,           // a sync takes seconds
  kFullDisk,       // of one, some, or all
  kFailingDisk,    // one call fails
  kStorm,          // loss, repetition, lateness
  kTransfer,       // of leadership
  kCompact,        // the log goes, followers need snapshots
  kClocks,         // jumps and drift
  kCalm,           // the network is whole again
  kCutInMidst,     // a power cut of one node, between two calls of its disk
  kMinority,       // the leader keeps its clients and learners, but no voter
  kCutInstall,     // a power cut of a node that puts a snapshot in place
  kDeposition,     // one voter does not hear the leader, who is cut off should it be succeeded
  kCutSplit,       // a power cut of a node that makes a new group of a part of one
};
inline constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::kCutSplit) + 1;

struct Climate {
  std::array<std::uint64_t, kFaults> weights{};  // how often, relative to each other
  Duration between_faults_max{0};
  bool membership_changes = false;
  Duration between_changes_max{0};
  // Two at once, asked of a leader that is cut off.
  bool hasty_changes = false;
  // Leases hold clocks to their bound; without them clocks may run as they like.
  std::int64_t drift_ppm_max = 0;
  // The log's disk works on one sync while the next writes gather.
  bool syncs_take_their_time = false;
  // How often what is to be applied has to wait, as it does for a memtable that is full.
  double apply_stalls = 0;

  // Several keyspaces of several shards, which are split and moved meanwhile.
  bool sharded = false;
  Duration between_shard_changes_max{0};

  // The clients' load.
  Duration think_max{0};
  std::size_t value_bytes_max = 0;

  // What the nodes are given.
  bool leases = false;
  Duration quiesce_after{0};  // 0: never
  std::size_t append_bytes_max = 0;
  std::uint64_t compact_after_bytes = 0;
  // Both more than a run can have, but in some climates.
  std::uint64_t snapshot_bytes_per_second_max = 256 << 20;
  std::uint64_t log_bytes_soft_max = 1 << 30;
  std::size_t memtable_bytes = 0;
  std::uint64_t session_idle_ms_max = 0;
  std::uint64_t retention_ms = 0;
  VacuumOptions vacuum;
};

Climate DrawClimate(Random& random, int nodes, bool sharded);

// The limits of the climate, and those that are small in all of them.
void Apply(const Climate& climate, NodeOptions& options);

}  // namespace flotilla::sim
