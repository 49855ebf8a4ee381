#include "shard/placement/slots.h"

#include <spdlog/fmt/fmt.h>

#include "kv/key_codec.h"

namespace flotilla {
namespace {

// Ranges between these boundaries, which lie within the keyspace.
std::vector<KeyRange> Between(kv::KeyspaceId keyspace, std::vector<std::string> boundaries) {
  std::vector<KeyRange> ranges;
  ranges.reserve(boundaries.size() + 1);
  std::string start = kv::KeyspaceStart(keyspace);
  for (std::string& boundary : boundaries) {
    ranges.push_back({std::move(start), boundary});
    start = std::move(boundary);
  }
  ranges.push_back({std::move(start), kv::KeyspaceEnd(keyspace)});
  return ranges;
}

}  // namespace

StatusOr<std::vector<KeyRange>> SplitIntoSlotRuns(kv::KeyspaceId keyspace, std::uint32_t shards) {
  if (shards == 0 || shards > kv::kSlots) {
    return Error(Reason::kBadRequest,
                 fmt::format("a hash keyspace has 1 to {} shards, not {}", kv::kSlots, shards));
  }
  std::vector<std::string> boundaries;
  for (std::uint64_t i = 1; i < shards; ++i) {
    boundaries.push_back(
        kv::SlotStart(keyspace, kv::Slot(static_cast<std::uint16_t>(i * kv::kSlots / shards))));
  }
  return Between(keyspace, std::move(boundaries));
}

StatusOr<std::vector<KeyRange>> SplitAtKeys(kv::KeyspaceId keyspace,
                                            const std::vector<std::string>& user_keys) {
  std::vector<std::string> boundaries;
  for (std::size_t i = 0; i < user_keys.size(); ++i) {
    if (user_keys[i].empty()) {
      return Error(Reason::kBadRequest, "a split point is a key, and no key is empty");
    }
    if (i > 0 && user_keys[i] <= user_keys[i - 1]) {
      return Error(
          Reason::kBadRequest,
          fmt::format("split points ascend; number {} does not come after the one before", i + 1));
    }
    boundaries.push_back(kv::EncodeKey(keyspace, user_keys[i]));
  }
  return Between(keyspace, std::move(boundaries));
}

std::optional<std::string> SlotBoundaryNear(std::string_view encoded_key, const KeyRange& range) {
  const std::optional<kv::Slot> slot = kv::SlotOfEncoded(encoded_key);
  if (!slot) return std::nullopt;
  const auto splits = [&](const std::string& key) { return key > range.start && key < range.end; };
  const std::string_view keyspace = encoded_key.substr(0, kv::kKeyspaceBytes);
  const auto boundary = [&](kv::Slot at) {
    std::string out(keyspace);
    out.push_back(static_cast<char>(at.value() >> 8));
    out.push_back(static_cast<char>(at.value()));
    return out;
  };
  std::string before = boundary(*slot);
  // Nothing comes before slot 0, though its first key is not the keyspace's.
  if (slot->value() != 0 && splits(before)) return before;
  if (slot->value() == kv::kSlots - 1) return std::nullopt;
  std::string after = boundary(slot->Next());
  if (splits(after)) return after;
  return std::nullopt;
}

}  // namespace flotilla
