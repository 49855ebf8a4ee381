// SnapshotWatch: reads all checked keys as of one timestamp, over all their shards, again and again
// and from any node, and knows what must not come: anything else than what the first of these reads
// saw, a version above the timestamp, or one below that of a write that was acknowledged with a
// timestamp at or below.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "shard/gateway.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/roamer.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

class SnapshotWatch {
 public:
  // `keyspaces`: by name; empty: `default`.
  SnapshotWatch(EventLoop* loop, SimCluster* cluster, std::vector<std::string> keyspaces,
                std::uint64_t seed);

  void Start() {
    roamer_.Start([this] { Act(); });
  }
  void End() { roamer_.End(); }

  // A put of this key was acknowledged with that commit timestamp.
  void NotePut(const std::string& keyspace, const std::string& key, Timestamp version) {
    puts_[{keyspace, key}].insert(version);
  }

  // Reads that were whole, and those of them that were compared with one before.
  std::uint64_t whole() const { return whole_; }
  std::uint64_t compared() const { return compared_; }
  const std::string& failure() const { return failure_; }

 private:
  using Rows = std::map<std::string, std::pair<Timestamp, std::string>>;  // by key
  struct Snapshot {
    std::string keyspace;
    Timestamp as_of;
    std::shared_ptr<const Rows> rows;  // of the first read; null: none yet
  };
  // One read of a snapshot.
  struct Look {
    std::size_t snapshot = 0;
    kv::ScanRequest scan;
    bool gets = false;
    Rows rows;
  };

  void Act();
  void Begin(Timestamp as_of);
  void Read(std::size_t snapshot);
  void Ask(int node, const std::shared_ptr<Look>& look);
  void OnAnswer(int node, const std::shared_ptr<Look>& look, GatewayAnswer& answer);
  void Judge(const Look& look);
  std::string Contradiction(const Snapshot& snapshot, const Rows& rows) const;

  EventLoop* const loop_;
  SimCluster* const cluster_;
  const std::vector<std::string> keyspaces_;
  Roamer roamer_;
  std::vector<Snapshot> snapshots_;
  std::map<std::pair<std::string, std::string>, std::set<Timestamp>> puts_;
  std::uint64_t whole_ = 0;
  std::uint64_t compared_ = 0;
  std::string failure_;
};

}  // namespace flotilla::sim
