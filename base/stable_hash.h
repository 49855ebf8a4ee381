// StableHash: the same number for the same bytes in every process, on every machine, in every
// version.
//
// XXH64, whose values its specification fixes, so that clients in any language can compute them:
// the slots of keys and the places of shards on the ring rest on it. Not for secrets, and no guard
// against keys chosen to collide. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace flotilla {

std::uint64_t StableHash(std::string_view bytes, std::uint64_t seed = 0);

}  // namespace flotilla
