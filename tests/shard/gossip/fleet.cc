#include "tests/shard/gossip/fleet.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "shard/gossip/codec.h"

namespace flotilla::gossip {

Fleet::Fleet(std::uint64_t seed, GossipCoreOptions options, bool through_codec)
    : random_(seed), options_(options), through_codec_(through_codec) {}

void Fleet::Start(NodeId node, Incarnation incarnation) {
  GossipCoreOptions options = options_;
  options.self = node;
  options.seed = random_.Next();
  options.incarnation = incarnation;
  cores_[node] = std::make_unique<GossipCore>(options);
  std::vector<NodeId> contacts;
  for (const auto& [other, core] : cores_) contacts.push_back(other);
  cores_[node]->SetContacts(std::move(contacts));
}

void Fleet::StartAll(std::uint64_t n) {
  Page everyone;
  for (std::uint64_t node = 1; node <= n; ++node) {
    Start(NodeId(node));
    everyone.members.push_back({.node = NodeId(node), .standing = {.incarnation = Incarnation(1)}});
  }
  for (const auto& [node, core] : cores_) {
    const NodeId other(node.value() % n + 1);
    core->Step(other, {.sender = {.incarnation = Incarnation(1)}, .body = SyncReply{everyone}});
    core->TakeOutput();
  }
}

void Fleet::Crash(NodeId node) { cores_.erase(node); }

void Fleet::Tick() {
  ++now_;
  while (!under_way_.empty() && under_way_.begin()->first <= now_) {
    Packet packet = std::move(under_way_.begin()->second);
    under_way_.erase(under_way_.begin());
    Deliver(std::move(packet));
  }
  for (const auto& [node, core] : cores_) {
    core->Tick();
    Take(node);
  }
}

void Fleet::Run(std::uint64_t ticks) {
  for (std::uint64_t i = 0; i < ticks; ++i) Tick();
}

bool Fleet::RunUntil(const std::function<bool()>& done, std::uint64_t ticks_max) {
  for (std::uint64_t i = 0; i < ticks_max; ++i) {
    if (done()) return true;
    Tick();
  }
  return done();
}

void Fleet::Take(NodeId node) {
  GossipCore::Output output = cores_.at(node)->TakeOutput();
  for (const GossipCore::Outgoing& outgoing : output.messages) Post(node, outgoing);
  if (!on_change) return;
  for (const Change& change : output.changes) on_change(node, change);
}

void Fleet::Post(NodeId from, const GossipCore::Outgoing& outgoing) {
  ++sent_;
  if (on_sent) on_sent(from, outgoing);
  Packet packet{.from = from, .to = outgoing.to, .message = {}, .bytes = {}};
  if (through_codec_) {
    packet.bytes = EncodeMessage(outgoing.message);
    sent_bytes_ += packet.bytes.size();
    largest_message_ = std::max(largest_message_, packet.bytes.size());
    CHECK_LE(packet.bytes.size(), options_.message_bytes_max);
  } else {
    packet.message = outgoing.message;
  }
  if (cut && cut(from, packet.to)) return;
  const int copies = random_.Chance(weather.repetition) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    if (random_.Chance(weather.loss)) continue;
    under_way_.emplace(now_ + random_.Between(weather.delay_min, weather.delay_max), packet);
  }
}

void Fleet::Deliver(Packet packet) {
  const auto core = cores_.find(packet.to);
  if (core == cores_.end()) return;
  if (through_codec_) {
    StatusOr<Message> message = DecodeMessage(packet.bytes);
    CHECK(message.ok()) << message.status().ToString();
    packet.message = *std::move(message);
  }
  core->second->Step(packet.from, std::move(packet.message));
  Take(packet.to);
}

std::optional<MemberState> Fleet::StateAt(std::uint64_t viewer, std::uint64_t node) const {
  const GossipCore& core = *cores_.at(NodeId(viewer));
  const MemberTable::Entry* entry = core.members().Find(NodeId(node));
  if (entry == nullptr) return std::nullopt;
  return entry->standing.state;
}

bool Fleet::EveryoneHolds(NodeId node, MemberState state) const {
  return std::all_of(cores_.begin(), cores_.end(), [&](const auto& core) {
    return core.first == node || StateAt(core.first.value(), node.value()) == state;
  });
}

bool Fleet::AllAlive() const {
  return std::all_of(cores_.begin(), cores_.end(), [this](const auto& core) {
    return EveryoneHolds(core.first, MemberState::kAlive);
  });
}

std::string Fleet::Disagreements() const {
  std::string all;
  for (const auto& [viewer, core] : cores_) {
    for (const auto& [node, other] : cores_) {
      if (viewer == node) continue;
      const std::optional<MemberState> state = StateAt(viewer.value(), node.value());
      if (state == MemberState::kAlive) continue;
      all += fmt::format("{} holds {} {}; ", viewer.value(), node.value(),
                         state ? StateName(*state) : "unknown");
    }
  }
  return all;
}

}  // namespace flotilla::gossip
