// The value of one version in the `versions` column family.
//
//   u8 kind: 1 put, 2 tombstone, | 0x10 when an expiry follows (of a tombstone: that the key had,
//   when its time has come), | 0x20 when a transaction id
//   follows [expiry: fixed64, milliseconds of replicated time] [transaction id: fixed64] value
//   (puts): the rest
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "base/timestamp.h"
#include "base/types.h"

namespace flotilla::kv {

struct VersionView {
  bool tombstone = false;
  std::uint64_t expires_at_ms = 0;  // 0: never
  std::uint64_t transaction = 0;    // 0: none
  std::string_view value;

  // Visible at this replicated time.
  bool Exists(std::uint64_t now_ms) const {
    return !tombstone && (expires_at_ms == 0 || expires_at_ms > now_ms);
  }
};

inline constexpr std::uint8_t kPutVersion = 1;
inline constexpr std::uint8_t kTombstoneVersion = 2;
inline constexpr std::uint8_t kVersionHasExpiry = 0x10;
inline constexpr std::uint8_t kVersionHasTransaction = 0x20;

// The bytes before a version's value, so that the value itself need not be copied. `transaction`:
// that wrote it; 0: none did.
inline std::string VersionHeader(std::uint8_t kind, std::uint64_t expires_at_ms,
                                 std::uint64_t transaction) {
  std::string out;
  out.push_back(static_cast<char>(kind | (expires_at_ms != 0 ? kVersionHasExpiry : 0) |
                                  (transaction != 0 ? kVersionHasTransaction : 0)));
  if (expires_at_ms != 0) AppendFixed64(out, expires_at_ms);
  if (transaction != 0) AppendFixed64(out, transaction);
  return out;
}
inline std::string PutHeader(std::uint64_t expires_at_ms) {
  return VersionHeader(kPutVersion, expires_at_ms, 0);
}

inline bool DecodeVersion(std::string_view bytes, VersionView& version) {
  Reader reader(bytes);
  std::uint8_t head = 0;
  if (!reader.Byte(head)) return false;
  const std::uint8_t kind = head & 0x0f;
  if (kind != kPutVersion && kind != kTombstoneVersion) return false;
  version.tombstone = kind == kTombstoneVersion;
  version.expires_at_ms = 0;
  if ((head & kVersionHasExpiry) != 0 && !reader.Fixed64(version.expires_at_ms)) return false;
  version.transaction = 0;
  if ((head & kVersionHasTransaction) != 0 && !reader.Fixed64(version.transaction)) return false;
  version.value = reader.rest();
  return true;
}

}  // namespace flotilla::kv
