// SimCluster: whole nodes (flotilla::Node, as kvd runs it) over simulated executors, network,
// disks.
//
// Machines are numbered from 0; the first `founders` found the cluster, the others are there for
// nodes that join later. A machine may be in use or not, and in use its process may run or not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
    int founders = 3;
    int spares = 0;
    std::uint64_t seed = 1;
    double apply_stalls = 0;             // as SimProcess::StallApply
    bool syncs_take_their_time = false;  // as SimProcess::SyncsTakeTheirTime
    NodeOptions node;                    // addresses, directories and joining are filled in
    std::shared_ptr<spdlog::logger> logger;
    // What stands between clients and a node; null: nothing.
    std::function<std::unique_ptr<Gateway>(Gateway* gateway)> before_gateway;
    // After each start.
    std::function<void(int node)> on_start;
  };

  SimCluster(const Options& options, EventLoop* loop, SimNetwork* network);
  ~SimCluster();

  int size() const { return static_cast<int>(members_.size()); }
  int founders() const { return options_.founders; }
  static ProcessId IdOf(int node) { return static_cast<ProcessId>(node) + 1; }
  static std::string AddressOf(int node) { return "n" + std::to_string(node + 1) + ":1"; }

  // Starts a node on whatever its disk holds. False when it refuses, which `failure()` reports
  // unless its disk is full or fails: it is then tried again later.
  bool Start(int node);
  // A power cut: the process is gone and a part of what was not synced with it.
  void Crash(int node);
  // A power cut between two of the next calls of its disk, rather than between two events; the node
  // starts again soon.
  struct Midst {
    bool names_only = false;     // before a call that changes a directory, or syncs one
    bool installs_only = false;  // before one that puts a snapshot in place
    bool splits_only = false;    // or one that makes a group that is split off
    std::uint64_t skip = 0;      // so many such calls pass first
  };
  void CutInMidst(int node, Midst midst);
  // The process is gone; the disk and what the system had in memory for it stay.
  void Kill(int node);
  // All power goes, for good. Nodes may still answer, to those who asked, that they end.
  void CrashAll();
  // The machine gets an empty disk, and is not in use until it is started again.
  void Retire(int node);
  // The same, but whoever cares for the nodes starts it again.
  void LoseDisk(int node);

  // ---- the machine ---------------------------------------------------------------------------

  // What a sync of its disk takes.
  static constexpr Duration kSyncTime = std::chrono::microseconds(800);
  void SetSyncTime(int node, Duration time);
  // Microseconds per second that its clocks run fast.
  void SetDrift(int node, std::int64_t parts_per_million);
  void SetWallOffset(int node, std::chrono::microseconds offset);
  // Room for so many bytes more; nothing: as much as anybody may want.
  void SetRoom(int node, std::optional<std::uint64_t> bytes);
  // Whether the disk has been short of room, or made a call fail, since the process started.
  bool troubled(int node) const;

  bool in_use(int node) const { return members_[Slot(node)].in_use; }
  bool running(int node) const { return members_[Slot(node)].node != nullptr; }
  Node* node(int node) const { return members_[Slot(node)].node.get(); }
  // Of the process that runs there; no two are alike.
  std::uint64_t life(int node) const { return members_[Slot(node)].life; }
  // It runs, and believes that it leads the group; 0: the data.
  bool Leads(int number, GroupId group = GroupId()) const {
    return running(number) && node(number)->Leads(group);
  }
  SimFileSystem& disk(int node) const { return *members_[Slot(node)].disk; }
  SimProcess* process(int node) const { return members_[Slot(node)].process.get(); }
  SimServer Find(const std::string& address) const;
  // The one that listens there, now or once it runs.
  int MachineAt(const std::string& address) const;
  // The first thing that must not happen: a node that refuses its data, or that gave up without
  // need.
  const std::string& failure() const { return failure_; }
  // How often a node has stopped itself since its disk failed it.
  int stopped_themselves() const { return stopped_themselves_; }

 private:
  struct Member {
    std::shared_ptr<SimFileSystem> disk;
    std::shared_ptr<Duration> sync_time;
    std::unique_ptr<SimProcess> process;
    std::unique_ptr<kv::InlineEnv> env;
    std::unique_ptr<SimTransport> transport;
    std::unique_ptr<Node> node;
    std::unique_ptr<Gateway> before_gateway;
    std::uint64_t life = 0;
    bool in_use = false;
    bool replaced = false;  // it lost the disk it founded with
    bool short_of_room = false;
    std::uint64_t faults_before = 0;
    std::int64_t drift = 0;
    std::chrono::microseconds wall_offset{0};
  };
  static std::size_t Slot(int node) { return static_cast<std::size_t>(node); }
  void GiveDisk(Member& member) const;
  void Destroy(Member& member, ProcessId id);
  void EndProcess(Member& member, ProcessId id);
  void OnFatal(int node, const Status& status);
  // Ends the process once the event under way has ended, and starts it again.
  void Renew(int node, bool power_goes);

  const Options options_;
  EventLoop* const loop_;
  SimNetwork* const network_;
  Random random_;
  std::vector<Member> members_;
  std::uint64_t next_life_ = 1;
  int stopped_themselves_ = 0;
  std::string failure_;
};

}  // namespace flotilla::sim
