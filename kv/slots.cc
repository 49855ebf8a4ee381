#include "kv/slots.h"

#include "base/check.h"
#include "base/stable_hash.h"
#include "kv/key_codec.h"

namespace flotilla::kv {
namespace {

constexpr int kSlotBits = 16;
static_assert(kSlots == 1u << kSlotBits);

}  // namespace

Slot SlotOf(std::string_view user_key) {
  return Slot(static_cast<std::uint16_t>(StableHash(user_key) >> (64 - kSlotBits)));
}

std::string SlotStart(KeyspaceId keyspace, Slot slot) {
  std::string out = KeyspaceStart(keyspace);
  out.push_back(static_cast<char>(slot.value() >> 8));
  out.push_back(static_cast<char>(slot.value()));
  return out;
}

std::string SlotBound(KeyspaceId keyspace, std::uint32_t number) {
  CHECK(number <= kSlots);
  return number == kSlots ? KeyspaceEnd(keyspace)
                          : SlotStart(keyspace, Slot(static_cast<std::uint16_t>(number)));
}

std::optional<Slot> SlotOfEncoded(std::string_view encoded_key) {
  if (encoded_key.size() < kKeyspaceBytes + kSlotBytes) return std::nullopt;
  const auto high = static_cast<unsigned char>(encoded_key[kKeyspaceBytes]);
  const auto low = static_cast<unsigned char>(encoded_key[kKeyspaceBytes + 1]);
  return Slot(static_cast<std::uint16_t>(high << 8 | low));
}

}  // namespace flotilla::kv
