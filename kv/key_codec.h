// Keys as RocksDB sees them.
//
//   encoded key = keyspace, 4 bytes big-endian ‖ [slot, 2 bytes big-endian, if the keyspace is
//                 hashed] ‖ escaped user key
//   version key = encoded key ‖ ~commit timestamp, 8 bytes big-endian: the newest version first
//
// The escape keeps the order of bytes and makes no encoded key a prefix of another: 0x00 becomes
// 0x00 0xFF, and the end is 0x00 0x01. Example: keyspace 1, key "a\0b":
//   00 00 00 01  61  00 FF  62  00 01
#pragma once

#include <string>
#include <string_view>

#include "base/types.h"
#include "kv/request.h"

namespace flotilla::kv {

inline constexpr std::size_t kTimestampBytes = 8;
inline constexpr std::size_t kKeyspaceBytes = 4;
inline constexpr std::size_t kSlotBytes = 2;
// What stands before the escaped user key.
constexpr std::size_t PrefixBytes(KeyspaceId keyspace) {
  return IsHashed(keyspace) ? kKeyspaceBytes + kSlotBytes : kKeyspaceBytes;
}

void AppendEncodedKey(std::string& out, KeyspaceId keyspace, std::string_view user_key);
std::string EncodeKey(KeyspaceId keyspace, std::string_view user_key);
// False when the bytes are not an encoded key.
bool DecodeKey(std::string_view encoded, KeyspaceId& keyspace, std::string& user_key);
// Of an encoded key, or a boundary.
KeyspaceId KeyspaceOf(std::string_view encoded);
// The end of an encoded key.
void AppendEscaped(std::string& out, std::string_view user_key);

// Before the first key of the keyspace, and after its last.
std::string KeyspaceStart(KeyspaceId keyspace);
std::string KeyspaceEnd(KeyspaceId keyspace);

// The bounds of a range of user keys; empty: those of the keyspace, which is not hashed.
std::string RangeStart(KeyspaceId keyspace, std::string_view user_key);
std::string RangeEnd(KeyspaceId keyspace, std::string_view user_key);
// Where a page of an aggregate begins: whoever holds this is to be asked.
std::string FirstKey(const AggregateRequest& request);
// The first user key at or after a boundary inside a keyspace that is not hashed.
std::string UserKeyAt(std::string_view boundary);

// After the keys of all keyspaces.
inline constexpr std::string_view kKeysEnd = "\xff\xff\xff\xff";

// Whether a range may begin or end here: no encoded key is a proper prefix of it, so that a key's
// versions lie on the same side of it as the key. Encoded keys are such, and their beginnings.
bool IsBoundary(std::string_view key);

void AppendVersionSuffix(std::string& encoded_key, Timestamp timestamp);
// False when it is too short to be a version key.
bool SplitVersionKey(std::string_view version_key, std::string_view& encoded_key,
                     Timestamp& timestamp);

}  // namespace flotilla::kv
