// Prints the picture of the ring: ring_picture > shard/placement/ring.svg

#include <iostream>

#include "tests/shard/placement/ring_study.h"

int main() {
  std::cout << flotilla::DrawRing();
  return 0;
}
