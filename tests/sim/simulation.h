// Simulation: one run of one seed: workload, faults, then healing and the checkers.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "base/clock.h"

namespace flotilla::sim {

struct SimulationOptions {
  std::uint64_t seed = 1;
  int nodes = 3;
  // Many shards instead of one.
  bool sharded = false;
  Duration time = std::chrono::seconds(60);
  bool faults = true;
  // The nodes' logs go to standard error.
  bool verbose = false;
  // Every event, for finding where two runs part; null: none.
  std::FILE* trace_file = nullptr;
};

// How often rare paths were taken.
struct RareEvents {
  std::uint64_t leaders = 0;             // terms that had one
  std::uint64_t timestamps = 0;          // questions to the oracle that were answered
  std::uint64_t rejections = 0;          // of entries that did not fit
  std::uint64_t snapshots = 0;           // announced to followers
  std::uint64_t member_changes = 0;      // seen through
  std::uint64_t stopped_themselves = 0;  // nodes whose disk failed them
  std::uint64_t refused_for_room = 0;    // writes on a full disk
  std::uint64_t jobs = 0;                // on shards, done
  std::uint64_t passes = 0;              // over all markers
  std::uint64_t snapshot_reads = 0;      // as of a timestamp, compared with one before
  std::uint64_t transactions = 0;        // committed
  std::uint64_t totals = 0;              // of all accounts, at one moment
  std::uint64_t lists = 0;               // transactions on lists, committed
  std::uint64_t vacuums = 0;             // of a group on a node
  std::uint64_t collected = 0;           // versions
  std::uint64_t long_reads = 0;          // of a transaction that lasts

  RareEvents& operator+=(const RareEvents& other);
};

struct SimulationResult {
  // Empty when all is well; otherwise what must not happen.
  std::string failure;
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  std::uint64_t operations = 0;
  std::uint64_t answered = 0;
  Duration time{0};  // virtual, with that of healing
  RareEvents rare;
};

SimulationResult RunSimulation(const SimulationOptions& options);

}  // namespace flotilla::sim
