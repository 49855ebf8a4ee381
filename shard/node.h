// Node: one member of a cluster: its log, its groups, its gateway, and how it came to be a member.
//
// Purpose: ties the parts together over an injected world. cmd/kvd gives it the real world, the
// simulator a simulated one; there is no other difference between the two.
//
// Life: Open() -> [forming or joining, when the data directory is new] -> serving -> Stop().
#pragma once

#include <spdlog/logger.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/random.h"
#include "base/status.h"
#include "kv/store.h"
#include "raft/core/core.h"
#include "raft/log/log.h"
#include "raft/transport/transport.h"
#include "shard/directory/calls.h"
#include "shard/directory/image.h"
#include "shard/gateway.h"
#include "shard/gossip/gossip.h"
#include "shard/locking/lock_info.h"
#include "shard/placement/balancer.h"
#include "shard/transactions.h"
#include "shard/vacuum/readers.h"
#include "shard/vacuum/trigger.h"
#include "shard/vacuum/vacuum_report.h"

namespace flotilla {

// All that a node may touch. The pointers outlive the node.
struct World {
  Executor* executor = nullptr;
  Clock* clock = nullptr;
  raft::Transport* transport = nullptr;
  rocksdb::Env* env = nullptr;  // its FileSystem holds the log too
  std::shared_ptr<spdlog::logger> logger;
  std::uint64_t seed = 1;
  // See kv::StoreOptions.
  bool inline_background_work = false;
};

struct NodeOptions {
  std::string data_directory;
  // What other nodes and clients dial.
  std::string advertise_address;
  // Nodes to ask when the data directory is new. May name this node, too.
  std::vector<std::string> join;
  // How many nodes found a new cluster together; 0: only join an existing one. With `join` empty
  // and 1, this node is a cluster of its own.
  std::uint32_t bootstrap_expect = 0;
  // A node that joins becomes a voter once it has caught up.
  bool promote_joined = true;
  // What the node says of itself: "zone" -> "a"; and its share of the replicas, relative to others
  // (NodeRecord::weight).
  Labels labels;
  std::uint32_t weight = 100;

  // Whether the balancer moves, splits and merges shards by itself, and how.
  bool balance = true;
  BalancerOptions balancer;

  // When old versions are dropped, and how long transactions may hold that up.
  VacuumOptions vacuum;

  Duration election_timeout = std::chrono::milliseconds(150);
  Duration heartbeat_interval = std::chrono::milliseconds(50);
  bool leases = false;
  Duration quiesce_after = std::chrono::seconds(0);  // 0: never
  // A write or sync of the log that takes longer makes the node look slow (kSlowDisk, not Ready())
  // and give its leaderships away.
  Duration slow_disk_after = std::chrono::seconds(1);

  std::size_t block_cache_bytes = 256 << 20;
  std::size_t write_buffer_bytes = 128 << 20;
  // Of flushes and compactions of all groups; 0: no bound.
  std::uint64_t background_bytes_per_second_max = 0;
  raft::LogOptions log;    // directory is filled in
  kv::StoreOptions store;  // directory and group are filled in

  // Requests admitted and not yet answered, per node: beyond either, OVERLOADED.
  std::size_t admitted_requests_max = 100'000;
  std::size_t admitted_bytes_max = 512 << 20;
  // While the data directory has less space free, writes are refused with DISK_FULL, so that what
  // was accepted can be finished and reads go on; 0: no such look.
  std::uint64_t disk_reserve_bytes = 0;
  // Payload bytes of one message of entries between nodes; a larger entry travels alone.
  std::size_t append_bytes_max = 1 << 20;
  // Log bytes of a group after which it takes a snapshot of itself and lets the log go.
  std::uint64_t compact_after_bytes = 256 << 20;
  // Of all snapshots that this node sends.
  std::uint64_t snapshot_bytes_per_second_max = 256 << 20;
};

// kLeft: it was removed from the cluster, and refers everybody to the others.
enum class NodeState : std::uint8_t { kForming, kJoining, kServing, kStopping, kSlowDisk, kLeft };

struct MemberInfo {
  NodeId node;
  std::string address;
  bool voter = false;
  raft::Index match;  // the leader's view; 0 elsewhere
  bool active = false;
  bool in_snapshot = false;
};

struct GroupInfo {
  GroupId group;
  raft::CoreStatus core;
  raft::Index applied;
  std::string leader_address;
  std::vector<MemberInfo> members;
  kv::ShardRange range;
  kv::StoreSizes sizes;
  kv::StoreCounts counts;
  // Of this node's replica: what is in its files, and how far back it can be read.
  kv::VersionStats versions;
  Timestamp safe_point;
  Timestamp last_timestamp;
  std::uint64_t retention_ms = 0;  // UINT64_MAX: not known yet
  VacuumReport vacuum;
};

struct NodeInfo {
  NodeId node;
  ClusterId cluster;
  NodeState state = NodeState::kForming;
  std::string address;
  raft::LogStats log;
  std::vector<GroupInfo> groups;
  // Of all nodes, as far as this one has heard.
  std::optional<OldestReader> oldest_reader;
};

class Node {
 public:
  // Reads the data directory: recovers the log and opens every group in it. WRONG_CLUSTER,
  // DATA_DAMAGED, or an I/O error, each naming the file. May block on I/O.
  static StatusOr<std::unique_ptr<Node>> Open(const NodeOptions& options, const World& world);
  virtual ~Node() = default;

  // Starts to form, join or serve. `on_fatal` is called once if the node cannot go on (a failed
  // disk); the owner then ends the process.
  virtual void Start(UniqueFunction<void(Status)> on_fatal) = 0;

  virtual Gateway& gateway() = 0;
  virtual Transactions& transactions() = 0;
  // Of transactions, in the groups that this node leads; any thread.
  virtual std::vector<LockInfo> Locks(std::size_t count) const = 0;
  // The last ones whose victims waited here, oldest first; any thread.
  virtual std::vector<FoundDeadlock> Deadlocks() const = 0;

  // True when the node is a member, its groups are open, and it knows the directory and its leader.
  virtual bool Ready() const = 0;
  virtual NodeState state() const = 0;
  // This node believes that it leads the group (0: the data group).
  virtual bool Leads(GroupId group) const = 0;
  // A snapshot of everything; `done` on any strand.
  virtual void Info(UniqueFunction<void(NodeInfo)> done) = 0;

  // Who is alive and how busy, as far as this node has heard: a hint (shard/gossip). Never null.
  virtual std::shared_ptr<const gossip::GossipView> GossipView() const = 0;

  // ---- the directory; any node ----------------------------------------------------------------

  // This node's copy of it; never null.
  virtual std::shared_ptr<const DirectoryImage> DirectoryView() const = 0;
  // Until the copy has everything that was committed before the call. NO_QUORUM, DEADLINE_EXCEEDED.
  virtual void RefreshDirectory(MonoTime deadline, UniqueFunction<void(Status)> done) = 0;
  // `done` on any strand, when this node's copy has the change.
  virtual void ChangeDirectory(DirectoryCall call, MonoTime deadline,
                               UniqueFunction<void(DirectoryAnswer)> done) = 0;
  // `watcher` is called after each change of the copy, on any strand, until the watch ends.
  using WatchId = std::uint64_t;
  virtual WatchId WatchDirectory(std::function<void()> watcher) = 0;
  // It is not called any more once this has returned. Not from the watcher.
  virtual void EndWatch(WatchId watch) = 0;

  // `count` consecutive timestamps of the oracle, the first of which is given to `done`; see
  // TimestampSource::Take. Any thread, `done` on any.
  virtual void TakeTimestamps(std::uint64_t count, MonoTime deadline,
                              UniqueFunction<void(StatusOr<Timestamp>)> done) = 0;

  // ---- administration; forwarded to the leader; group 0: as each says --------------------------

  // Group 0: to the cluster.
  virtual void AddReplica(GroupId group, const std::string& address, bool promote,
                          MonoTime deadline, UniqueFunction<void(StatusOr<NodeId>)> done) = 0;
  // Group 0: from the cluster, once its replicas have found other places: OUTCOME_UNKNOWN says that
  // this goes on.
  virtual void RemoveReplica(GroupId group, NodeId node, MonoTime deadline,
                             UniqueFunction<void(Status)> done) = 0;
  // Group 0: the directory's.
  virtual void PromoteReplica(GroupId group, NodeId node, MonoTime deadline,
                              UniqueFunction<void(Status)> done) = 0;
  // Group 0, here and below: the first data group.
  virtual void TransferLeadership(GroupId group, NodeId target, MonoTime deadline,
                                  UniqueFunction<void(StatusOr<NodeId>)> done) = 0;
  // Of this node's replica: drops all versions that neither the retention nor a reader keeps.
  // GROUP_NOT_FOUND, OVERLOADED, DISK_FULL, NODE_STOPPING; DEADLINE_EXCEEDED: it goes on. `done` on
  // any strand.
  virtual void RunVacuum(GroupId group, MonoTime deadline,
                         UniqueFunction<void(StatusOr<VacuumReport>)> done) = 0;
  struct SnapshotTaken {
    raft::Index index;
    std::uint64_t bytes = 0;
  };
  virtual void TriggerSnapshot(GroupId group, NodeId node, MonoTime deadline,
                               UniqueFunction<void(StatusOr<SnapshotTaken>)> done) = 0;
  // All nodes, and who votes on the directory, as its leader sees them.
  virtual void ListMembers(MonoTime deadline,
                           UniqueFunction<void(StatusOr<std::vector<MemberInfo>>)> done) = 0;

  // ---- the end -----------------------------------------------------------------------------

  // Refuses new requests, hands leaderships over (up to `grace`), flushes, joins everything.
  // `done` runs once nothing of the node will run any more except the destructor.
  virtual void Stop(Duration grace, Closure done) = 0;

  // For the simulator's checkers: a group's applied index and state hash at that index.
  virtual void StateHash(
      GroupId group,
      UniqueFunction<void(StatusOr<std::pair<raft::Index, std::uint64_t>>)> done) = 0;
};

}  // namespace flotilla
