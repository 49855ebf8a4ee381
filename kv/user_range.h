// UserRange: where the keys of a range of user keys are.
//
// In a keyspace that is not hashed they lie together, in one run; in a hashed one each slot has a
// run of them. A walk over the rows from first() to past_last() meets keys that are inside, before
// the run of their slot, or after it, and seeks past those that are not inside.
#pragma once

#include <rocksdb/iterator.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "kv/request.h"

namespace flotilla::kv {

class UserRange {
 public:
  // User keys, the end exclusive; empty: none. The slots matter to hashed keyspaces alone.
  UserRange(KeyspaceId keyspace, std::string_view start, std::string_view end,
            std::uint32_t first_slot = 0, std::uint32_t past_last_slot = kSlots);

  // No key of the range lies before, or at or after.
  const std::string& first() const { return first_; }
  const std::string& past_last() const { return past_last_; }

  enum class Place : std::uint8_t { kBefore, kInside, kAfter };
  // Of an encoded key between first() and past_last(): against the run of its slot.
  Place PlaceOf(std::string_view encoded) const;
  // The part of an encoded key that the user's key decides; in its order.
  std::string_view UserPart(std::string_view encoded) const { return encoded.substr(prefix_); }
  // Before the run of the slot that an encoded key lies in, and after it.
  std::string RunStart(std::string_view encoded) const;
  std::string RunEnd(std::string_view encoded) const;
  // Before and after all keys of that slot; past_last() if it is the last.
  std::string SlotStart(std::string_view encoded) const;
  std::string SlotEnd(std::string_view encoded) const;

  // From rows->key(), which lies elsewhere, on to the first that may be inside.
  void SkipForward(rocksdb::Iterator& rows, std::string_view encoded, Place place) const;

 private:
  const std::size_t prefix_;
  std::string start_;  // escaped
  std::string end_;    // escaped; empty: none
  std::string first_;
  std::string past_last_;
};

// Moves on to the first row at or after `target`, or back to the last before it. Neighbours are
// stepped over, for a seek costs as much as several steps.
void StepTo(rocksdb::Iterator& rows, const std::string& target);
void StepBackBefore(rocksdb::Iterator& rows, const std::string& target);

}  // namespace flotilla::kv
