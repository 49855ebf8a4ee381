// Transport: the messages of all groups between nodes, and requests between nodes.
//
// Place in the picture: the third injected interface. Production sends over one long-lived gRPC
// stream per pair of nodes and direction (grpc_transport.h); the simulator has a network of its
// own. Messages may be lost and reordered across streams, those of groups repeated. A full queue
// drops; nothing blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "base/types.h"
#include "raft/core/message.h"

namespace flotilla::raft {

// A message of one group's core.
struct GroupMessage {
  GroupId group;
  Message message;
};

// A request from node to node outside of consensus (a forwarded call, joining, snapshot parts), or
// the answer to one. The transport does not look inside. At most once: a lost request or answer
// shows as a timeout of the asker's.
struct Call {
  std::uint64_t id = 0;  // the asker's, echoed by the answer
  bool answer = false;
  std::uint32_t method = 0;  // who handles it; see raft/peer_calls.h
  // Parts of snapshots: they travel on a stream of their own, behind which no heartbeat waits.
  bool bulk = false;
  Bytes body;
};

using PeerPayload = std::variant<GroupMessage, Call>;

struct PeerMessage {
  NodeId from;
  NodeId to;
  PeerPayload payload;
};

// Where a node can be reached, "host:port".
struct PeerAddress {
  NodeId node;
  std::string address;
};

// Receives on threads or strands of the transport's choosing: it must hand over and return.
class TransportHandler {
 public:
  virtual ~TransportHandler() = default;
  // What arrived together comes together.
  virtual void OnMessages(std::vector<PeerMessage> messages) = 0;
  // A stream to or from a node broke, or could not be made: what was under way is lost. Each time.
  virtual void OnUnreachable(NodeId node) = 0;
  // The node has accepted a stream.
  virtual void OnReachable(NodeId node) = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Starts receiving for this node. A node that is no member yet (it is forming or joining) starts
  // with node 0 and cluster 0, may only make and answer CallAddress() calls, and calls Start()
  // again once it knows.
  virtual void Start(ClusterId cluster, NodeId self, TransportHandler* handler) = 0;

  // Addresses to dial, whole; nodes not listed are forgotten.
  virtual void SetPeers(const std::vector<PeerAddress>& peers) = 0;

  // Queues messages for their nodes. Never blocks; unknown or overloaded destinations drop.
  virtual void Send(std::vector<PeerMessage> messages) = 0;

  // A single request to an address whose node id is not known: forming and joining a cluster.
  // `done` gets the answer's body, or why there is none; on a thread of the transport's choosing.
  virtual void CallAddress(const std::string& address, std::uint32_t method, Bytes body,
                           Duration timeout, UniqueFunction<void(StatusOr<Bytes>)> done) = 0;
  // Answers CallAddress() calls of others. `reply` may be called later, from anywhere, once.
  using AddressCallHandler = std::function<void(std::uint32_t method, Bytes body,
                                                UniqueFunction<void(StatusOr<Bytes>)> reply)>;
  virtual void SetAddressCallHandler(AddressCallHandler handler) = 0;

  // No handler runs after this returns.
  virtual void Stop() = 0;
};

}  // namespace flotilla::raft
