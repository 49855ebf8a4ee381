// PeerCalls: requests from node to node, over the transport that consensus uses.
//
// Purpose: numbers requests, matches answers, gives up after a timeout, and hands what arrives to
// the method's handler. At most once: nothing is repeated here.
//
// Place in the picture: one per node, between the transport and everything that talks to other
// nodes outside of consensus (forwarding, snapshot transfer, administration).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/clock.h"
#include "base/executor.h"
#include "base/function.h"
#include "base/status.h"
#include "raft/transport/transport.h"

namespace flotilla::raft {

// Every method that nodes know; numbers are on the wire and stay.
enum class PeerMethod : std::uint32_t {
  kForwardRequests = 1,  // one way: requests of clients for the leader
  kForwardAnswers = 2,   // one way: some of their answers
  kSnapshotOpen = 3,
  kSnapshotPart = 4,
  kAdmin = 5,       // membership, transfer, snapshot: see shard/admin_codec.h
  kTimestamps = 6,  // of the oracle
  kNodeStats = 8,   // one way: shard/node_stats.h
  kWhoLeads = 7,    // a group, for a node that has no replica of it
  kGossip = 9,      // one way: shard/gossip/codec.h
  kWaits = 10,      // who waits for whom: shard/locking/wait_report.h
  kOpenTxns = 11,   // which of these go on: as above
  kReaders = 12,    // one way: shard/vacuum/readers.h
  kHurry = 13,      // one way: somebody waits for what this transaction has left (fixed64)
  // Of CallAddress(), from nodes that are no members:
  kHello = 16,    // forming: who is there
  kPropose = 17,  // forming: promise to join this cluster
  kFound = 18,    // forming: become a member of it
  kJoin = 19,     // an existing cluster: let me in
};

class PeerCalls {
 public:
  // `strand` runs timeouts and nothing else; it outlives this object.
  // Calls are numbered from `first_id` on: at random, so that no answer to the process that ran
  // here before is taken for one of theirs.
  PeerCalls(Transport* transport, const Clock* clock, Strand* strand, std::uint64_t first_id = 1);
  ~PeerCalls();

  // The identity that messages carry. Before the first Send.
  void SetSelf(NodeId self);

  using Reply = UniqueFunction<void(Bytes body)>;
  // Runs on the transport's thread: it must hand over and return. One handler per method, set
  // before messages arrive. A one-way handler ignores `reply`.
  using Handler = std::function<void(NodeId from, std::uint64_t id, Bytes body, Reply reply)>;
  void Handle(PeerMethod method, Handler handler);

  struct Options {
    bool bulk = false;
  };
  // `done` gets the answer or DEADLINE_EXCEEDED, UNREACHABLE, NODE_STOPPING; on the transport's
  // thread or the strand. Any thread.
  void Call(NodeId to, PeerMethod method, Bytes body, Duration timeout, Options options,
            UniqueFunction<void(StatusOr<Bytes>)> done);

  // One way, with a number of the caller's choosing. Any thread.
  void Notify(NodeId to, PeerMethod method, std::uint64_t id, Bytes body);

  // From the transport's handler.
  void OnCall(NodeId from, raft::Call call);
  void OnUnreachable(NodeId node);

  // Fails what waits; later calls fail at once.
  void Stop();

 private:
  struct Waiting {
    NodeId to;
    TimerId timer = 0;
    UniqueFunction<void(StatusOr<Bytes>)> done;
  };

  void Finish(std::uint64_t id, StatusOr<Bytes> answer);
  void Send(NodeId to, raft::Call call);

  Transport* const transport_;
  const Clock* const clock_;
  Strand* const strand_;
  NodeId self_;
  std::map<std::uint32_t, Handler> handlers_;  // fixed once messages arrive

  std::mutex mutex_;
  bool stopped_ = false;
  std::uint64_t next_id_;
  std::map<std::uint64_t, Waiting> waiting_;  // ordered: a stop fails them in one order
  // Timers may outlive this object by a moment; they ask here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace flotilla::raft
