#include "tests/sim/simulation.h"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/logger.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/workload.h"

namespace flotilla::sim {
namespace {

// After healing the cluster must answer, and agree, within this long.
constexpr Duration kProgressWithin = std::chrono::seconds(15);
constexpr Duration kSlice = std::chrono::milliseconds(100);

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options),
        random_(options.seed),
        network_(&loop_, random_.Fork()),
        cluster_(ClusterOptions(), &loop_, &network_),
        workload_(WorkloadOptions(), &loop_, &network_,
                  [this](const std::string& address) { return cluster_.Find(address); }),
        nemesis_({.seed = random_.Next(), .clients = 4}, &loop_, &cluster_, &network_) {}

  SimulationResult Run() {
    loop_.SetTraceFile(options_.trace_file);
    for (int node = 0; node < options_.nodes; ++node) cluster_.Start(node);
    if (!Await("a cluster to form", [this] { return AllReady(); })) return Result();
    workload_.Start();
    if (options_.faults) nemesis_.Start();
    const MonoTime end = loop_.now() + options_.time;
    while (loop_.now() < end && failure_.empty()) {
      loop_.RunFor(kSlice);
      NoteClusterFailure();
    }
    if (failure_.empty()) Heal();
    if (failure_.empty()) CheckHistory();
    return Result();
  }

 private:
  SimCluster::Options ClusterOptions() {
    SimCluster::Options options;
    options.nodes = options_.nodes;
    options.seed = random_.Next();
    options.logger =
        options_.verbose ? MakeLogger("sim", LogFormat::kText, spdlog::level::debug) : NullLogger();
    // Small, so that what is rare in production happens in every run.
    options.node.log.segment_bytes = 64 << 10;
    options.node.log.cache_bytes = 16 << 10;
    options.node.compact_after_bytes = 24 << 10;
    options.node.store.memtable_bytes = 64 << 10;
    options.node.block_cache_bytes = 1 << 20;
    options.node.write_buffer_bytes = 4 << 20;
    return options;
  }

  Workload::Options WorkloadOptions() {
    Workload::Options options;
    options.nodes = options_.nodes;
    options.seed = random_.Next();
    return options;
  }

  bool AllReady() const {
    for (int node = 0; node < options_.nodes; ++node) {
      if (!cluster_.running(node) || !cluster_.node(node)->Ready()) return false;
    }
    return true;
  }

  void NoteClusterFailure() {
    if (failure_.empty()) failure_ = cluster_.failure();
  }

  template <class Condition>
  bool Await(const std::string& what, Condition condition) {
    const MonoTime end = loop_.now() + kProgressWithin;
    while (failure_.empty() && !condition()) {
      if (loop_.now() >= end) {
        failure_ =
            fmt::format("no progress: waited {} s for {}", kProgressWithin.count() / 1e9, what);
      }
      loop_.RunFor(kSlice);
      NoteClusterFailure();
    }
    return failure_.empty();
  }

  // Safety was tested under faults; now things must get better.
  void Heal() {
    nemesis_.Heal();
    if (!Await("all nodes to be ready after healing", [this] { return AllReady(); })) return;
    const std::uint64_t before = workload_.answered();
    if (!Await("operations to succeed after healing",
               [&] { return workload_.answered() > before + 20; })) {
      return;
    }
    workload_.End();
    if (!Await("open operations to end", [this] { return workload_.under_way() == 0; })) return;
    Await("replicas to agree", [this] { return ReplicasAgree(); });
  }

  // Asks all for their state; true when all are at one index. Equal indexes with different states
  // are the failure that this looks for.
  bool ReplicasAgree() {
    auto hashes = std::make_shared<std::map<int, std::pair<raft::Index, std::uint64_t>>>();
    for (int node = 0; node < options_.nodes; ++node) {
      cluster_.node(node)->StateHash(
          GroupId(), [hashes, node](StatusOr<std::pair<raft::Index, std::uint64_t>> state) {
            if (state.ok()) (*hashes)[node] = *state;
          });
    }
    loop_.RunFor(kSlice);
    std::map<raft::Index, std::uint64_t> by_index;
    for (const auto& [node, state] : *hashes) {
      const auto [known, inserted] = by_index.emplace(state);
      if (known->second != state.second) {
        failure_ = fmt::format("replicas differ at applied index {}", state.first.value());
      }
    }
    return static_cast<int>(hashes->size()) == options_.nodes && by_index.size() == 1;
  }

  void CheckHistory() {
    for (auto& [key, operations] : workload_.history().ByKey()) {
      switch (CheckRegister(std::move(operations))) {
        case Verdict::kLinearizable:
          break;
        case Verdict::kNotLinearizable:
          failure_ = fmt::format("the history of {} is not linearizable", key);
          return;
        case Verdict::kTooHard:
          failure_ = fmt::format("the history of {} is too hard to check", key);
          return;
      }
    }
  }

  SimulationResult Result() {
    for (int node = 0; node < options_.nodes; ++node) loop_.Trace(cluster_.disk(node).trace_hash());
    return {.failure = failure_,
            .trace_hash = loop_.trace_hash(),
            .events = loop_.events(),
            .operations = workload_.history().size(),
            .answered = workload_.answered()};
  }

  const SimulationOptions options_;
  Random random_;
  EventLoop loop_;
  SimNetwork network_;
  SimCluster cluster_;
  Workload workload_;
  Nemesis nemesis_;
  std::string failure_;
};

}  // namespace

SimulationResult RunSimulation(const SimulationOptions& options) {
  return Simulation(options).Run();
}

}  // namespace flotilla::sim
