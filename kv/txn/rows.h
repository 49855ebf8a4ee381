// Rows of the `locks` column family:
//
//   u8 tag ‖ encoded key ‖ transaction, 8 bytes big-endian → by tag
//   'l' lock:   u8 kind | holder | puts: ttl in milliseconds varint, value
//   'r' range:  holder | prefixed end of the range, whose start the row's key has
//   't' record, at the anchor: u8 state | u8 1 when resolved | timestamp fixed64 | valid until
//   varint
//       | parts [| session, see parts.h]
//   'f' fence, at a part's first key: valid until varint
//   'c' commits of one phase, those of one log entry, at no key; the entry's first timestamp in the
//   place of the transaction: valid until varint | count | of each: transaction, timestamp (fixed64
//   each)
//   holder: prepared fixed64 | valid until varint | part varint | coordinator varint | prefixed
//   anchor
//
// Each lies at a key, so that splits and merges take it along; commits go with both halves.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kv/txn/types.h"

namespace flotilla::kv {

enum class LockTag : char {
  kCommits = 'c',
  kFence = 'f',
  kLock = 'l',
  kRange = 'r',
  kRecord = 't'
};

std::string LockRowKey(LockTag tag, std::string_view key, TxnId txn);
// False when it is none. A view into the row's key.
bool SplitLockRowKey(std::string_view row_key, LockTag& tag, std::string_view& key, TxnId& txn);

struct LockValue {
  LockKind kind = LockKind::kShared;
  LockHolder holder = {};  // without the transaction, which the row's key has
  std::uint64_t ttl_ms = 0;
  std::string_view value = {};
};

std::string EncodeLock(const LockValue& lock);
bool DecodeLock(std::string_view bytes, LockValue& lock);
std::string EncodeRangeLock(const LockHolder& holder, std::string_view end);
bool DecodeRangeLock(std::string_view bytes, LockHolder& holder, std::string_view& end);
std::string EncodeTxnRecord(const TxnRecord& record);
bool DecodeTxnRecord(std::string_view bytes, TxnRecord& record);
std::string EncodeCommits(const TxnCommits& commits);
bool DecodeCommits(std::string_view bytes, TxnCommits& commits);
std::string EncodeFence(std::uint64_t valid_until_ms);
bool DecodeFence(std::string_view bytes, std::uint64_t& valid_until_ms);

}  // namespace flotilla::kv
