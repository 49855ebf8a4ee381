#include "shard/placement/slots.h"

#include <spdlog/fmt/fmt.h>

#include "base/stable_hash.h"
#include "kv/key_codec.h"

namespace flotilla {
namespace {

constexpr std::uint32_t kSlotBits = 16;

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

Slot SlotOf(std::string_view user_key) {
  return Slot(static_cast<std::uint16_t>(StableHash(user_key) >> (64 - kSlotBits)));
}

std::string SlotStart(kv::KeyspaceId keyspace, Slot slot) {
  std::string out = kv::KeyspaceStart(keyspace);
  out.push_back(static_cast<char>(slot.value() >> 8));
  out.push_back(static_cast<char>(slot.value()));
  return out;
}

std::optional<Slot> SlotOfEncoded(std::string_view encoded_key) {
  if (encoded_key.size() < kv::kKeyspaceBytes + kSlotBytes) return std::nullopt;
  const auto high = static_cast<unsigned char>(encoded_key[kv::kKeyspaceBytes]);
  const auto low = static_cast<unsigned char>(encoded_key[kv::kKeyspaceBytes + 1]);
  return Slot(static_cast<std::uint16_t>(high << 8 | low));
}

StatusOr<std::vector<KeyRange>> SplitIntoSlotRuns(kv::KeyspaceId keyspace, std::uint32_t shards) {
  if (shards == 0 || shards > kSlots) {
    return Error(Reason::kBadRequest,
                 fmt::format("a hash keyspace has 1 to {} shards, not {}", kSlots, shards));
  }
  std::vector<std::string> boundaries;
  for (std::uint64_t i = 1; i < shards; ++i) {
    boundaries.push_back(
        SlotStart(keyspace, Slot(static_cast<std::uint16_t>(i * kSlots / shards))));
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
  const std::optional<Slot> slot = SlotOfEncoded(encoded_key);
  if (!slot) return std::nullopt;
  const auto splits = [&](const std::string& key) { return key > range.start && key < range.end; };
  const std::string_view keyspace = encoded_key.substr(0, kv::kKeyspaceBytes);
  const auto boundary = [&](Slot at) {
    std::string out(keyspace);
    out.push_back(static_cast<char>(at.value() >> 8));
    out.push_back(static_cast<char>(at.value()));
    return out;
  };
  std::string before = boundary(*slot);
  // Nothing comes before slot 0, though its first key is not the keyspace's.
  if (slot->value() != 0 && splits(before)) return before;
  if (slot->value() == kSlots - 1) return std::nullopt;
  std::string after = boundary(slot->Next());
  if (splits(after)) return after;
  return std::nullopt;
}

}  // namespace flotilla
