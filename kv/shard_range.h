// ShardRange: which keys a group holds.
//
// It is replicated state (meta row "range") and changes by control entries alone (kv/control.h);
// its epoch also when the group's members change.
// Commands are held against it where they take effect, reads where they are served: whatever
// somebody believed on the way, no group answers for a key that it has given away.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/types.h"

namespace flotilla::kv {

struct ShardRange {
  std::string start = {};  // encoded, inclusive
  std::string end = {};    // encoded, exclusive; empty: no end
  Epoch epoch{1};          // one more at each change of the range or the configuration
  bool frozen = false;     // it answers for no key: it is about to become part of another group

  bool unbounded() const { return start.empty() && end.empty(); }
  // Whether the keys are the group's; frozen or not.
  bool Contains(std::string_view encoded_key) const {
    return encoded_key >= start && (end.empty() || encoded_key < end);
  }
  bool ContainsAll(std::string_view first, std::string_view past_last) const {
    return first >= start && (end.empty() || past_last <= end);
  }
  bool Covers(const ShardRange& other) const {
    return other.start >= start && (end.empty() || (!other.end.empty() && other.end <= end));
  }
  bool operator==(const ShardRange&) const = default;
};

inline constexpr char kRangeKey[] = "range";
// The row in `meta`: u8 version=1 | u8 flags (1: frozen) | epoch | prefixed start | prefixed end
std::string EncodeShardRange(const ShardRange& range);
// False when the bytes are not a range.
bool DecodeShardRange(std::string_view bytes, ShardRange& range);

// WRONG_SHARD, of a group that does not answer for the keys of a request. The metadata has the
// group, its epoch and its bounds in hexadecimal digits; of long bounds only their beginning.
Status WrongShard(GroupId group, const ShardRange& range);

}  // namespace flotilla::kv
