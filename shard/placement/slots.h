// The ranges that a keyspace is created with, and where a range of slots can be split.
//
// A shard of a hash keyspace is a contiguous run of slots. Ranges here follow each other without a
// gap, from the keyspace's first key to its last. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kv/slots.h"

namespace flotilla {

// A range of encoded keys: [start, end).
struct KeyRange {
  std::string start;
  std::string end;

  bool operator==(const KeyRange&) const = default;
};

// A new hash keyspace: so many runs of slots, of equal length but for one slot.
// BAD_REQUEST unless 1 <= shards <= kv::kSlots.
StatusOr<std::vector<KeyRange>> SplitIntoSlotRuns(kv::KeyspaceId keyspace, std::uint32_t shards);

// A new range keyspace, split at these user keys; none: one range.
// BAD_REQUEST unless they are not empty and strictly ascending.
StatusOr<std::vector<KeyRange>> SplitAtKeys(kv::KeyspaceId keyspace,
                                            const std::vector<std::string>& user_keys);

// Where a range of a hash keyspace can be split near an encoded key in it: the start of the key's
// slot, else of the next one; none when neither lies inside the range.
std::optional<std::string> SlotBoundaryNear(std::string_view encoded_key, const KeyRange& range);

}  // namespace flotilla
