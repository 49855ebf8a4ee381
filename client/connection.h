// Connector, Connection: the network as the client sees it.
//
// Place in the picture: client.h's dispatcher speaks flotilla.v1 batches over connections that a
// connector makes. Production uses grpc_connector.h; the simulator supplies its own network, and
// tests a fake one. A connection is one ordered, bidirectional stream of KV.Pipeline to one node; a
// stream of Transactions.Transact has the same shape.
//
//   Connect() --> OnConnected --> ( Send --> OnSent )* ... OnResponses* ... --> OnClosed
//                       \______________________________________________________/
//                                  or OnClosed at once, when it fails
//
// Calls on an observer come on any thread, never inside Connect(), Send() or Close(); per
// connection one at a time, but that OnSent may run beside OnResponses. OnClosed is the last one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "base/types.h"

namespace flotilla::v1 {
class PipelineRequest;
class PipelineResponse;
class TransactRequest;
class TransactResponse;
class WatchDirectoryResponse;
}  // namespace flotilla::v1

namespace flotilla::client {

template <class Responses>
class StreamObserver {
 public:
  virtual ~StreamObserver() = default;

  // Send() may be called from now on. The node has applied writes up to `newest`; never zero.
  virtual void OnConnected(Timestamp newest) = 0;
  // The last batch was handed to the network: the next Send() may follow. Says nothing of arrival.
  virtual void OnSent() = 0;
  // Answers, in any order. The observer may move strings out of them; they are gone afterwards.
  virtual void OnResponses(Responses& responses) = 0;
  // The connection is no more; what it had not answered may or may not have been done. `status`
  // names the address and the system's error; never OK.
  virtual void OnClosed(const Status& status) = 0;
};

template <class Requests>
class Stream {
 public:
  virtual ~Stream() = default;

  // Sends one batch, of which nothing is referenced after the call. Only after OnConnected, and
  // not again before OnSent. Any thread.
  virtual void Send(const Requests& batch) = 0;

  // Gives the connection up; OnClosed follows soon. Idempotent. Any thread.
  virtual void Close() = 0;
};

using Connection = Stream<v1::PipelineRequest>;
using ConnectionObserver = StreamObserver<v1::PipelineResponse>;
using TxnStream = Stream<v1::TransactRequest>;
using TxnStreamObserver = StreamObserver<v1::TransactResponse>;

// A member of the cluster, as routing needs it.
struct MemberAddress {
  NodeId node;
  std::string address;
};

// What follows the directory. Calls come on any thread, never inside WatchDirectory() or Close(),
// one at a time; OnDirectoryClosed is the last one.
class DirectoryObserver {
 public:
  virtual ~DirectoryObserver() = default;
  virtual void OnDirectory(const v1::WatchDirectoryResponse& change) = 0;
  virtual void OnDirectoryClosed(const Status& status) = 0;
};

class DirectoryWatch {
 public:
  virtual ~DirectoryWatch() = default;
  // OnDirectoryClosed follows soon. Idempotent. Any thread.
  virtual void Close() = 0;
};

class Connector {
 public:
  // Waits until no observer will be called any more. All connections have been closed by then.
  virtual ~Connector() = default;

  // Starts to connect: OnConnected or OnClosed follows; the caller closes a connection that takes
  // too long. Every connection is one of its own on the wire. The observer is kept until OnClosed.
  // Any thread.
  virtual std::shared_ptr<Connection> Connect(const std::string& address,
                                              std::shared_ptr<ConnectionObserver> observer) = 0;

  // The same for a stream of transactions. Null: this network carries none.
  virtual std::shared_ptr<TxnStream> ConnectTxns(const std::string& address,
                                                 std::shared_ptr<TxnStreamObserver> observer) {
    (void)address;
    (void)observer;
    return nullptr;
  }

  // Asks the node at `address` for the cluster's members (Cluster.ListNodes), so that the client
  // can go straight to the leader. `done` runs once, on any thread, never inside this call.
  using MembersCallback = UniqueFunction<void(StatusOr<std::vector<MemberAddress>>)>;
  virtual void ListMembers(const std::string& address, Duration timeout, MembersCallback done) = 0;

  // Follows the directory as the node at `address` has it (Directory.WatchDirectory). The observer
  // is kept until OnDirectoryClosed. Null: this network has no directory, and the client does
  // without. Any thread.
  virtual std::shared_ptr<DirectoryWatch> WatchDirectory(
      const std::string& address, std::shared_ptr<DirectoryObserver> observer) {
    (void)address;
    (void)observer;
    return nullptr;
  }
};

}  // namespace flotilla::client
