#include "tests/sim/sim_network.h"

#include <algorithm>
#include <utility>

#include "base/crc32c.h"
#include "raft/transport/codec.h"

namespace flotilla::sim {
namespace {

enum TraceKind : std::uint32_t {
  kMessage = 10,
  kCall = 11,
  kReply = 12,
  kTimeout = 13,
  kLost = 14,
  kKeepAlive = 15,
  kPing = 16,
  kPong = 17
};

bool HasBulk(const std::vector<raft::PeerMessage>& batch) {
  return std::any_of(batch.begin(), batch.end(), [](const raft::PeerMessage& message) {
    const auto* call = std::get_if<raft::Call>(&message.payload);
    return call != nullptr && call->bulk;
  });
}

// What of it may come twice: calls come once at most.
std::string RepeatableOf(std::vector<raft::PeerMessage> batch) {
  std::erase_if(batch, [](const raft::PeerMessage& message) {
    return std::holds_alternative<raft::Call>(message.payload);
  });
  return raft::EncodeMessages(batch);
}

}  // namespace

Duration SimNetwork::Latency() {
  return Duration(static_cast<std::int64_t>(
      random_.Between(static_cast<std::uint64_t>(weather_.latency_min.count()),
                      static_cast<std::uint64_t>(weather_.latency_max.count()))));
}

Duration SimNetwork::Noticed() {
  if (random_.Chance(0.5)) return Latency();
  return std::chrono::milliseconds(random_.Between(1, 500));
}

bool SimNetwork::Passes(ProcessId from, ProcessId to, Duration& delay) {
  delay = Latency();
  const bool late = random_.Chance(weather_.late);
  const bool lost = random_.Chance(weather_.loss);
  if (late) {
    delay += Duration(static_cast<std::int64_t>(
        random_.Below(static_cast<std::uint64_t>(weather_.late_max.count()) + 1)));
  }
  return !lost && CanPass(from, to);
}

SimTransport* SimNetwork::FindTransport(const std::string& address) const {
  const auto found = transports_.find(address);
  return found == transports_.end() ? nullptr : found->second;
}

SimTransport::SimTransport(SimNetwork* network, SimProcess* process, std::string address)
    : network_(network),
      process_(process),
      address_(std::move(address)),
      life_(std::make_shared<std::uint64_t>(network->next_life_++)) {
  network_->transports_[address_] = this;
}

SimTransport::~SimTransport() {
  const auto found = network_->transports_.find(address_);
  if (found != network_->transports_.end() && found->second == this) {
    network_->transports_.erase(found);
  }
}

void SimTransport::Start(ClusterId cluster, NodeId self, raft::TransportHandler* handler) {
  cluster_ = cluster;
  self_ = self;
  handler_ = handler;
  if (!self_ || network_->keep_alive_ == Duration(0) || keeping_alive_) return;
  keeping_alive_ = true;
  KeepAlive();
}

void SimTransport::KeepAlive() {
  if (handler_ == nullptr) return;
  for (const NodeId node : std::exchange(unanswered_, {})) {
    silent_.insert(node);
    handler_->OnUnreachable(node);
  }
  for (const auto& [node, address] : peers_) {
    unanswered_.insert(node);
    SimTransport* const target = network_->FindTransport(address);
    if (target != nullptr) Ping(node, *target);
  }
  network_->loop().At(process_->VirtualNow() + network_->keep_alive_, process_->id(), kKeepAlive,
                      [this] { KeepAlive(); });
}

void SimTransport::Ping(NodeId node, SimTransport& target) {
  const ProcessId here = process_->id();
  const ProcessId there = target.process_->id();
  Duration delay{0};
  if (!network_->Passes(here, there, delay)) return;
  // The answer finds its way by its receiver's address: that may be dead by then.
  network_->loop().At(
      process_->VirtualNow() + delay, there, kPing,
      [network = network_, here, there, node, life = std::weak_ptr<std::uint64_t>(life_), this] {
        Duration back{0};
        if (life.expired() || !network->Passes(there, here, back)) return;
        network->loop().At(network->loop().now() + back, here, kPong, [this, node] {
          unanswered_.erase(node);
          if (silent_.erase(node) != 0 && handler_ != nullptr) handler_->OnReachable(node);
        });
      });
}

void SimTransport::SetPeers(const std::vector<raft::PeerAddress>& peers) {
  peers_.clear();
  for (const raft::PeerAddress& peer : peers) peers_[peer.node] = peer.address;
}

void SimTransport::Send(std::vector<raft::PeerMessage> messages) {
  // What leaves together for one node travels together, through the real codec.
  std::map<NodeId, std::vector<raft::PeerMessage>> per_node;
  for (raft::PeerMessage& message : messages) {
    if (network_->observer_) network_->observer_(message, *life_);
    per_node[message.to].push_back(std::move(message));
  }
  for (const auto& [to, batch] : per_node) {
    const auto peer = peers_.find(to);
    if (peer == peers_.end()) continue;
    SimTransport* const target = network_->FindTransport(peer->second);
    if (target == nullptr) {
      const bool asks = std::any_of(batch.begin(), batch.end(), [](const auto& message) {
        return std::holds_alternative<raft::Call>(message.payload);
      });
      if (asks) unreachable_.erase(to);
      NoteUnreachable(to);
      continue;
    }
    auto bytes = std::make_shared<const std::string>(raft::EncodeMessages(batch));
    // RocksDB writes random identifiers into its files: of snapshots only the size can repeat.
    network_->loop().Trace(HasBulk(batch) ? bytes->size() : Crc32c(*bytes));
    const auto deliver = [&](std::shared_ptr<const std::string> copy) {
      Duration delay{0};
      if (!network_->Passes(process_->id(), target->process_->id(), delay)) return;
      network_->loop().At(process_->VirtualNow() + delay, target->process_->id(), kMessage,
                          [target, cluster = cluster_, from = self_, node = to, copy] {
                            target->Deliver(cluster, from, node, *copy);
                          });
    };
    const bool twice = network_->Twice();
    deliver(std::move(bytes));
    if (twice) deliver(std::make_shared<const std::string>(RepeatableOf(batch)));
    unreachable_.erase(to);
  }
}

void SimTransport::Deliver(ClusterId cluster, NodeId from, NodeId to, const std::string& bytes) {
  // What the hello of a stream says, in production.
  if (handler_ == nullptr || cluster != cluster_ || to != self_) return;
  auto messages = raft::DecodeMessages(bytes, from, to);
  if (messages.ok()) handler_->OnMessages(*std::move(messages));
}

void SimTransport::NoteUnreachable(NodeId node) {
  if (!unreachable_.insert(node).second) return;
  network_->loop().At(process_->VirtualNow() + network_->Latency(), process_->id(), kLost,
                      [this, node] {
                        if (handler_ != nullptr) handler_->OnUnreachable(node);
                      });
}

void SimTransport::CallAddress(const std::string& address, std::uint32_t method, Bytes body,
                               Duration timeout, UniqueFunction<void(StatusOr<Bytes>)> done) {
  // Whoever comes first, the answer or the timeout.
  auto shared = std::make_shared<UniqueFunction<void(StatusOr<Bytes>)>>(std::move(done));
  const auto finish = [shared, life = std::weak_ptr<std::uint64_t>(life_)](StatusOr<Bytes> answer) {
    if (!*shared || life.expired()) return;
    auto function = std::move(*shared);
    *shared = nullptr;
    function(std::move(answer));
  };
  EventLoop& loop = network_->loop();
  const ProcessId caller = process_->id();
  loop.At(process_->VirtualNow() + timeout, caller, kTimeout,
          [finish] { finish(Error(Reason::kDeadlineExceeded, "no answer in time")); });
  SimTransport* const target = network_->FindTransport(address);
  Duration delay{0};
  if (target == nullptr) {
    loop.At(process_->VirtualNow() + network_->Latency(), caller, kReply,
            [finish] { finish(Error(Reason::kUnreachable, "connection refused")); });
    return;
  }
  const ProcessId callee = target->process_->id();
  if (!network_->Passes(caller, callee, delay)) return;
  // The reply finds its way by the caller's address: the caller may be dead by then.
  loop.At(process_->VirtualNow() + delay, callee, kCall,
          [network = network_, target, caller, callee, method, body = std::move(body), finish] {
            if (!target->address_calls_) return;
            target->address_calls_(
                method, body, [network, caller, callee, finish](StatusOr<Bytes> answer) {
                  Duration back{0};
                  if (!network->Passes(callee, caller, back)) return;
                  network->loop().At(network->loop().now() + back, caller, kReply,
                                     [finish, answer = std::move(answer)] { finish(answer); });
                });
          });
}

void SimTransport::SetAddressCallHandler(AddressCallHandler handler) {
  address_calls_ = std::move(handler);
}

void SimTransport::Stop() {
  handler_ = nullptr;
  address_calls_ = nullptr;
}

}  // namespace flotilla::sim
