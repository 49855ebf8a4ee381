// Random: a seeded generator (xoshiro256**), the only source of chance in the deterministic parts.
#pragma once

#include <cstdint>

#include "base/check.h"

namespace flotilla {

// Not for secrets. One strand or thread per object. Standard library only.
class Random {
 public:
  explicit Random(std::uint64_t seed);

  std::uint64_t Next();
  // Uniform in [0, bound); bound > 0.
  std::uint64_t Below(std::uint64_t bound);
  // Uniform in [low, high], both included.
  std::uint64_t Between(std::uint64_t low, std::uint64_t high);
  // Uniform in [0, 1).
  double Unit();
  // True with this probability.
  bool Chance(double probability);
  // An independent generator, seeded from this one.
  Random Fork();

  // For std::shuffle and the standard distributions.
  using result_type = std::uint64_t;
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return UINT64_MAX; }
  result_type operator()() { return Next(); }

 private:
  std::uint64_t state_[4];
};

// A seed from the operating system, for production only; never repeatable.
std::uint64_t SeedFromSystem();

}  // namespace flotilla
