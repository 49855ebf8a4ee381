// Slots of hash keyspaces, and the ranges that a keyspace is created with.
//
//   encoded key of a hash keyspace = keyspace, 4 bytes ‖ slot, 2 bytes big-endian ‖ escaped user
//   key
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
#include "kv/request.h"

namespace flotilla {

using Slot = Strong<struct SlotTag, std::uint16_t>;
inline constexpr std::uint32_t kSlots = 65536;
inline constexpr std::size_t kSlotBytes = 2;

// The upper 16 bits of StableHash: what slot a user's key is in, for ever.
Slot SlotOf(std::string_view user_key);

// The first key of a slot, encoded.
std::string SlotStart(kv::KeyspaceId keyspace, Slot slot);
// Of an encoded key of a hash keyspace; none when it is too short to have one.
std::optional<Slot> SlotOfEncoded(std::string_view encoded_key);

// A range of encoded keys: [start, end).
struct KeyRange {
  std::string start;
  std::string end;

  bool operator==(const KeyRange&) const = default;
};

// A new hash keyspace: so many runs of slots, of equal length but for one slot.
// BAD_REQUEST unless 1 <= shards <= kSlots.
StatusOr<std::vector<KeyRange>> SplitIntoSlotRuns(kv::KeyspaceId keyspace, std::uint32_t shards);

// A new range keyspace, split at these user keys; none: one range.
// BAD_REQUEST unless they are not empty and strictly ascending.
StatusOr<std::vector<KeyRange>> SplitAtKeys(kv::KeyspaceId keyspace,
                                            const std::vector<std::string>& user_keys);

// Where a range of a hash keyspace can be split near an encoded key in it: the start of the key's
// slot, else of the next one; none when neither lies inside the range.
std::optional<std::string> SlotBoundaryNear(std::string_view encoded_key, const KeyRange& range);

}  // namespace flotilla
