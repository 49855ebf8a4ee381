#include "base/stable_hash.h"

// All of the library is in its header then, and no program needs it to run.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace flotilla {

std::uint64_t StableHash(std::string_view bytes, std::uint64_t seed) {
  return XXH64(bytes.data(), bytes.size(), seed);
}

}  // namespace flotilla
