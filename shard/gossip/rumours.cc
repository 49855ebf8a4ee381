#include "shard/gossip/rumours.h"

#include <utility>
#include <variant>

#include "shard/gossip/codec.h"

namespace flotilla::gossip {
namespace {

NodeId NodeOf(const Rumour& rumour) {
  return std::visit([](const auto& one) { return one.node; }, rumour);
}

constexpr std::size_t kFacts = std::variant_size_v<Rumour>;
constexpr std::size_t kLoadFact = kFacts - 1;

}  // namespace

void Rumours::Add(Rumour rumour) {
  const Subject subject{.fact = rumour.index(), .node = NodeOf(rumour)};
  const Turn turn{.fact = subject.fact, .sends = 0, .number = next_number_++};
  const auto [known, is_new] = turns_.try_emplace(subject, turn);
  if (!is_new) {
    waiting_.erase(known->second);
    known->second = turn;
  }
  const std::size_t bytes = EncodedBytes(rumour);
  waiting_.emplace(turn, Entry{.rumour = std::move(rumour), .bytes = bytes});
}

void Rumours::Remove(NodeId node) {
  for (std::size_t fact = 0; fact < kFacts; ++fact) {
    const auto found = turns_.find(Subject{.fact = fact, .node = node});
    if (found == turns_.end()) continue;
    waiting_.erase(found->second);
    turns_.erase(found);
  }
}

std::size_t Rumours::Take(std::size_t bytes, Limits limits, std::vector<Rumour>& out) {
  std::size_t taken = 0;
  for (std::size_t fact = 0; fact < kFacts; ++fact) {
    const std::uint32_t sends_max = fact == kLoadFact ? limits.load_sends_max : limits.sends_max;
    taken += TakeOf(fact, bytes - taken, sends_max, out);
  }
  return taken;
}

std::size_t Rumours::TakeOf(std::size_t fact, std::size_t bytes, std::uint32_t sends_max,
                            std::vector<Rumour>& out) {
  std::size_t taken = 0;
  std::vector<std::map<Turn, Entry>::node_type> sent;
  auto next = waiting_.lower_bound(Turn{.fact = fact, .sends = 0, .number = 0});
  while (next != waiting_.end() && next->first.fact == fact) {
    if (taken + next->second.bytes > bytes) break;
    taken += next->second.bytes;
    out.push_back(next->second.rumour);
    sent.push_back(waiting_.extract(next++));
  }
  for (auto& entry : sent) {
    const Subject subject{.fact = fact, .node = NodeOf(entry.mapped().rumour)};
    if (++entry.key().sends >= sends_max) {
      turns_.erase(subject);
      continue;
    }
    turns_[subject] = entry.key();
    waiting_.insert(std::move(entry));
  }
  return taken;
}

}  // namespace flotilla::gossip
