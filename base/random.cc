#include "base/random.h"

#include <random>

namespace flotilla {
namespace {

__extension__ using Wide = unsigned __int128;

std::uint64_t RotateLeft(std::uint64_t value, int bits) {
  return value << bits | value >> (64 - bits);
}

// SplitMix64 spreads any seed, zero included, over the generator's state.
std::uint64_t SplitMix(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15ull;
  std::uint64_t z = state;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

}  // namespace

Random::Random(std::uint64_t seed) {
  for (std::uint64_t& word : state_) word = SplitMix(seed);
}

std::uint64_t Random::Next() {
  const std::uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = RotateLeft(state_[3], 45);
  return result;
}

std::uint64_t Random::Below(std::uint64_t bound) {
  CHECK_GT(bound, 0u);
  // The high half of the product. 2^64 is no multiple of most bounds, so some results would come
  // up more often: as many low halves as the remainder are drawn again.
  Wide product = static_cast<Wide>(Next()) * bound;
  if (static_cast<std::uint64_t>(product) < bound) {
    const std::uint64_t remainder = (0 - bound) % bound;
    while (static_cast<std::uint64_t>(product) < remainder) {
      product = static_cast<Wide>(Next()) * bound;
    }
  }
  return static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t Random::Between(std::uint64_t low, std::uint64_t high) {
  CHECK_LE(low, high);
  const std::uint64_t span = high - low;
  return span == UINT64_MAX ? Next() : low + Below(span + 1);
}

double Random::Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

bool Random::Chance(double probability) { return Unit() < probability; }

Random Random::Fork() { return Random(Next()); }

std::uint64_t SeedFromSystem() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

}  // namespace flotilla
