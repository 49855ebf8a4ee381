// MarkerWatch: rows that are written once and never change, scanned all the time, from any node, to
// and fro and in small pages: each must come exactly once, and in order, however shards are split,
// merged and moved meanwhile. Counts and sums are held to the same.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/event_loop.h"
#include "tests/sim/roamer.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

class MarkerWatch {
 public:
  MarkerWatch(EventLoop* loop, SimCluster* cluster, std::uint64_t seed);

  // Writes the markers of a keyspace.
  void Mark(kv::KeyspaceId keyspace);
  // All are written.
  bool marked() const { return unwritten_ == 0; }

  // Once all are written.
  void Start() {
    roamer_.Start([this] { Begin(); });
  }
  // Nothing new.
  void End() { roamer_.End(); }

  // Scans and counts that were seen through.
  std::uint64_t passes() const { return passes_; }
  const std::string& failure() const { return failure_; }

  static constexpr int kMarkers = 30;
  static std::string KeyOf(int marker);

 private:
  struct Pass;

  void Write(kv::KeyspaceId keyspace, int marker);
  void Begin();
  void AskPage(const std::shared_ptr<Pass>& pass);
  void TakePage(const std::shared_ptr<Pass>& pass, GatewayAnswer answer);
  void Check(const Pass& pass);
  void Fail(const Pass& pass, const std::string& what);
  // To any node that runs. False: the one that was drawn does not.
  bool Ask(GatewayCall call, UniqueFunction<void(GatewayAnswer)> done);

  EventLoop* const loop_;
  Roamer roamer_;
  std::vector<kv::KeyspaceId> keyspaces_;
  int unwritten_ = 0;
  std::uint64_t passes_ = 0;
  std::string failure_;
};

}  // namespace flotilla::sim
