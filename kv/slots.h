// Slots: the parts of a hash keyspace.
//
// A user's key belongs to a slot for ever; in its encoded key the slot stands before it
// (kv/key_codec.h), so that the keys of a slot lie together, in their order. Pure functions; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kv/request.h"

namespace flotilla::kv {

using Slot = Strong<struct SlotTag, std::uint16_t>;

// The upper 16 bits of StableHash.
Slot SlotOf(std::string_view user_key);

// The first key of a slot, encoded.
std::string SlotStart(KeyspaceId keyspace, Slot slot);
// Before the first key of a slot, given by its number; of kSlots: past the last key of all.
std::string SlotBound(KeyspaceId keyspace, std::uint32_t number);
// Of an encoded key of a hash keyspace; none when it is too short to have one.
std::optional<Slot> SlotOfEncoded(std::string_view encoded_key);

}  // namespace flotilla::kv
