// NodeImpl: see shard/node.h. The parts of one node and what goes between them.
//
//   transport ──▶ OnMessages ──┬─▶ Replica of the group          control strand: ticks, formation,
//                              └─▶ PeerCalls ─▶ RequestRouter,   membership of this node
//                                              Admin, SnapshotTransfer
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/task.h"
#include "raft/peer_calls.h"
#include "raft/snapshot_transfer.h"
#include "shard/admin.h"
#include "shard/balancing.h"
#include "shard/data_directory.h"
#include "shard/directory/directory.h"
#include "shard/directory/editor.h"
#include "shard/directory/locate.h"
#include "shard/formation.h"
#include "shard/gossip/gossip.h"
#include "shard/greeter.h"
#include "shard/job_runner.h"
#include "shard/locking/lock_watch.h"
#include "shard/node.h"
#include "shard/oracle/oracle_client.h"
#include "shard/oracle/oracle_server.h"
#include "shard/replica.h"
#include "shard/request_router.h"
#include "shard/txn/registry.h"
#include "shard/vacuum/vacuum.h"

namespace flotilla {

class NodeImpl final : public Node, private raft::TransportHandler, private ReplicaHost {
 public:
  NodeImpl(const NodeOptions& options, const World& world);
  ~NodeImpl() override;

  // Reads the data directory and opens what is in it.
  Status OpenData();

  // Node
  void Start(UniqueFunction<void(Status)> on_fatal) override;
  Gateway& gateway() override { return *router_; }
  std::vector<LockInfo> Locks(std::size_t count) const override;
  std::vector<FoundDeadlock> Deadlocks() const override { return lock_watch_->Deadlocks(); }
  Transactions& transactions() override { return *transactions_; }
  bool Ready() const override;
  NodeState state() const override { return state_.load(); }
  bool Leads(GroupId group) const override;
  void Info(UniqueFunction<void(NodeInfo)> done) override;
  std::shared_ptr<const DirectoryImage> DirectoryView() const override { return map_.image(); }
  void RefreshDirectory(MonoTime deadline, UniqueFunction<void(Status)> done) override;
  void ChangeDirectory(DirectoryCall call, MonoTime deadline,
                       UniqueFunction<void(DirectoryAnswer)> done) override;
  void TakeTimestamps(std::uint64_t count, MonoTime deadline,
                      UniqueFunction<void(StatusOr<Timestamp>)> done) override {
    timestamps_->Take(count, deadline, std::move(done));
  }
  std::shared_ptr<const gossip::GossipView> GossipView() const override;
  WatchId WatchDirectory(std::function<void()> watcher) override;
  void EndWatch(WatchId watch) override;
  void AddReplica(GroupId group, const std::string& address, bool promote, MonoTime deadline,
                  UniqueFunction<void(StatusOr<NodeId>)> done) override;
  void RemoveReplica(GroupId group, NodeId node, MonoTime deadline,
                     UniqueFunction<void(Status)> done) override;
  void PromoteReplica(GroupId group, NodeId node, MonoTime deadline,
                      UniqueFunction<void(Status)> done) override;
  void TransferLeadership(GroupId group, NodeId target, MonoTime deadline,
                          UniqueFunction<void(StatusOr<NodeId>)> done) override;
  void RunVacuum(GroupId group, MonoTime deadline,
                 UniqueFunction<void(StatusOr<VacuumReport>)> done) override;
  void TriggerSnapshot(GroupId group, NodeId node, MonoTime deadline,
                       UniqueFunction<void(StatusOr<SnapshotTaken>)> done) override;
  void ListMembers(MonoTime deadline,
                   UniqueFunction<void(StatusOr<std::vector<MemberInfo>>)> done) override;
  void Stop(Duration grace, Closure done) override;
  void StateHash(
      GroupId group,
      UniqueFunction<void(StatusOr<std::pair<raft::Index, std::uint64_t>>)> done) override;

 private:
  void GatherInfo(UniqueFunction<void(NodeInfo)> done);
  // raft::TransportHandler
  void OnMessages(std::vector<raft::PeerMessage> messages) override;
  void OnUnreachable(NodeId node) override;
  void OnReachable(NodeId node) override;

  // ReplicaHost
  void OnMisrouted(GroupId group, NodeId leader, std::vector<Ticket> tickets) override;
  void OnLeader(GroupId group, NodeId leader, bool self) override;
  void OnAwake(GroupId group) override;
  void OnMembers(GroupId group, const raft::Configuration& configuration, bool settled) override;
  void OnReplicaFatal(GroupId group, const Status& status) override;
  void OnObstacle(GroupId group, const kv::Obstacle& obstacle) override;
  void OnLockWait() override;

  // node_open.cc
  Status OpenIdentity();
  Status OpenLog(raft::LogRecovery& recovery);
  // A member's log is gone, whatever else its directory holds.
  Status LogIsLost() const;
  // On several threads, if there are any.
  Status OpenGroups(const std::map<GroupId, raft::RecoveredGroup>& groups);
  Status OpenGroup(GroupId group, const raft::RecoveredGroup& logged);
  kv::StoreOptions StoreOptionsFor(GroupId group);
  raft::GroupOptions GroupOptionsFor(GroupId group) const;

  // node_membership.cc: becoming a member
  void StartFormation();
  void AnswerAddressCall(raft::PeerMethod method, Bytes body,
                         UniqueFunction<void(StatusOr<Bytes>)> reply);
  void Found(const Founding& founding, UniqueFunction<void(Status)> done);
  void FinishFounding(const Identity& identity, UniqueFunction<void(Status)> done);
  void OpenFoundedGroups(const Identity& identity, UniqueFunction<void(Status)> done);
  // The cluster has let this node in. Tried again while the disk is full.
  void JoinAs(const Identity& identity, const std::vector<MemberRecord>& contacts);
  void BecomeMember(const Identity& identity, const std::vector<MemberRecord>& contacts);
  // These are where they say, for as long as the group has not said otherwise.
  void Meet(const std::vector<MemberRecord>& contacts);
  void Admit(JoinCall call, UniqueFunction<void(StatusOr<Bytes>)> reply);
  void Greet();
  // A member says where it can be reached; what the group has on record may be older.
  void LearnAddress(const Hello& hello);
  Hello OwnHello() const;

  // node_groups.cc
  void FoundGroups();
  void FoundHere(const ShardDescriptor& shard);
  void MakeReplicaOnDemand(GroupId group);
  // What the log has of a group that is to be made: a vote, of when it was here before.
  raft::RecoveredGroup Unlogged(GroupId group) const;
  // It is open, or was not opened.
  void MadeReplica(GroupId group);
  // `parent` has split. On its apply strand.
  void OpenChild(GroupId parent, GroupId child);
  void LeadChild(GroupId parent, GroupId child, int round);
  bool MayHost(GroupId group) const;
  // Tried again while the disk is full.
  void FinishOpening(GroupId group, const Status& opened);
  // Replicas that the directory knows of no more.
  // `all`: although nothing seems to have changed.
  void RetireStrangers(bool all);
  void RemoveUnopened(const DirectoryImage& image);
  bool IsStranger(const DirectoryImage& image, Replica& replica) const;
  // A group here may have to absorb it once more.
  bool Awaited(const DirectoryImage& image, Replica& gone) const;
  // For who absorbs it; null: it is not here.
  std::shared_ptr<kv::Store> StoreOf(GroupId group) const;
  void Retire(const std::shared_ptr<Replica>& replica);
  // Its vote stays in the log, its files go.
  void Remove(GroupId group);
  void RemoveFiles(GroupId group);
  // Nothing when the directory knows it, or it is in the midst of a change.
  std::optional<ShardDescriptor> DescribeShard(Replica& replica) const;
  // Of the groups that are awake, or were when it was called last; or of all.
  void ReportShards(bool all);
  // Of shards, or of itself.
  Task<> TellDirectory(std::string of, DirectoryEditor::Change change, Closure then);
  std::uint64_t RoughCapacity(std::uint64_t before) const;
  void RecordSelf();

  // node_oracle.cc
  void MakeOracle();
  void ConfirmOracle(const OracleAsker& asker, UniqueFunction<void(StatusOr<raft::Term>)> done);
  void MoveWindow(const TimestampOracle::Move& move, UniqueFunction<void(const Status&)> done);

  // node_transactions.cc
  void MakeTransactions();
  // What a group here has of a transaction is in somebody's way.
  std::optional<kv::ShardRange> HeldBy(GroupId group, kv::TxnId txn) const;
  // Locks and records that are there for longer than a commit takes.
  void LookAtLocks();

  // node_vacuum.cc
  void MakeVacuum();
  // Others, of this node's oldest reader.
  void TellReaders();
  // What all groups here keep for readers.
  void MoveHorizon();

  // node_load.cc
  void StartTelling();
  void TellRegularly();
  void TellSoon();
  void Tell();
  void TellLeader(NodeId leader, NodeStats stats);
  bool WorthALook();
  DirectoryMembers WhoVotes() const;  // on the directory
  void MeasureLoad(Duration since_last);
  // Looks the sizes of stores up again; then `done`, unless too many wait for the disk already.
  void Measure(const std::vector<std::shared_ptr<Replica>>& replicas, Closure done);
  // Of the shards that it leads, with what was measured last; nothing of those that are newer.
  NodeStats OwnStats() const;
  static void NoteBehind(Replica& replica);

  // node_gossip.cc
  void StartGossip();
  void OnGossip(const std::vector<gossip::Change>& changes);
  // Says farewell, and ends it.
  void StopGossip(Closure done);
  // Whom the transport is to reach, and gossip to expect.
  void Reach(const std::vector<raft::PeerAddress>& peers);
  std::shared_ptr<gossip::Gossip> FindGossip() const;

  // node_leaving.cc
  void RemoveNode(NodeId node, MonoTime deadline, UniqueFunction<void(Status)> done);
  Task<> Removed(NodeId node, MonoTime deadline, UniqueFunction<void(Status)> done);
  Task<Status> Decommission(NodeId node, MonoTime deadline);
  // Not ok: why this node does nothing more for anybody.
  Status Refusal() const;
  void HearOfMembers(const std::vector<MemberRecord>& members);
  void NoteWhetherLeft();
  Task<AdminResult> AskDirectory(AdminVerb verb, NodeId node, MonoTime deadline);

  // node_directory.cc
  void OnDirectoryChange();
  void TellWatchers();
  Task<> Refreshed(MonoTime deadline, UniqueFunction<void(Status)> done);
  void LookAt(const DirectoryCall& call, DirectoryAnswer& answer);
  Task<> Changed(DirectoryCall call, MonoTime deadline, UniqueFunction<void(DirectoryAnswer)> done);

  // node_upkeep.cc
  void Tick();
  void NoteWoken();
  // Of the awake replicas alone. The others cost nothing.
  void TickAwake();
  void Housekeep();
  void WatchDisk();
  void WatchSpace();
  void WatchMemory();
  // What its keyspace asks of a replica.
  void FollowPolicy(const DirectoryImage& image, Replica& replica);

  // node_impl.cc
  void Fatal(const Status& status);
  // Wakes those that the node, which is lost or back again, makes a difference to.
  void WakeFor(NodeId node, bool lost);
  void AddReplicaObject(GroupId group, std::shared_ptr<Replica> replica);
  std::shared_ptr<Replica> FindReplica(GroupId group) const;
  std::vector<std::shared_ptr<Replica>> Replicas() const;
  GroupId GroupOr(GroupId group) const { return group ? group : kFirstDataGroup; }
  std::string AddressOf(NodeId node) const;
  std::set<NodeId> Registered() const;  // the cluster's nodes
  // With the lock held. A group here counts on it, and may need its vote to let it go.
  bool Needed(NodeId node) const;
  // With the lock held: whom the transport is to reach.
  std::vector<raft::PeerAddress> Peers() const;
  void ForgetDeparted();
  // A group that has had no leader for a while, or one at an unknown address: perhaps its members
  // are elsewhere than this node knows.
  void LookAround();
  // Leaderships, and then everything.
  void GiveAway(Duration grace, Closure done);
  void HandOver(std::vector<std::shared_ptr<Replica>> leading, Duration grace, Closure then);
  void StopParts(Closure done);
  void StopFlows(Closure done);

  const NodeOptions options_;
  const World world_;
  Random random_;
  std::atomic<NodeState> state_{NodeState::kForming};
  UniqueFunction<void(Status)> on_fatal_;
  std::atomic<bool> fatal_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> started_{false};
  std::atomic<bool> has_left_{false};  // as far as it has heard

  std::unique_ptr<Strand> control_;
  std::unique_ptr<Strand> disk_;                  // blocking: founding, opening groups
  std::vector<std::unique_ptr<Strand>> openers_;  // blocking: new groups, of which many may come
  std::unique_ptr<Strand> catch_up_;              // blocking: old log entries for followers

  std::unique_ptr<DataDirectory> directory_;
  Directory map_;
  kv::StoreResources resources_;
  std::unique_ptr<raft::Log> log_;
  std::unique_ptr<raft::PeerCalls> calls_;
  // Told of the end of every write, the last of which end with the replicas.
  std::unique_ptr<OracleServer> oracle_;
  std::unique_ptr<OracleClient> timestamps_;
  std::unique_ptr<raft::SnapshotTransfer> snapshots_;
  std::unique_ptr<RequestRouter> router_;
  std::unique_ptr<TxnRegistry> transactions_;
  std::unique_ptr<LockWatch> lock_watch_;
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<TaskScope> flows_;                 // control strand
  bool reporting_ = false;                           // control strand
  bool report_again_ = false;                        // control strand
  bool recording_ = false;                           // control strand
  std::unique_ptr<DirectoryEditor> editor_;          // control strand
  std::unique_ptr<JobRunner> jobs_;                  // control strand
  ClusterWatch watch_;                               // control strand
  std::unique_ptr<Balancing> balancing_;             // control strand
  std::map<GroupId, ShardStats> measured_;           // by MeasureLoad; control strand
  gossip::LoadReport own_load_;                      // control strand
  Duration tell_period_ = std::chrono::seconds(1);   // control strand
  int periods_ = 0;                                  // control strand
  bool tells_soon_ = false;                          // control strand
  bool watching_ = false;                            // control strand
  NodeStats last_told_;                              // control strand
  NodeId told_to_;                                   // control strand
  int told_the_same_ = 0;                            // control strand
  int quiet_looks_ = 0;                              // control strand
  std::shared_ptr<const DirectoryImage> looked_at_;  // control strand
  std::atomic<bool> look_at_directory_{false};
  std::mutex watchers_mutex_;
  WatchId next_watch_ = 1;
  std::map<WatchId, std::function<void()>> watchers_;
  std::shared_ptr<Formation> formation_;  // control strand
  std::shared_ptr<Greeter> greeter_;      // control strand

  std::unique_ptr<Vacuum> vacuum_;  // control strand
  ReaderWatch readers_;             // control strand
  bool told_reader_ = false;        // control strand

  mutable std::mutex mutex_;
  std::optional<OldestReader> oldest_reader_;
  Identity identity_;
  std::shared_ptr<gossip::Gossip> gossip_;  // of a member
  std::map<NodeId, std::string> addresses_;
  std::map<NodeUuid, NodeId> uuids_;
  // Where members say they are; holds until the group's record of them changes.
  struct Learned {
    std::string instead_of;
    std::string address;
  };
  std::map<NodeId, std::string> recorded_;
  std::map<NodeId, Learned> learned_;
  // Members that were removed lately: they are still owed the news, and answers.
  struct Departed {
    std::string address;
    MonoTime until;
  };
  std::map<NodeId, Departed> departed_;
  // Members that others have told of, and no configuration yet; bounded.
  std::map<NodeId, std::string> met_;
  std::map<GroupId, std::shared_ptr<Replica>> replicas_;
  std::map<GroupId, std::shared_ptr<Replica>> retired_;
  std::set<GroupId> making_replica_;
  std::set<GroupId> had_;       // groups that have, or had, a replica here
  std::set<GroupId> unopened_;  // that could not be opened, for now
  MonoTime make_replica_not_before_{};
  std::vector<GroupId> woken_;                      // and not yet among `awake_`
  bool resting_ = false;                            // all are asleep: ticks are rare
  std::shared_ptr<const DirectoryImage> founded_;   // all new groups of it are being opened
  std::shared_ptr<const DirectoryImage> searched_;  // for strangers; control strand
  std::atomic<bool> new_replicas_{false};           // since then
  bool log_was_empty_ = false;                      // a member's, when it was opened

  Duration tick_;
  int ticks_until_housekeeping_ = 0;
  int looks_without_leader_ = 0;
  int ticks_until_disk_watch_ = 0;
  int rounds_until_all_ = 0;
  // Control strand.
  std::map<GroupId, std::shared_ptr<Replica>> awake_;
  std::set<GroupId> unreported_;  // fell asleep before ReportShards() saw them
  TimerId rare_tick_ = 0;         // the next one, while all are asleep
  MonoTime disk_slow_until_{};    // control strand
  std::atomic<bool> space_is_low_{false};

  std::atomic<int> measurements_waiting_{0};
  std::unique_ptr<Strand> measuring_;  // blocking: sizes of stores; it ends before these do
  std::unique_ptr<Strand> slices_;     // blocking: compactions of old versions; as measuring_
};

}  // namespace flotilla
