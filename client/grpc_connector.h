// GrpcConnector: connections as gRPC streams; the production network of the client.
//
// Every connection has a channel, and so a TCP connection, of its own. A batch is serialized inside
// Send(); answers are parsed into an arena that the connection reuses. gRPC's own threads call the
// observers.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "client/connection.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace flotilla::client {

// A channel that shares its connection with no other, sends and receives messages of any size, uses
// no proxy and tries to reconnect at once.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& address);

class GrpcConnector final : public Connector {
 public:
  GrpcConnector();
  // Blocks until every stream has ended: close the connections before.
  ~GrpcConnector() override;

  std::shared_ptr<Connection> Connect(const std::string& address,
                                      std::shared_ptr<ConnectionObserver> observer) override;
  std::shared_ptr<TxnStream> ConnectTxns(const std::string& address,
                                         std::shared_ptr<TxnStreamObserver> observer) override;
  void ListMembers(const std::string& address, Duration timeout, MembersCallback done) override;
  std::shared_ptr<DirectoryWatch> WatchDirectory(
      const std::string& address, std::shared_ptr<DirectoryObserver> observer) override;

  // Counts what is under way, so that the destructor can wait for it.
  class Gate {
   public:
    void Enter();
    void Leave();
    void WaitUntilEmpty();

   private:
    std::mutex mutex_;
    std::condition_variable empty_;
    std::size_t inside_ = 0;
  };

 private:
  struct Anchor;

  const std::shared_ptr<Gate> gate_;
  const std::unique_ptr<Anchor> anchor_;
};

}  // namespace flotilla::client
