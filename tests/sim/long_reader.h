// LongReader: a read-only transaction that lasts, in a world that is whole again: however short
// versions are kept, and whatever is collected meanwhile, it is never refused, and sees the same
// whenever it looks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/event_loop.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

class LongReader {
 public:
  LongReader(EventLoop* loop, SimCluster* cluster, std::vector<std::string> keyspaces)
      : loop_(loop), cluster_(cluster), keyspaces_(std::move(keyspaces)) {}

  // On the first node that runs. Another one, should that node end.
  void Start();
  // It has lasted long enough.
  bool done() const { return done_; }
  std::uint64_t looks() const { return looks_; }
  const std::string& failure() const { return failure_; }

 private:
  using Rows = std::map<std::string, Timestamp>;  // and their versions

  void Begin();
  void Look();
  void Read(std::size_t keyspace, const std::shared_ptr<Rows>& rows);
  void OnRead(std::size_t keyspace, const std::shared_ptr<Rows>& rows,
              const StatusOr<std::vector<kv::GetResult>>& got);
  void Judge(const Rows& rows);
  void After(Duration pause, void (LongReader::*then)());
  MonoTime Deadline() const;
  bool Lives() const { return cluster_->running(node_) && cluster_->life(node_) == life_; }
  template <class Answer, class Do>
  auto WhileAlive(Do then);

  EventLoop* const loop_;
  SimCluster* const cluster_;
  const std::vector<std::string> keyspaces_;
  int node_ = 0;
  std::uint64_t life_ = 0;
  std::shared_ptr<Transaction> txn_;
  MonoTime begun_{};
  std::shared_ptr<const Rows> first_;
  std::uint64_t looks_ = 0;
  bool done_ = false;
  std::string failure_;
  const std::shared_ptr<LongReader*> self_ = std::make_shared<LongReader*>(this);
};

}  // namespace flotilla::sim
