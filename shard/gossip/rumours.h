// Rumours: what is to be passed on, and how often it has been.
//
// At most one rumour per node and register: a newer one takes the place of an older one, so there
// are never more than three per member. Each goes out a bounded number of times (SWIM, 4.1: a
// multiple of log n suffices for all to hear it with high probability), those that went out least
// often first. Standings go before profiles, profiles before loads: however much load there is to
// tell, no news of a death waits for it.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "shard/gossip/message.h"

namespace flotilla::gossip {

class Rumours {
 public:
  // How often each may go out: of standings and profiles, and of loads, whose next one is never
  // far.
  struct Limits {
    std::uint32_t sends_max = 0;
    std::uint32_t load_sends_max = 0;
  };

  void Add(Rumour rumour);
  // Whatever is told about this node.
  void Remove(NodeId node);

  // Moves as much as fits into `bytes` to the end of `out`; counts it as sent. Returns the bytes
  // that it takes.
  std::size_t Take(std::size_t bytes, Limits limits, std::vector<Rumour>& out);

  std::size_t size() const { return waiting_.size(); }

 private:
  // The register is the rumour's place in the variant.
  struct Subject {
    std::size_t fact = 0;
    NodeId node;
    auto operator<=>(const Subject&) const = default;
  };
  struct Turn {
    std::size_t fact = 0;
    std::uint32_t sends = 0;
    std::uint64_t number = 0;
    auto operator<=>(const Turn&) const = default;
  };
  struct Entry {
    Rumour rumour;
    std::size_t bytes = 0;
  };

  std::size_t TakeOf(std::size_t fact, std::size_t bytes, std::uint32_t sends_max,
                     std::vector<Rumour>& out);

  std::map<Turn, Entry> waiting_;
  std::map<Subject, Turn> turns_;
  std::uint64_t next_number_ = 0;
};

}  // namespace flotilla::gossip
