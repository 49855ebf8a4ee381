#include "kv/key_codec.h"

#include <algorithm>

#include "base/check.h"
#include "base/coding.h"
#include "kv/slots.h"

namespace flotilla::kv {
namespace {

constexpr char kEscape = '\x00';
constexpr char kEscapedZero = '\xff';
constexpr char kTerminator = '\x01';

void AppendKeyspace(std::string& out, std::uint32_t keyspace) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(keyspace >> shift));
}

// Whether an escaped user key ends before the text does.
bool EndsEarly(std::string_view text) {
  for (std::size_t i = 0; i + 2 < text.size(); ++i) {
    if (text[i] != kEscape) continue;
    if (text[i + 1] == kTerminator) return true;
    if (text[i + 1] == kEscapedZero) ++i;
  }
  return false;
}

}  // namespace

KeyspaceId KeyspaceOf(std::string_view encoded) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < kKeyspaceBytes; ++i) {
    number = number << 8 | (i < encoded.size() ? static_cast<unsigned char>(encoded[i]) : 0);
  }
  return KeyspaceId(number);
}

void AppendEscaped(std::string& out, std::string_view user_key) {
  while (true) {
    const std::size_t zero = user_key.find(kEscape);
    out.append(user_key.substr(0, zero));
    if (zero == std::string_view::npos) break;
    out.push_back(kEscape);
    out.push_back(kEscapedZero);
    user_key.remove_prefix(zero + 1);
  }
  out.push_back(kEscape);
  out.push_back(kTerminator);
}

void AppendEncodedKey(std::string& out, KeyspaceId keyspace, std::string_view user_key) {
  AppendKeyspace(out, keyspace.value());
  if (IsHashed(keyspace)) {
    const std::uint16_t slot = SlotOf(user_key).value();
    out.push_back(static_cast<char>(slot >> 8));
    out.push_back(static_cast<char>(slot));
  }
  AppendEscaped(out, user_key);
}

std::string EncodeKey(KeyspaceId keyspace, std::string_view user_key) {
  std::string out;
  out.reserve(PrefixBytes(keyspace) + user_key.size() + 2 + kTimestampBytes);
  AppendEncodedKey(out, keyspace, user_key);
  return out;
}

bool DecodeKey(std::string_view encoded, KeyspaceId& keyspace, std::string& user_key) {
  if (encoded.size() < kKeyspaceBytes) return false;
  keyspace = KeyspaceOf(encoded);
  const std::optional<Slot> slot = IsHashed(keyspace) ? SlotOfEncoded(encoded) : std::nullopt;
  if (IsHashed(keyspace) && !slot) return false;
  user_key.clear();
  user_key.reserve(encoded.size());
  encoded.remove_prefix(PrefixBytes(keyspace));
  while (true) {
    const std::size_t zero = encoded.find(kEscape);
    if (zero == std::string_view::npos || zero + 1 >= encoded.size()) return false;
    user_key.append(encoded.substr(0, zero));
    const char mark = encoded[zero + 1];
    encoded.remove_prefix(zero + 2);
    if (mark == kTerminator) return encoded.empty() && (!slot || *slot == SlotOf(user_key));
    if (mark != kEscapedZero) return false;
    user_key.push_back(kEscape);
  }
}

std::string KeyspaceStart(KeyspaceId keyspace) {
  std::string out;
  AppendKeyspace(out, keyspace.value());
  return out;
}

std::string KeyspaceEnd(KeyspaceId keyspace) {
  std::string out;
  AppendKeyspace(out, keyspace.value() + 1);
  return out;
}

std::string RangeStart(KeyspaceId keyspace, std::string_view user_key) {
  CHECK(!IsHashed(keyspace));
  return user_key.empty() ? KeyspaceStart(keyspace) : EncodeKey(keyspace, user_key);
}

std::string RangeEnd(KeyspaceId keyspace, std::string_view user_key) {
  CHECK(!IsHashed(keyspace));
  return user_key.empty() ? KeyspaceEnd(keyspace) : EncodeKey(keyspace, user_key);
}

std::string FirstKey(const AggregateRequest& request) {
  const std::string first = IsHashed(request.keyspace)
                                ? SlotBound(request.keyspace, request.first_slot)
                                : RangeStart(request.keyspace, request.start);
  return std::max(first, request.resume);
}

std::string UserKeyAt(std::string_view boundary) {
  std::string user_key;
  for (std::size_t i = kKeyspaceBytes; i < boundary.size(); ++i) {
    const bool escape = boundary[i] == kEscape;
    // The end of a key, or, half of it, something before the end of this one.
    if (escape && (i + 1 == boundary.size() || boundary[i + 1] != kEscapedZero)) break;
    user_key.push_back(boundary[i]);
    if (escape) ++i;
  }
  return user_key;
}

bool IsBoundary(std::string_view key) {
  if (key.size() <= kKeyspaceBytes) return true;
  const std::size_t prefix = PrefixBytes(KeyspaceOf(key));
  return key.size() <= prefix || !EndsEarly(key.substr(prefix));
}

void AppendVersionSuffix(std::string& encoded_key, Timestamp timestamp) {
  AppendOrdered64(encoded_key, ~timestamp.value());
}

bool SplitVersionKey(std::string_view version_key, std::string_view& encoded_key,
                     Timestamp& timestamp) {
  if (version_key.size() < kTimestampBytes) return false;
  encoded_key = version_key.substr(0, version_key.size() - kTimestampBytes);
  timestamp = Timestamp(~LoadOrdered64(version_key.data() + encoded_key.size()));
  return true;
}

}  // namespace flotilla::kv
