// Fleet: many GossipCores and a network between them that loses, repeats, delays and cuts, on a
// seed, in ticks.
//
// Every message goes through the codec unless the fleet is told that its nodes may share memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "shard/gossip/gossip_core.h"

namespace flotilla::gossip {

struct Weather {
  double loss = 0;
  double repetition = 0;
  // Ticks under way, drawn for each message: reordering.
  std::uint64_t delay_min = 1;
  std::uint64_t delay_max = 1;
};

class Fleet {
 public:
  // Of every node; self, seed and incarnation are filled in.
  explicit Fleet(std::uint64_t seed, GossipCoreOptions options = {}, bool through_codec = true);

  // A new life of the node, with everybody so far as contacts. In each life after the first its
  // incarnation is the same again unless `incarnation` says otherwise.
  void Start(NodeId node, Incarnation incarnation = Incarnation(1));
  // Nodes 1 to n, which know each other already.
  void StartAll(std::uint64_t n);
  void Crash(NodeId node);

  // One tick: what is due arrives, then every node's time goes on.
  void Tick();
  void Run(std::uint64_t ticks);
  // False: `done` did not become true within so many ticks.
  bool RunUntil(const std::function<bool()>& done, std::uint64_t ticks_max);

  GossipCore& at(std::uint64_t node) { return *cores_.at(NodeId(node)); }
  bool runs(NodeId node) const { return cores_.contains(node); }
  const std::map<NodeId, std::unique_ptr<GossipCore>>& cores() const { return cores_; }
  // After an input by hand.
  void Take(NodeId node);

  // Nothing when it is not known there.
  std::optional<MemberState> StateAt(std::uint64_t viewer, std::uint64_t node) const;
  // All that run but the node itself hold it so.
  bool EveryoneHolds(NodeId node, MemberState state) const;
  // All that run hold each other alive.
  bool AllAlive() const;
  // For a failure: who holds whom for what it is not.
  std::string Disagreements() const;

  Weather weather;
  // True: nothing gets from the first to the second.
  std::function<bool(NodeId, NodeId)> cut;
  // Sees every message that is sent.
  std::function<void(NodeId, const GossipCore::Outgoing&)> on_sent;
  std::function<void(NodeId, const Change&)> on_change;

  std::uint64_t now() const { return now_; }
  std::uint64_t sent() const { return sent_; }
  std::uint64_t sent_bytes() const { return sent_bytes_; }
  std::size_t largest_message() const { return largest_message_; }

 private:
  struct Packet {
    NodeId from;
    NodeId to;
    Message message;
    std::string bytes;
  };

  void Post(NodeId from, const GossipCore::Outgoing& outgoing);
  void Deliver(Packet packet);

  Random random_;
  const GossipCoreOptions options_;
  const bool through_codec_;
  std::map<NodeId, std::unique_ptr<GossipCore>> cores_;
  std::multimap<std::uint64_t, Packet> under_way_;
  std::uint64_t now_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t sent_bytes_ = 0;
  std::size_t largest_message_ = 0;
};

}  // namespace flotilla::gossip
