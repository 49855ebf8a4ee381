// Gossip of this node with the others: who is there, and how busy.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/timestamp.h"
#include "shard/node_impl.h"

namespace flotilla {
namespace {

// A later life of a node has a greater one, unless its clock was set back: then others say so.
gossip::Incarnation IncarnationNow(const Clock& clock) {
  return gossip::Incarnation(std::max<std::uint64_t>(MillisecondsOf(clock.WallNow()), 1));
}

}  // namespace

void NodeImpl::StartGossip() {
  gossip::GossipOptions options;
  options.core.self = identity_.node;
  options.core.incarnation = IncarnationNow(*world_.clock);
  options.core.seed = random_.Next();
  auto gossip = gossip::Gossip::Make(
      options, world_.executor,
      [this](NodeId to, Bytes message) {
        calls_->Notify(to, raft::PeerMethod::kGossip, 0, std::move(message));
      },
      [this](const std::vector<gossip::Change>& changes, const gossip::GossipView&) {
        OnGossip(changes);
      });
  const Status profile =
      gossip->SetProfile({.address = options_.advertise_address,
                          .labels = {options_.labels.begin(), options_.labels.end()}});
  if (!profile.ok()) world_.logger->warn("{}", MessageOf(profile));
  gossip->Start();
  std::lock_guard lock(mutex_);
  gossip_ = std::move(gossip);
}

std::shared_ptr<gossip::Gossip> NodeImpl::FindGossip() const {
  std::lock_guard lock(mutex_);
  return gossip_;
}

std::shared_ptr<const gossip::GossipView> NodeImpl::GossipView() const {
  const std::shared_ptr<gossip::Gossip> gossip = FindGossip();
  return gossip ? gossip->View() : std::make_shared<gossip::GossipView>();
}

// On its strand.
void NodeImpl::OnGossip(const std::vector<gossip::Change>& changes) {
  bool news = false;
  for (const gossip::Change& change : changes) {
    const std::uint64_t node = change.node.value();
    switch (change.kind) {
      case gossip::ChangeKind::kAlive:
        world_.logger->info("node {} is there", node);
        break;
      case gossip::ChangeKind::kSuspect:
        world_.logger->info("node {} does not answer, and is suspected to be down", node);
        break;
      case gossip::ChangeKind::kDead:
        world_.logger->warn("node {} is down, or nobody can reach it", node);
        break;
      case gossip::ChangeKind::kLeft:
        world_.logger->info("node {} has said farewell", node);
        break;
      case gossip::ChangeKind::kForgotten:
      case gossip::ChangeKind::kProfile:
      case gossip::ChangeKind::kLoad:
        continue;
    }
    news = true;
  }
  if (news) control_->Post([this] { TellSoon(); });
}

void NodeImpl::Reach(const std::vector<raft::PeerAddress>& peers) {
  world_.transport->SetPeers(peers);
  std::set<NodeId> nodes;
  for (const raft::PeerAddress& peer : peers) nodes.insert(peer.node);
  if (const auto gossip = FindGossip()) gossip->SetContacts({nodes.begin(), nodes.end()});
  router_->SetPeers(std::move(nodes));
}

void NodeImpl::StopGossip(Closure done) {
  const std::shared_ptr<gossip::Gossip> gossip = FindGossip();
  if (!gossip) {
    done();
    return;
  }
  gossip->Leave([gossip, done = std::move(done)]() mutable { gossip->Stop(std::move(done)); });
}

}  // namespace flotilla
