// SimConnector: the client library's network in the simulator.
//
// A connection is ordered and loses nothing while it lasts, as TCP is; a partition or a dead node
// breaks it after a while. On the node's side it ends in a PipelineSession, the very one that kvd
// has behind gRPC.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "client/connection.h"
#include "shard/gateway.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_process.h"

namespace flotilla::sim {

// What listens at an address now; null gateway: nothing does.
struct SimServer {
  Gateway* gateway = nullptr;
  SimProcess* process = nullptr;
  std::uint64_t life = 0;  // unique over all starts
};

class SimConnector final : public client::Connector {
 public:
  using FindServer = std::function<SimServer(const std::string& address)>;

  SimConnector(SimNetwork* network, SimProcess* process, FindServer find)
      : network_(network), process_(process), find_(std::move(find)) {}

  std::shared_ptr<client::Connection> Connect(
      const std::string& address, std::shared_ptr<client::ConnectionObserver> observer) override;
  void ListMembers(const std::string& address, Duration timeout, MembersCallback done) override;

 private:
  class Stream;

  SimNetwork* const network_;
  SimProcess* const process_;
  const FindServer find_;
};

}  // namespace flotilla::sim
