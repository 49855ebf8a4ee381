// How fast rumours and deaths spread, and what that costs: in a calm fleet of n nodes, on seeds.
//
// A round is a period: the time in which each node probes one other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace flotilla::gossip {

struct Measurement {
  std::uint64_t nodes = 0;
  // From the moment that a node says something new until all others have heard it, in rounds.
  double spread_mean = 0;
  double spread_max = 0;
  // From a crash on: until the first, until all suspect it, until all hold it dead. Means.
  double first_suspects = 0;
  double all_suspect = 0;
  double all_bury = 0;
  // Sent by a node in a round, meanwhile.
  double messages_mean = 0;
  std::uint64_t messages_max = 0;
  double bytes_mean = 0;
};

Measurement Measure(std::uint64_t nodes, std::uint64_t seed);

// For 16, 32, ... 1024 nodes, always the same.
std::vector<Measurement> MeasureAll();

// A picture of that, as an SVG, with the numbers in it.
std::string ToSvg(const std::vector<Measurement>& measurements);

}  // namespace flotilla::gossip
