#include "tests/shard/gossip/measure.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "shard/gossip/codec.h"
#include "tests/shard/gossip/fleet.h"

namespace flotilla::gossip {
namespace {

constexpr std::uint64_t kPeriod = GossipCoreOptions{}.period_ticks;
constexpr std::uint64_t kRoundsMax = 400;
constexpr int kRumours = 20;
constexpr int kCrashes = 4;

double Rounds(std::uint64_t ticks) { return static_cast<double>(ticks) / kPeriod; }

class Experiment {
 public:
  Experiment(std::uint64_t nodes, std::uint64_t seed)
      : nodes_(nodes), fleet_(seed, {}, /*through_codec=*/false), random_(seed) {
    fleet_.weather = {.loss = 0, .repetition = 0, .delay_min = 1, .delay_max = 1};
    fleet_.StartAll(nodes);
    fleet_.on_change = [this](NodeId, const Change& change) {
      if (change.node == subject_) ++heard_[change.kind];
    };
    // The news of the start is told.
    fleet_.Run(40 * kPeriod);
  }

  void Spread(Measurement& result) {
    for (int i = 0; i < kRumours; ++i) {
      Watch(NodeId(random_.Between(1, nodes_)));
      fleet_.at(subject_.value()).SetProfile({.address = "n" + std::to_string(i) + ":7101"});
      const double rounds = RoundsUntil(ChangeKind::kProfile, nodes_);
      result.spread_mean += rounds / kRumours;
      result.spread_max = std::max(result.spread_max, rounds);
    }
  }

  void Cost(Measurement& result) {
    const std::uint64_t rounds = 20;
    const std::uint64_t sent_before = fleet_.sent();
    std::uint64_t bytes = 0;
    std::map<NodeId, std::uint64_t> sent_by;
    fleet_.on_sent = [&](NodeId from, const GossipCore::Outgoing& outgoing) {
      bytes += EncodeMessage(outgoing.message).size();
      ++sent_by[from];
    };
    for (std::uint64_t round = 0; round < rounds; ++round) {
      if (round % 4 == 0) {
        fleet_.at(random_.Between(1, nodes_)).SetProfile({.address = std::to_string(round)});
      }
      sent_by.clear();
      fleet_.Run(kPeriod);
      for (const auto& [node, sent] : sent_by) {
        result.messages_max = std::max(result.messages_max, sent);
      }
    }
    fleet_.on_sent = nullptr;
    const auto node_rounds = static_cast<double>(nodes_ * rounds);
    result.messages_mean = static_cast<double>(fleet_.sent() - sent_before) / node_rounds;
    result.bytes_mean = static_cast<double>(bytes) / node_rounds;
  }

  void Crash(Measurement& result) {
    for (int i = 0; i < kCrashes; ++i) {
      NodeId node;
      while (!fleet_.runs(node)) node = NodeId(random_.Between(1, nodes_));
      Watch(node);
      fleet_.Crash(node);
      const std::uint64_t others = fleet_.cores().size();
      double rounds = RoundsUntil(ChangeKind::kSuspect, 1);
      result.first_suspects += rounds / kCrashes;
      rounds += RoundsUntil(ChangeKind::kSuspect, others);
      result.all_suspect += rounds / kCrashes;
      rounds += RoundsUntil(ChangeKind::kDead, others);
      result.all_bury += rounds / kCrashes;
    }
  }

 private:
  void Watch(NodeId node) {
    subject_ = node;
    heard_.clear();
  }
  double RoundsUntil(ChangeKind kind, std::uint64_t count) {
    const std::uint64_t before = fleet_.now();
    CHECK(fleet_.RunUntil([&] { return heard_[kind] >= count; }, kRoundsMax * kPeriod))
        << heard_[kind] << " of " << count;
    return Rounds(fleet_.now() - before);
  }

  const std::uint64_t nodes_;
  Fleet fleet_;
  Random random_;
  NodeId subject_;
  std::map<ChangeKind, std::uint64_t> heard_;
};

}  // namespace

Measurement Measure(std::uint64_t nodes, std::uint64_t seed) {
  Measurement result;
  result.nodes = nodes;
  Experiment experiment(nodes, seed);
  experiment.Spread(result);
  experiment.Cost(result);
  experiment.Crash(result);
  return result;
}

std::vector<Measurement> MeasureAll() {
  std::vector<Measurement> all;
  for (std::uint64_t nodes = 16; nodes <= 1024; nodes *= 2) all.push_back(Measure(nodes, nodes));
  return all;
}

}  // namespace flotilla::gossip
