// Sizes and durations as people write them: 64MiB, 150ms.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace flotilla {

// "4096", "512B", "64KiB", "64MiB", "1GiB", "1TiB". BAD_REQUEST says what is accepted.
StatusOr<std::uint64_t> ParseSize(std::string_view text);

// "250us", "150ms", "10s", "5m", "1h", "500ns"; "0" needs no unit. BAD_REQUEST says what is
// accepted.
StatusOr<Duration> ParseDuration(std::string_view text);

}  // namespace flotilla
