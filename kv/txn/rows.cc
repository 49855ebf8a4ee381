#include "kv/txn/rows.h"

#include "base/coding.h"
#include "kv/txn/parts.h"

namespace flotilla::kv {
namespace {

constexpr std::size_t kTxnBytes = 8;
constexpr std::uint64_t kPartsMax = 4'096;

void AppendHolder(std::string& out, const LockHolder& holder) {
  AppendFixed64(out, holder.prepared.value());
  AppendVarint(out, holder.valid_until_ms);
  AppendVarint(out, holder.part);
  AppendVarint(out, holder.coordinator.value());
  AppendPrefixed(out, holder.anchor);
}

bool ReadHolder(Reader& reader, LockHolder& holder) {
  std::uint64_t prepared = 0;
  std::uint64_t part = 0;
  std::uint64_t coordinator = 0;
  std::string_view anchor;
  if (!reader.Fixed64(prepared) || !reader.Varint(holder.valid_until_ms) || !reader.Varint(part) ||
      part >= kPartsMax || !reader.Varint(coordinator) || !reader.Prefixed(anchor)) {
    return false;
  }
  holder.prepared = Timestamp(prepared);
  holder.part = static_cast<std::uint32_t>(part);
  holder.coordinator = NodeId(coordinator);
  holder.anchor = anchor;
  return true;
}

}  // namespace

void AppendTxnParts(std::string& out, const std::vector<TxnPart>& parts) {
  AppendVarint(out, parts.size());
  for (const TxnPart& part : parts) {
    AppendPrefixed(out, part.first);
    AppendPrefixed(out, part.last);
  }
}

bool ReadTxnParts(Reader& reader, std::vector<TxnPart>& parts) {
  std::uint64_t count = 0;
  if (!reader.Varint(count) || count > kPartsMax) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string_view first;
    std::string_view last;
    if (!reader.Prefixed(first) || !reader.Prefixed(last)) return false;
    parts.push_back({.first = std::string(first), .last = std::string(last)});
  }
  return true;
}

void AppendSession(std::string& out, const Session& session) {
  AppendFixed64(out, session.client.value());
  AppendVarint(out, session.sequence);
  AppendVarint(out, session.acknowledged_below);
  AppendFixed64(out, session.since.value());
}

bool ReadSession(Reader& reader, Session& session) {
  std::uint64_t client = 0;
  std::uint64_t since = 0;
  if (!reader.Fixed64(client) || !reader.Varint(session.sequence) ||
      !reader.Varint(session.acknowledged_below) || !reader.Fixed64(since)) {
    return false;
  }
  session.client = ClientId(client);
  session.since = Timestamp(since);
  return client != 0;
}

void AppendTxnSession(std::string& out, const TxnSession& session) {
  AppendSession(out, session.session);
  AppendVarint(out, session.affected);
}

bool ReadTxnSession(Reader& reader, TxnSession& session) {
  return ReadSession(reader, session.session) && reader.Varint(session.affected);
}

std::string LockRowKey(LockTag tag, std::string_view key, TxnId txn) {
  std::string out(1, static_cast<char>(tag));
  out.append(key);
  AppendOrdered64(out, txn.value());
  return out;
}

bool SplitLockRowKey(std::string_view row_key, LockTag& tag, std::string_view& key, TxnId& txn) {
  if (row_key.size() < 1 + kTxnBytes) return false;
  tag = static_cast<LockTag>(row_key.front());
  key = row_key.substr(1, row_key.size() - 1 - kTxnBytes);
  txn = TxnId(LoadOrdered64(row_key.data() + row_key.size() - kTxnBytes));
  return true;
}

std::string EncodeLock(const LockValue& lock) {
  std::string out(1, static_cast<char>(lock.kind));
  AppendHolder(out, lock.holder);
  if (lock.kind == LockKind::kPut) {
    AppendVarint(out, lock.ttl_ms);
    out.append(lock.value);
  }
  return out;
}

bool DecodeLock(std::string_view bytes, LockValue& lock) {
  Reader reader(bytes);
  std::uint8_t kind = 0;
  if (!reader.Byte(kind) || kind < 1 || kind > static_cast<std::uint8_t>(LockKind::kShared) ||
      !ReadHolder(reader, lock.holder)) {
    return false;
  }
  lock.kind = static_cast<LockKind>(kind);
  lock.ttl_ms = 0;
  if (lock.kind == LockKind::kPut && !reader.Varint(lock.ttl_ms)) return false;
  lock.value = reader.rest();
  return lock.kind == LockKind::kPut || reader.empty();
}

std::string EncodeRangeLock(const LockHolder& holder, std::string_view end) {
  std::string out;
  AppendHolder(out, holder);
  AppendPrefixed(out, end);
  return out;
}

bool DecodeRangeLock(std::string_view bytes, LockHolder& holder, std::string_view& end) {
  Reader reader(bytes);
  return ReadHolder(reader, holder) && reader.Prefixed(end) && reader.empty();
}

std::string EncodeTxnRecord(const TxnRecord& record) {
  std::string out(1, static_cast<char>(record.state));
  out.push_back(record.resolved ? 1 : 0);
  AppendFixed64(out, record.timestamp.value());
  AppendVarint(out, record.valid_until_ms);
  AppendTxnParts(out, record.parts);
  if (record.session) AppendTxnSession(out, record.session);
  return out;
}

bool DecodeTxnRecord(std::string_view bytes, TxnRecord& record) {
  Reader reader(bytes);
  std::uint8_t state = 0;
  std::uint8_t resolved = 0;
  std::uint64_t timestamp = 0;
  if (!reader.Byte(state) || state < 1 || state > static_cast<std::uint8_t>(TxnState::kAborted) ||
      !reader.Byte(resolved) || resolved > 1 || !reader.Fixed64(timestamp) ||
      !reader.Varint(record.valid_until_ms)) {
    return false;
  }
  record.state = static_cast<TxnState>(state);
  record.resolved = resolved != 0;
  record.timestamp = Timestamp(timestamp);
  record.parts.clear();
  record.session = {};
  return ReadTxnParts(reader, record.parts) &&
         (reader.empty() || (ReadTxnSession(reader, record.session) && reader.empty()));
}

std::string EncodeCommits(const TxnCommits& commits) {
  std::string out;
  out.reserve(16 + 16 * commits.commits.size());
  AppendVarint(out, commits.valid_until_ms);
  AppendVarint(out, commits.commits.size());
  for (const auto& [txn, at] : commits.commits) {
    AppendFixed64(out, txn.value());
    AppendFixed64(out, at.value());
  }
  return out;
}

bool DecodeCommits(std::string_view bytes, TxnCommits& commits) {
  Reader reader(bytes);
  std::uint64_t count = 0;
  commits.commits.clear();
  if (!reader.Varint(commits.valid_until_ms) || !reader.Varint(count)) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t txn = 0;
    std::uint64_t at = 0;
    if (!reader.Fixed64(txn) || !reader.Fixed64(at)) return false;
    commits.commits.emplace_back(TxnId(txn), Timestamp(at));
  }
  return reader.empty();
}

std::string EncodeFence(std::uint64_t valid_until_ms) {
  std::string out;
  AppendVarint(out, valid_until_ms);
  return out;
}

bool DecodeFence(std::string_view bytes, std::uint64_t& valid_until_ms) {
  Reader reader(bytes);
  return reader.Varint(valid_until_ms) && reader.empty();
}

}  // namespace flotilla::kv
