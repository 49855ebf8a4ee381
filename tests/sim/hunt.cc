#include "tests/sim/hunt.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <list>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/planted.h"

namespace flotilla::sim {

#ifdef FLOTILLA_PLANTED

namespace {

// A run that takes this much CPU, or much more time, does not end.
constexpr rlim_t kSecondsMax = 120;
constexpr unsigned kWaitSecondsMax = 300;

// Runs in a process of its own: what fails a check does not end the hunt.
[[noreturn]] void RunAlone(const SimulationOptions& options, Plant plant, int out) {
  const rlimit limit{.rlim_cur = kSecondsMax, .rlim_max = kSecondsMax};
  setrlimit(RLIMIT_CPU, &limit);
  alarm(kWaitSecondsMax);
  dup2(out, STDERR_FILENO);
  planted = plant;
  const SimulationResult result = RunSimulation(options);
  if (!result.failure.empty()) {
    std::fputs(result.failure.c_str(), stderr);
    std::fflush(stderr);
  }
  _exit(result.failure.empty() ? 0 : 1);
}

struct Outcome {
  bool failed = false;
  std::string how;
  double cpu_seconds = 0;
};

struct Run {
  pid_t process = 0;
  int output = -1;
  std::uint64_t seed = 0;
};

class Hunter {
 public:
  Hunter(const SimulationOptions& simulation, const HuntOptions& options)
      : simulation_(simulation), options_(options) {}

  // The seed that saw the bug; 0: none did.
  std::uint64_t Find(Plant plant, Outcome& seen, double& cpu_seconds);

 private:
  Run Begin(std::uint64_t seed, Plant plant) const;
  static Outcome End(const Run& run);
  SimulationOptions OptionsFor(std::uint64_t seed) const;

  const SimulationOptions& simulation_;
  const HuntOptions& options_;
};

SimulationOptions Hunter::OptionsFor(std::uint64_t seed) const {
  SimulationOptions one = simulation_;
  one.seed = seed;
  one.sharded = options_.sharded.value_or(ShardedOf(seed));
  one.nodes = simulation_.nodes != 0 ? simulation_.nodes : NodesOf(seed, one.sharded);
  return one;
}

Run Hunter::Begin(std::uint64_t seed, Plant plant) const {
  std::fflush(stdout);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  Run run{.process = fork(), .output = ends[0], .seed = seed};
  CHECK_GE(run.process, 0);
  if (run.process == 0) RunAlone(OptionsFor(seed), plant, ends[1]);
  close(ends[1]);
  return run;
}

Outcome Hunter::End(const Run& run) {
  Outcome outcome;
  char buffer[4096];
  ssize_t size = 0;
  while ((size = read(run.output, buffer, sizeof buffer)) > 0) {
    outcome.how.append(buffer, static_cast<std::size_t>(size));
  }
  close(run.output);
  int status = 0;
  rusage usage{};
  CHECK_EQ(wait4(run.process, &status, 0, &usage), run.process);
  outcome.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec) +
                        static_cast<double>(usage.ru_utime.tv_usec) / 1e6;
  outcome.failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  if (WIFSIGNALED(status) && outcome.how.empty()) {
    outcome.how = fmt::format("the process ended with signal {}", WTERMSIG(status));
  }
  outcome.how = outcome.how.substr(0, outcome.how.find('\n'));
  return outcome;
}

std::uint64_t Hunter::Find(Plant plant, Outcome& seen, double& cpu_seconds) {
  std::list<Run> under_way;
  std::uint64_t next = options_.seeds_first;
  std::uint64_t found = 0;
  while (found == 0 && (next <= options_.seeds_max || !under_way.empty())) {
    while (next <= options_.seeds_max &&
           under_way.size() < static_cast<std::size_t>(options_.jobs)) {
      under_way.push_back(Begin(next++, plant));
    }
    // In their order, so that the first seed that sees it is the one that is named.
    const Run run = under_way.front();
    under_way.pop_front();
    Outcome outcome = End(run);
    cpu_seconds += outcome.cpu_seconds;
    if (!outcome.failed) continue;
    if (End(Begin(run.seed, Plant::kNone)).failed) continue;  // not by this bug alone
    found = run.seed;
    seen = std::move(outcome);
  }
  for (const Run& run : under_way) cpu_seconds += End(run).cpu_seconds;
  return found;
}

}  // namespace

int Hunt(const SimulationOptions& simulation, const HuntOptions& options) {
  const auto wanted = [&](std::string_view name) {
    if (options.name != "all") return options.name == name;
    return std::find(options.except.begin(), options.except.end(), name) == options.except.end();
  };
  int looked_for = 0;
  int found = 0;
  Hunter hunter(simulation, options);
  fmt::print("| bug | seed | CPU, s | seen as |\n| --- | --- | --- | --- |\n");
  for (const PlantEntry& entry : kPlants) {
    if (!wanted(entry.name)) continue;
    ++looked_for;
    Outcome seen;
    double cpu_seconds = 0;
    const std::uint64_t seed = hunter.Find(entry.plant, seen, cpu_seconds);
    if (seed != 0) ++found;
    fmt::print("| {} | {} | {:.0f} | {} |\n", entry.name,
               seed != 0 ? std::to_string(seed) : "NOT FOUND", cpu_seconds,
               seed != 0 ? seen.how : std::string(entry.meaning));
    std::fflush(stdout);
  }
  fmt::print("{} of {} planted bugs found\n", found, looked_for);
  return looked_for > 0 && found == looked_for ? 0 : 1;
}

#else

int Hunt(const SimulationOptions&, const HuntOptions&) {
  fmt::print(stderr,
             "error: this build has no planted bugs\n"
             "hint:  `./dev planted` makes one that has\n");
  return 2;
}

#endif

}  // namespace flotilla::sim
