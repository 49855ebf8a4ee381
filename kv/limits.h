// What the store accepts. Published by Cluster.Status; above them INVALID_ARGUMENT.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flotilla::kv {

inline constexpr std::size_t kKeyBytesMax = 16 << 10;
inline constexpr std::size_t kValueBytesMax = 8 << 20;
// Keys, values and conditions of one atomic batch, or the keys of one batch get.
inline constexpr std::size_t kBatchBytesMax = 64 << 20;
inline constexpr std::size_t kBatchOpsMax = 100'000;
// One page of a scan: rows, and bytes of keys and values (a single larger row still fits).
inline constexpr std::uint32_t kScanRowsMax = 10'000;
inline constexpr std::uint32_t kScanRowsDefault = 1'000;
inline constexpr std::size_t kScanBytesMax = 3 << 20;

// One page of a key's history: versions; of bytes as of a scan.
inline constexpr std::uint32_t kHistoryVersionsMax = 1'000;
inline constexpr std::uint32_t kHistoryVersionsDefault = 100;

// One page of an aggregate: rows looked at, and bytes of their keys and values.
inline constexpr std::uint32_t kAggregateRowsMax = 20'000;
inline constexpr std::size_t kAggregateBytesMax = 16 << 20;

// Of a stored value in the caches of rows and ranges: larger ones are for the blocks.
inline constexpr std::size_t kCachedRowBytesMax = 16 << 10;

static_assert(kKeyBytesMax + kValueBytesMax < kBatchBytesMax);

}  // namespace flotilla::kv
