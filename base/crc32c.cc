#include "base/crc32c.h"

#include <isa-l/crc.h>

namespace flotilla {

std::uint32_t Crc32c(std::string_view data) { return ExtendCrc32c(0, data); }

std::uint32_t ExtendCrc32c(std::uint32_t crc, std::string_view data) {
  // The library computes the bare polynomial: the inversions before and after are ours. It reads
  // the buffer only, whatever its parameter's type says, and counts with an int.
  std::uint32_t state = ~crc;
  while (!data.empty()) {
    const std::size_t step = data.size() < (1u << 30) ? data.size() : (1u << 30);
    auto* const bytes = reinterpret_cast<unsigned char*>(const_cast<char*>(data.data()));
    state = crc32_iscsi(bytes, static_cast<int>(step), state);
    data.remove_prefix(step);
  }
  return ~state;
}

}  // namespace flotilla
