// PageToken: where a listing goes on, opaque to clients; with a checksum, so that one that was cut,
// edited or taken from another listing is BAD_TOKEN.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace flotilla {

// `kind`: a number of the listing's own.
std::string EncodePageToken(std::uint8_t kind, std::string_view resume);
// Nothing for an empty token.
StatusOr<std::string> DecodePageToken(std::uint8_t kind, std::string_view token);

// 0: 1,000; at most 10,000.
std::size_t PageSize(std::uint32_t asked);

}  // namespace flotilla
