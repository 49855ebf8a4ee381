// Workload: simulated clients that read and write a few keys and remember every answer.
//
// Keys are of one keyspace or several, each client having a client::Client for each of them. Values
// are unique, so that a read names the write that it saw. Besides the keys whose histories
// are checked, others come and go: they expire, are deleted by ranges, and are scanned; of them it
// only matters that all replicas agree.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "client/client.h"
#include "client/dispatcher.h"
#include "tests/sim/history.h"
#include "tests/sim/sim_connector.h"
#include "tests/sim/snapshot_watch.h"
#include "tests/sim/timestamp_watch.h"

namespace flotilla::sim {

// Keys whose histories are checked.
struct KeyspaceLoad {
  std::string name = {};  // empty: `default`
  int keys = 5;
};

class Workload {
 public:
  struct Options {
    int clients = 4;
    std::vector<KeyspaceLoad> keyspaces = {{}};
    // Machines; clients know all of them.
    int nodes = 3;
    // Each client keeps so many operations going at once. One of them only reads: it goes on where
    // a write would wait for a quorum.
    int lanes = 3;
    // The reading lane asks again while answers are due, up to so many: whoever answers late, and
    // should not, has been asked at every moment. 1: not so.
    int reads_open_max = 1;
    Duration think_max = std::chrono::milliseconds(50);
    // Values are up to that much longer than what makes them unique.
    std::size_t value_bytes_max = 0;
    Duration timeout = std::chrono::seconds(5);
    std::uint64_t seed = 1;
  };

  Workload(const Options& options, EventLoop* loop, SimNetwork* network,
           SimConnector::FindServer find, TimestampWatch* timestamps, SnapshotWatch* snapshots);
  ~Workload();

  void Start();
  // No new operations from now on.
  void End() { ended_ = true; }
  // While false, what would have been a write is a read.
  void SetWriting(bool writing) { writing_ = writing; }
  // A last look at every key whose history is checked. After End().
  void ReadAll();
  int under_way() const { return under_way_; }

  History& history() { return history_; }
  std::uint64_t answered() const { return answered_; }
  // Writes that a full disk turned away.
  std::uint64_t refused_for_room() const { return refused_for_room_; }
  static ProcessId ProcessOf(int client) { return 100 + static_cast<ProcessId>(client); }

 private:
  struct One {
    std::unique_ptr<SimProcess> process;
    std::unique_ptr<SimConnector> connector;
    std::vector<std::unique_ptr<client::Client>> clients;  // by keyspace
    Random random{1};
    int reads_open = 0;  // of a paced lane
  };

  struct Lane {
    std::size_t client = 0;
    bool reads_only = false;
    std::size_t keyspace = 0;  // of the operation under way
  };
  struct Scanning;

  void Next(Lane lane);
  bool Paced(Lane lane) const { return lane.reads_only && options_.reads_open_max > 1; }
  void Issue(Lane lane);
  void Get(Lane lane, Operation operation);
  // All checked keys of a keyspace, page by page.
  void Scan(Lane lane, const Operation& asked);
  void ScanPage(Lane lane, const std::shared_ptr<Scanning>& scanning);
  void Put(Lane lane, Operation operation);
  void Delete(Lane lane, Operation operation);
  void CompareAndSet(Lane lane, Operation operation);
  // A guess at a recent value, or absence; the operation has it as what it expects.
  client::Condition AnyCondition(Lane lane, Operation& operation);
  // Two keys at once, of one shard or of two; some if the first has what is expected.
  void Batch(Lane lane, Operation first);
  // Something on the keys that nobody checks.
  void Disturb(Lane lane);
  // Records how an operation ended, and goes on with the next.
  void Ended(Lane lane, std::size_t number, const Status& status);
  void Record(std::size_t number, const Status& status);
  void Done(Lane lane, const Status& status);
  std::string CheckedKey(Lane lane);
  // As the history has it.
  std::string HistoryName(Lane lane, const std::string& key) const;
  std::size_t Invoke(Lane lane, Operation operation);
  // A new value; the same for the same number.
  std::string ValueOf(std::uint64_t number) const;
  client::Client& ClientOf(Lane lane) { return *clients_[lane.client].clients[lane.keyspace]; }

  const Options options_;
  EventLoop* const loop_;
  TimestampWatch* const timestamps_;
  SnapshotWatch* const snapshots_;
  std::vector<One> clients_;
  History history_;
  std::uint64_t next_value_ = 1;
  std::uint64_t answered_ = 0;
  std::uint64_t refused_for_room_ = 0;
  int under_way_ = 0;
  bool writing_ = true;
  bool ended_ = false;
};

}  // namespace flotilla::sim
