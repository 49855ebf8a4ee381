// CRC32C (Castagnoli), as in iSCSI, RocksDB and the log's records.
#pragma once

#include <cstdint>
#include <string_view>

namespace flotilla {

// The checksum of `data`.
std::uint32_t Crc32c(std::string_view data);
// The checksum of what `crc` covers followed by `data`.
std::uint32_t ExtendCrc32c(std::uint32_t crc, std::string_view data);

}  // namespace flotilla
