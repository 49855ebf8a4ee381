// SimCluster: whole nodes (flotilla::Node, as kvd runs it) over simulated executors, network,
// disks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kv/inline_env.h"
#include "shard/node.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/sim_connector.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_process.h"

namespace flotilla::sim {

class SimCluster {
 public:
  struct Options {
    int nodes = 3;
    std::uint64_t seed = 1;
    NodeOptions node;  // addresses, directories and joining are filled in
    std::shared_ptr<spdlog::logger> logger;
  };

  SimCluster(const Options& options, EventLoop* loop, SimNetwork* network);
  ~SimCluster();

  int size() const { return static_cast<int>(members_.size()); }
  static ProcessId IdOf(int node) { return static_cast<ProcessId>(node) + 1; }
  static std::string AddressOf(int node) { return "n" + std::to_string(node + 1) + ":1"; }

  // Starts a node on whatever its disk holds. False when it refuses: `failure()` says why.
  bool Start(int node);
  // A power cut: the process is gone and a part of what was not synced with it.
  void Crash(int node);
  // What a sync of its disk takes.
  static constexpr Duration kSyncTime = std::chrono::microseconds(800);
  void SetSyncTime(int node, Duration time) { *members_[Slot(node)].sync_time = time; }
  bool running(int node) const { return members_[Slot(node)].node != nullptr; }
  Node* node(int node) const { return members_[Slot(node)].node.get(); }
  SimFileSystem& disk(int node) const { return *members_[Slot(node)].disk; }
  SimProcess* process(int node) const { return members_[Slot(node)].process.get(); }
  SimServer Find(const std::string& address) const;
  // The first thing that must not happen: a node that refuses its data, or that gave up.
  const std::string& failure() const { return failure_; }

 private:
  struct Member {
    std::shared_ptr<SimFileSystem> disk;
    std::shared_ptr<Duration> sync_time;
    std::unique_ptr<SimProcess> process;
    std::unique_ptr<kv::InlineEnv> env;
    std::unique_ptr<SimTransport> transport;
    std::unique_ptr<Node> node;
    std::uint64_t life = 0;
  };
  static std::size_t Slot(int node) { return static_cast<std::size_t>(node); }
  void Destroy(Member& member, ProcessId id);

  const Options options_;
  EventLoop* const loop_;
  SimNetwork* const network_;
  Random random_;
  std::vector<Member> members_;
  std::uint64_t next_life_ = 1;
  std::string failure_;
};

}  // namespace flotilla::sim
