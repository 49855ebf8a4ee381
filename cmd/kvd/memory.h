// How much memory there is for this process.
#pragma once

#include <cstdint>

namespace flotilla {

// The machine's memory, or the bound of the process's control group if that is lower.
std::uint64_t MemoryBytes();

}  // namespace flotilla
