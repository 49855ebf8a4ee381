// TxnLoad: transactions over keys of all keyspaces, begun on any node and going on while nodes
// come and go: reads, scans and writes at every level, plain writes between them, transfers
// between accounts whose total stays what it is, and what all were told (TxnHistory).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "shard/transactions.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/txn_history.h"

namespace flotilla::sim {

class TxnLoad {
 public:
  // `keyspaces`: by name; empty: `default`.
  TxnLoad(EventLoop* loop, SimCluster* cluster, std::vector<std::string> keyspaces,
          std::uint64_t seed);

  void Start();
  void End() { ended_ = true; }
  bool idle() const;

  std::uint64_t committed() const { return history_.committed(); }
  // Transfers' totals that were looked at.
  std::uint64_t totals() const { return totals_; }
  const std::string& failure() const { return failure_; }
  // Of all that was told. After the end.
  std::string Check() { return failure_.empty() ? history_.Check() : failure_; }

 private:
  struct Key {
    std::size_t keyspace = 0;
    std::string name;
  };
  struct Lane {
    std::uint64_t generation = 0;  // of its transaction; answers to others are of no interest
    bool busy = false;
    bool transfers = false;
    bool locks_reads = false;  // all of them
    bool large = false;
    int node = 0;
    std::uint64_t life = 0;  // of its process
    int steps = 0;
    std::shared_ptr<Transaction> txn;
    TxnRun run;
    std::vector<std::int64_t> balances;
    MonoTime give_up{};
    bool committing = false;
  };

  void Next(std::size_t lane);
  void Begin(std::size_t lane);
  void Begun(std::size_t lane, StatusOr<std::shared_ptr<Transaction>> txn);
  void Step(std::size_t lane);
  void Read(std::size_t lane, const std::vector<Key>& keys);
  void Scan(std::size_t lane, const kv::ScanRequest& request, std::size_t keyspace);
  struct Change {
    Key key;
    std::string value;  // or what the history has for a deletion
    bool deletes = false;
  };
  Change PutOf(std::size_t lane, const Key& key, bool final, std::int64_t balance) const;
  Change DeletionOf(std::size_t lane, const Key& key) const;
  // All at once; then, after a while, the next.
  void Write(std::size_t lane, std::vector<Change> changes, void (TxnLoad::*then)(std::size_t));
  std::optional<TxnLock> AnyLock(std::size_t lane);
  void PutPlain(std::size_t lane);
  void LookAtTotal(std::size_t lane, const std::vector<std::string>& values);
  void Commit(std::size_t lane);
  void Ended(std::size_t lane);
  // After a while, if the transaction is still that one.
  void Later(std::size_t lane, void (TxnLoad::*then)(std::size_t));
  // Wraps what an answer does: nothing, once the lane has gone on to another.
  template <class Answer, class Do>
  auto Guard(std::size_t lane, Do then);

  Key AnyKey(bool account);
  Key LargeKey(std::uint64_t number) const;
  std::vector<Key> Accounts() const;
  std::string NameOf(const Key& key) const;
  kv::KeyspaceId IdOf(int node, std::size_t keyspace) const;
  // The process of its transaction runs.
  bool Lives(const Lane& lane) const {
    return cluster_->running(lane.node) && cluster_->life(lane.node) == lane.life;
  }
  MonoTime Deadline(int node) const;
  int AnyNode();

  EventLoop* const loop_;
  SimCluster* const cluster_;
  const std::vector<std::string> keyspaces_;
  Random random_;
  bool ended_ = false;
  bool opened_ = false;  // the accounts have their money
  std::vector<Lane> lanes_;
  TxnHistory history_;
  std::uint64_t next_number_ = 1;
  std::uint64_t totals_ = 0;
  std::string failure_;
  const std::shared_ptr<TxnLoad*> self_ = std::make_shared<TxnLoad*>(this);
};

}  // namespace flotilla::sim
