// LockWatch: what a node does for the locks of the groups that it leads, beside the groups
// themselves: it ends waits whose time is up, reports those that last, so that deadlocks are found,
// and lets go of locks whose transactions are no more.
//
// Place in the picture: one per node. Reports go to the node that leads the directory, which
// judges them (deadlock_detector.h) and says whom to roll back; whether a transaction goes on, the
// node knows that coordinates it.
//
// It works while somebody waits, and looks at all locks from time to time. On its strand, unless
// said otherwise.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "raft/peer_calls.h"
#include "shard/locking/deadlock_detector.h"
#include "shard/locking/lock_info.h"
#include "shard/locking/wait_report.h"

namespace flotilla {

class Replica;

class LockWatch {
 public:
  struct World {
    const Clock* clock = nullptr;
    Strand* strand = nullptr;
    raft::PeerCalls* calls = nullptr;
    std::function<NodeId()> self;
    // As far as this node knows; zero: nobody.
    std::function<NodeId()> directory_leader;
    std::function<std::vector<std::shared_ptr<Replica>>()> replicas;
    // Those of them that this node coordinates, and that go on.
    std::function<std::vector<kv::TxnId>(const std::vector<kv::TxnId>&)> open;
  };
  // Answers the questions of other nodes, too.
  explicit LockWatch(World world);

  // Somebody waits. Any thread.
  void OnWait();
  // Locks that nobody waits for; now and then.
  void Look();
  // Those of the last deadlocks whose victims waited here; the newest last. Any thread.
  std::vector<FoundDeadlock> Deadlocks() const;

 private:
  void Tick();
  void Report(std::vector<ReportedWait> waits);
  std::vector<Deadlock> Judge(NodeId node, const std::vector<ReportedWait>& waits);
  void Break(const std::vector<Deadlock>& deadlocks);
  // Of locks that were taken so long ago: whether their transactions go on.
  void AskForHolders(Duration held, bool wanted);
  void OnOpen(NodeId coordinator, std::vector<kv::TxnId> asked,
              const StatusOr<std::vector<kv::TxnId>>& open);
  void LetGo(const std::vector<kv::TxnId>& txns);

  const World world_;
  std::atomic<bool> armed_{false};
  bool told_ = false;  // of waits, to whoever led the directory
  int ticks_ = 0;
  int looks_ = 0;
  DeadlockDetector detector_;
  std::set<NodeId> asking_;
  std::map<NodeId, MonoTime> silent_since_;

  mutable std::mutex mutex_;
  std::deque<FoundDeadlock> found_;
  // Timers and answers may outlive this object by a moment; they ask here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace flotilla
