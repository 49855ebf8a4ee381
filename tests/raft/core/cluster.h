// Cluster: cores, their disks and a network between them, in memory, on one thread.
//
// Everything happens by hand: a test delivers messages, completes writes and lets time pass. The
// disks keep durable and pending writes apart; a crash loses the pending ones, or a part of them.
// Everything that the cores do passes the Invariants.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "raft/core/core.h"
#include "tests/raft/core/invariants.h"

namespace flotilla::raft {

// What a node has written.
struct Disk {
  HardState hard_state;
  SnapshotMark snapshot;
  std::vector<Entry> log;  // from snapshot.index + 1

  Index last() const { return snapshot.index + log.size(); }
  const Entry* Find(Index index) const;
  // Zero outside [snapshot.index, last].
  Term TermAt(Index index) const;
  void Write(const PersistBatch& batch);
  void CompactTo(Index index, Configuration configuration);
};

struct Node {
  NodeId id;
  std::unique_ptr<Core> core;  // null while crashed
  Disk durable;
  Disk seen;  // durable and everything pending: what the log serves
  struct Write {
    PersistBatch batch;
    std::vector<OutgoingMessage> held;
  };
  std::deque<Write> writes;
  // Snapshots that the core asked to be sent, and one to be put in place.
  std::vector<NodeId> snapshot_wanted_by;
  std::optional<SnapshotMark> install;
  // The state machine.
  std::vector<Entry> applied;
  Index applied_index;
  std::vector<ReadConfirmed> reads_confirmed;
  std::vector<ReadRefused> reads_refused;
  std::vector<Overwritten> overwritten;
};

struct ClusterOptions {
  std::vector<std::uint64_t> voters = {1, 2, 3};
  std::vector<std::uint64_t> learners = {};
  CoreOptions core = {};
  // Writes are durable as soon as they are asked for.
  bool instant_disks = true;
  // Entries are reported as applied as soon as they are committed.
  bool instant_apply = true;
  std::uint64_t seed = 1;
};

class Cluster {
 public:
  explicit Cluster(ClusterOptions options = {});

  Node& at(std::uint64_t id);
  Core& core(std::uint64_t id);
  bool running(std::uint64_t id) { return at(id).core != nullptr; }
  std::vector<std::uint64_t> ids() const;
  // A node with an empty disk and no configuration: it is to be added.
  void AddNode(std::uint64_t id);

  // ---- driving --------------------------------------------------------------------------------

  // Carries out what the core asks for, until it asks for nothing.
  void Drain(std::uint64_t id);
  void Tick(std::uint64_t id, int times = 1);
  // The oldest write of a node becomes durable.
  void CompleteWrite(std::uint64_t id);
  void CompleteWrites(std::uint64_t id);
  // Loses memory and the pending writes, but for the first `kept` of them. The state machine keeps
  // what it had up to `applied` (its own writes reach the disk later), at least the snapshot.
  void Crash(std::uint64_t id, std::size_t kept = 0, Index applied = {});
  void Restart(std::uint64_t id);
  // Announces a snapshot to everyone who wants one; or fails to send it.
  void SendSnapshots(std::uint64_t from, bool delivered = true);
  void FinishInstall(std::uint64_t id);
  void Compact(std::uint64_t id, Index index);

  ProposeResult Propose(std::uint64_t id, const std::string& payload);
  MembershipRefusal ChangeMembers(std::uint64_t id, const std::set<std::uint64_t>& voters,
                                  const std::set<std::uint64_t>& learners = {});
  void Read(std::uint64_t id, std::uint64_t context);
  bool Transfer(std::uint64_t id, std::uint64_t target);

  // ---- network --------------------------------------------------------------------------------

  std::deque<Message>& network() { return network_; }
  // Hands over one message; it is lost when its receiver is down or cut off.
  void Deliver(Message message);
  // Hands over all messages, and those that they cause, in order.
  void DeliverAll();
  // Messages between these nodes and the others are lost from now on, in both directions.
  void Isolate(std::set<std::uint64_t> nodes) { isolated_ = std::move(nodes); }
  void Heal() { isolated_.clear(); }
  // Called with a line for everything that a core asks for.
  std::function<void(const std::string&)> trace;
  // Messages for which it returns true are lost.
  std::function<bool(const Message&)> drop;

  // ---- whole-cluster steps --------------------------------------------------------------------

  // Ticks every running node once, then delivers and writes everything.
  void Round(int times = 1);
  void Settle();
  // Makes a node time out and win.
  void Elect(std::uint64_t id);
  // The leader of the newest term, or 0.
  std::uint64_t leader() const;

  // Log matching between all pairs; reads the whole logs.
  void CheckLogs() const;
  Invariants& invariants() { return invariants_; }
  const ClusterOptions& options() const { return options_; }

 private:
  void CarryOut(Node& node, Ready ready);
  void MakeDurable(Node& node);
  void SendAll(Node& node, std::vector<OutgoingMessage> messages);
  // Fills a range from the log; nothing when it has gone, as a driver finds out too.
  std::optional<AppendRequest> Fill(const Node& node, Term term, const AppendRange& range) const;
  void Apply(Node& node, IndexRange range);
  void NoteLeaderCommit(const Node& node);
  bool Lost(const Message& message) const;
  void Trace(const Node& node, const std::string& what) const;
  void Enqueue(Message message);

  ClusterOptions options_;
  std::map<std::uint64_t, Node> nodes_;
  std::deque<Message> network_;
  std::set<std::uint64_t> isolated_;
  std::uint64_t starts_ = 0;
  Invariants invariants_;
};

Index I(std::uint64_t value);
Term T(std::uint64_t value);
NodeId N(std::uint64_t value);
Entry MakeEntry(std::uint64_t term, std::uint64_t index, const std::string& payload = "x");
Configuration MakeConfiguration(const std::set<std::uint64_t>& voters,
                                const std::set<std::uint64_t>& learners = {});

}  // namespace flotilla::raft
