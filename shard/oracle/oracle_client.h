// OracleClient: a node's way to the oracle, wherever that is.
//
// One request at a time is under way to the directory's leader; what is asked meanwhile goes with
// the next, in one. On the node that leads the directory there is no request at all: everyone asks
// its OracleServer.
//
//   Take() ─┬─ the leader is here ──▶ OracleServer
//           └─ waiting ──▶ one request ──▶ OracleServer of the leader's node
//
// A leader that is gone, or does not lead any more, is asked no longer; the next one is, as soon as
// it is known.
//
// Place in the picture: one per node; the replicas of all groups take their writes' timestamps
// here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "raft/peer_calls.h"
#include "shard/oracle/oracle_server.h"
#include "shard/oracle/timestamp_source.h"

namespace flotilla {

class OracleClient final : public TimestampSource {
 public:
  struct World {
    const Clock* clock = nullptr;
    Strand* strand = nullptr;  // for timers
    raft::PeerCalls* calls = nullptr;
    OracleServer* server = nullptr;
    // The other node that leads the directory, as far as this one knows; zero: none.
    std::function<NodeId()> leader;
    // Whether this node leads it.
    std::function<bool()> leads;
    // The newest term that this node's replica of the directory's group has been in.
    std::function<raft::Term()> term;
  };
  // Answers the requests of other nodes, too.
  explicit OracleClient(World world);

  void Take(std::uint64_t count, MonoTime deadline,
            UniqueFunction<void(StatusOr<Timestamp>)> done) override;

  // Somebody leads the directory now, perhaps another than before. Any thread.
  void OnLeader();
  // Turns away who waits, and who comes later.
  void Stop();

 private:
  using Done = UniqueFunction<void(StatusOr<Timestamp>)>;
  struct Waiting {
    std::uint64_t count = 0;
    MonoTime deadline;
    Done done;
  };

  void Add(Waiting waiting, bool later);
  // Sends what waits, unless a request is under way. Lets go of the lock.
  void Send(std::unique_lock<std::mutex> lock);
  void Ask(std::uint64_t count, Done done);
  void OnAnswer(std::vector<Waiting> asked, const StatusOr<Timestamp>& first);
  // A little later, unless it is going to anyway. With the lock held.
  void SendLater();
  // With the lock held: those that have waited too long.
  std::vector<Waiting> TakeLate();

  const World world_;
  std::mutex mutex_;
  bool stopped_ = false;
  bool under_way_ = false;
  bool timer_ = false;
  std::vector<Waiting> waiting_;
  // Timers may outlive this object by a moment; they ask here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace flotilla
