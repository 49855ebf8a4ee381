#include "tests/bench/system.h"

#include <fmt/format.h>

#include <array>

#include "base/random.h"

namespace flotilla::bench {

std::string KeyOf(std::uint32_t number) { return fmt::format("bench/{:010}", number); }

const std::string& ValueOf(std::uint32_t number) {
  static const auto kValues = [] {
    std::array<std::string, 64> values;
    Random random(7);
    for (std::string& value : values) {
      for (int i = 0; i < 256; ++i) value.push_back(static_cast<char>(random.Below(256)));
    }
    return values;
  }();
  return kValues[number % kValues.size()];
}

}  // namespace flotilla::bench
