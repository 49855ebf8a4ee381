// flotilla_sim: runs seeds of the whole-node simulation.

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

#include "tests/sim/hunt.h"
#include "tests/sim/simulation.h"

// The allocator keeps what it has got: each run needs it again.
extern "C" {
extern const char* const malloc_conf;
const char* const malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1";
}

namespace {

using flotilla::sim::Hunt;
using flotilla::sim::NodesOf;
using flotilla::sim::RunSimulation;
using flotilla::sim::ShardedOf;
using flotilla::sim::SimulationOptions;
using flotilla::sim::SimulationResult;

// For the one line that matters when a check fails in the middle of a run.
std::string replay;

void OnAbort(int) {
  const std::string line = "  replay: " + replay + "\n";
  // NOLINTNEXTLINE(bugprone-unused-return-value): the process ends here
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec) / 1e6;
}

bool ParseSeeds(const std::string& text, std::uint64_t& first, std::uint64_t& last) {
  const std::size_t dots = text.find("..");
  try {
    first = std::stoull(text.substr(0, dots));
    last = dots == std::string::npos ? first : std::stoull(text.substr(dots + 2));
  } catch (const std::exception&) {
    return false;
  }
  return first <= last;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs whole nodes and clients in one simulated world, seed by seed."};
  std::string seeds = "1..20";
  int nodes = 0;
  int seconds = 60;
  std::optional<bool> sharded;
  bool twice = false;
  std::string trace;
  SimulationOptions options;
  app.add_option("--seeds,--seed", seeds, "A..B, or one")->take_last();
  app.add_option("--nodes", nodes, "3 to 6; by default the seed decides");
  app.add_flag_callback(
      "--sharded", [&] { sharded = true; }, "many shards; by default the seed decides");
  app.add_flag_callback("--one-shard", [&] { sharded = false; }, "one shard");
  app.add_option("--virtual-seconds", seconds, "of faults, before healing");
  app.add_flag("--twice", twice, "run every seed twice and compare the traces");
  app.add_flag("--verbose", options.verbose, "show the nodes' logs");
  app.add_option("--trace", trace, "write every event of the last run to this file");
  app.add_flag("!--no-faults", options.faults, "nothing goes wrong");
  flotilla::sim::HuntOptions hunt;
  app.add_option("--planted", hunt.name,
                 "hunt this planted bug, or all, from the first seed to the last")
      ->take_last();
  app.add_option("--except", hunt.except, "no part of all")->delimiter(',');
  app.add_option("--jobs", hunt.jobs, "seeds of a hunt that run at the same time")->take_last();
  CLI11_PARSE(app, argc, argv);
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  if (!ParseSeeds(seeds, first, last)) {
    std::fprintf(stderr, "error: --seeds takes A..B, as in 1..200\n");
    return 2;
  }
  options.time = std::chrono::seconds(seconds);
  options.nodes = nodes;
  hunt.seeds_first = first;
  hunt.seeds_max = last;
  hunt.sharded = sharded;
  if (!hunt.name.empty()) return Hunt(options, hunt);
  if (!trace.empty()) options.trace_file = std::fopen(trace.c_str(), "w");
  std::signal(SIGABRT, OnAbort);
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  flotilla::sim::RareEvents rare;
  flotilla::Duration virtual_time{0};
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    options.seed = seed;
    options.sharded = sharded.value_or(ShardedOf(seed));
    options.nodes = nodes != 0 ? nodes : NodesOf(seed, options.sharded);
    replay = fmt::format("./dev sim --seed {} --nodes {} {} --virtual-seconds {}", seed,
                         options.nodes, options.sharded ? "--sharded" : "--one-shard", seconds);
    SimulationResult result = RunSimulation(options);
    rare += result.rare;
    virtual_time += result.time;
    if (result.failure.empty() && twice) {
      const SimulationResult again = RunSimulation(options);
      virtual_time += again.time;
      if (again.trace_hash != result.trace_hash) {
        result.failure = fmt::format("two runs differ: traces {:016x} and {:016x}",
                                     result.trace_hash, again.trace_hash);
      }
    }
    if (result.failure.empty()) {
      ++passed;
      fmt::print("seed {}: ok, {} nodes{}, {} operations, {} answered, {} events, trace {:016x}\n",
                 seed, options.nodes, options.sharded ? ", sharded" : "", result.operations,
                 result.answered, result.events, result.trace_hash);
    } else {
      ++failed;
      fmt::print("seed {}: FAILED: {}\n  replay: {}\n", seed, result.failure, replay);
    }
    std::fflush(stdout);
  }
  fmt::print(
      "{} leaders, {} answers with timestamps, {} rejected appends, {} snapshots, {} changes of "
      "members, {} nodes that stopped "
      "for a failed disk, {} writes that found no room until their deadline, {} jobs on shards, {} "
      "passes over all markers, {} snapshots read again, {} transactions, {} totals, {} on lists, "
      "{} "
      "vacuums, {} versions collected, {} reads of long transactions\n",
      rare.leaders, rare.timestamps, rare.rejections, rare.snapshots, rare.member_changes,
      rare.stopped_themselves, rare.refused_for_room, rare.jobs, rare.passes, rare.snapshot_reads,
      rare.transactions, rare.totals, rare.lists, rare.vacuums, rare.collected, rare.long_reads);
  const double seconds_run = static_cast<double>(virtual_time.count()) / 1e9;
  fmt::print("{:.0f} virtual seconds, {:.0f} per second of CPU\n", seconds_run,
             seconds_run / CpuSeconds());
  fmt::print("{} passed, {} failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
