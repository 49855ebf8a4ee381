// gossip_picture FILE: measures, and draws what shard/gossip/README.md shows.

#include <fstream>
#include <iostream>

#include "tests/shard/gossip/measure.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: gossip_picture FILE\n";
    return 2;
  }
  using namespace flotilla::gossip;
  const std::vector<Measurement> measurements = MeasureAll();
  for (const Measurement& one : measurements) {
    std::cout << one.nodes << " nodes: spread " << one.spread_mean << " (" << one.spread_max
              << "), suspected " << one.first_suspects << ", by all " << one.all_suspect
              << ", buried " << one.all_bury << ", messages " << one.messages_mean << " ("
              << one.messages_max << "), bytes " << one.bytes_mean << "\n";
  }
  std::ofstream file(argv[1]);
  file << ToSvg(measurements);
  file.close();
  if (!file) {
    std::cerr << argv[1] << " cannot be written\n";
    return 1;
  }
}
