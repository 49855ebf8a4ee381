// ListLoad: transactions at every level that read lists and append to them, begun on any node and
// going on while nodes come and go; what they saw is checked for anomalies
// (tests/sim/list_check.h).
//
// There are a few lists at a time. One that has got long is followed by a new one, which is not
// there yet: whoever scans for it meets phantoms.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "shard/transactions.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/list_history.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

class ListLoad {
 public:
  // `keyspaces`: by name; empty: `default`.
  ListLoad(EventLoop* loop, SimCluster* cluster, std::vector<std::string> keyspaces,
           std::uint64_t seed);

  void Start();
  void End() { ended_ = true; }
  bool idle() const;
  std::uint64_t committed() const { return committed_; }
  // Empty: all is well. After the end.
  std::string Check() const;

 private:
  enum class Act : std::uint8_t { kRead, kAppend, kScan };
  struct Plan {
    Act act;
    std::size_t slot;
  };
  struct Lane {
    std::uint64_t generation = 0;  // of its transaction; answers to others are of no interest
    bool busy = false;
    bool committing = false;
    int node = 0;
    std::uint64_t life = 0;  // of its process
    MonoTime give_up{};
    std::vector<Plan> plans;
    std::shared_ptr<Transaction> txn;
    ListTxn run;
  };
  // A place for one list after the other.
  struct Slot {
    std::uint64_t list = 1;
    int appended = 0;
  };

  void Next(std::size_t lane);
  void Begin(std::size_t lane);
  void Step(std::size_t lane);
  void Read(std::size_t lane, const Plan& plan);
  void Scan(std::size_t lane, const Plan& plan);
  void Append(std::size_t lane, std::size_t slot, const std::string& name, List found);
  void Commit(std::size_t lane);
  void Abort(std::size_t lane);
  void Ended(std::size_t lane, ListFate fate);
  void Later(std::size_t lane);
  template <class Answer, class Do>
  auto Guard(std::size_t lane, Do then);

  // The process of its transaction runs.
  bool Lives(const Lane& lane) const {
    return cluster_->running(lane.node) && cluster_->life(lane.node) == lane.life;
  }
  int AnyNode();
  MonoTime Deadline(int node) const;
  kv::KeyspaceId KeyspaceOf(int node, std::size_t slot) const;
  static std::string NameOf(std::size_t slot, std::uint64_t list);

  EventLoop* const loop_;
  SimCluster* const cluster_;
  const std::vector<std::string> keyspaces_;
  Random random_;
  bool ended_ = false;
  std::vector<Lane> lanes_;
  std::vector<Slot> slots_;
  std::vector<ListTxn> history_;
  std::uint64_t next_number_ = 1;
  ListElement next_element_ = 1;
  std::uint64_t committed_ = 0;
  const std::shared_ptr<ListLoad*> self_ = std::make_shared<ListLoad*>(this);
};

}  // namespace flotilla::sim
