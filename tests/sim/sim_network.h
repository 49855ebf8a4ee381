// SimNetwork: everything between processes: messages of nodes, calls to addresses, and the streams
// of clients; late, lost, in another order, messages of groups twice, or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "raft/transport/transport.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/sim_process.h"

namespace flotilla::sim {

struct NetworkWeather {
  Duration latency_min = std::chrono::microseconds(100);
  Duration latency_max = std::chrono::microseconds(800);
  double loss = 0;
  double duplication = 0;
  // Chance of a message to be late by up to `late_max`.
  double late = 0;
  Duration late_max = std::chrono::milliseconds(50);
};

class SimNetwork;

// One node's transport; one life, as its process.
class SimTransport final : public raft::Transport {
 public:
  SimTransport(SimNetwork* network, SimProcess* process, std::string address);
  ~SimTransport() override;

  void Start(ClusterId cluster, NodeId self, raft::TransportHandler* handler) override;
  void SetPeers(const std::vector<raft::PeerAddress>& peers) override;
  void Send(std::vector<raft::PeerMessage> messages) override;
  void CallAddress(const std::string& address, std::uint32_t method, Bytes body, Duration timeout,
                   UniqueFunction<void(StatusOr<Bytes>)> done) override;
  void SetAddressCallHandler(AddressCallHandler handler) override;
  void Stop() override;

 private:
  friend class SimNetwork;

  void Deliver(ClusterId cluster, NodeId from, NodeId to, const std::string& bytes);
  void NoteUnreachable(NodeId node);
  void KeepAlive();
  void Ping(NodeId node, SimTransport& target);

  SimNetwork* const network_;
  SimProcess* const process_;
  const std::string address_;
  ClusterId cluster_;
  NodeId self_;
  raft::TransportHandler* handler_ = nullptr;
  AddressCallHandler address_calls_;
  std::map<NodeId, std::string> peers_;
  std::set<NodeId> unreachable_;
  std::set<NodeId> unanswered_;  // pings
  std::set<NodeId> silent_;      // nodes that were reported for it
  bool keeping_alive_ = false;
  // Answers to an earlier life of the process find this gone.
  const std::shared_ptr<std::uint64_t> life_;
};

class SimNetwork {
 public:
  SimNetwork(EventLoop* loop, Random random) : loop_(loop), random_(random) {}

  void SetWeather(const NetworkWeather& weather) { weather_ = weather; }
  // Nothing passes from the one process to the other (one way).
  void Cut(ProcessId from, ProcessId to) { cuts_.emplace(from, to); }
  // Nodes ask each other this often whether they are there, as production's streams do; groups that
  // are asleep go by it. 0: never.
  void SetKeepAlive(Duration period) { keep_alive_ = period; }
  void HealAll() { cuts_.clear(); }
  bool CanPass(ProcessId from, ProcessId to) const { return !cuts_.contains({from, to}); }

  EventLoop& loop() { return *loop_; }
  // Whether a message passes now, and after how long.
  bool Passes(ProcessId from, ProcessId to, Duration& delay);
  bool Twice() { return random_.Chance(weather_.duplication); }
  Duration Latency();
  // How long a broken connection takes to be noticed: at once, or not so soon.
  Duration Noticed();

  SimTransport* FindTransport(const std::string& address) const;

  // Is shown every message that a node sends, whatever becomes of it; each life of a node has a
  // number of its own.
  using Observer = std::function<void(const raft::PeerMessage& message, std::uint64_t life)>;
  void SetObserver(Observer observer) { observer_ = std::move(observer); }

 private:
  friend class SimTransport;

  EventLoop* const loop_;
  Random random_;
  NetworkWeather weather_;
  Duration keep_alive_{0};
  std::set<std::pair<ProcessId, ProcessId>> cuts_;
  Observer observer_;
  std::uint64_t next_life_ = 1;
  std::map<std::string, SimTransport*> transports_;  // of running processes
};

}  // namespace flotilla::sim
