#include "shard/forward_codec.h"

#include <algorithm>
#include <utility>

#include "base/coding.h"
#include "kv/limits.h"
#include "kv/txn/locks.h"
#include "kv/txn/rows.h"
#include "shard/codec_parts.h"
#include "shard/locking/wait_report.h"

namespace flotilla {
namespace {

constexpr std::uint64_t kLockMsMax = 24ull * 3600 * 1000;

enum class RequestKind : std::uint8_t {
  kWrite = 1,
  kGet = 2,
  kBatchGet = 3,
  kScan = 4,
  kAggregate = 5,
  kTxnRecord = 6,
  kUnlock = 7,
  kHistory = 8,
};

struct RequestEncoder {
  std::string& out;

  void operator()(const WriteCall& call) const {
    AppendByte(out, static_cast<std::uint8_t>(RequestKind::kWrite));
    AppendPrefixed(out, call.command.view());
  }
  void operator()(const GetCall& call) const {
    Head(RequestKind::kGet, call.keyspace, call.consistency, call.as_of);
    AppendPrefixed(out, call.key);
    ReadBy(call.reader);
  }
  void operator()(const BatchGetCall& call) const {
    Head(RequestKind::kBatchGet, call.keyspace, call.consistency, call.as_of);
    AppendVarint(out, call.keys.size());
    for (const std::string& key : call.keys) AppendPrefixed(out, key);
    Lock(call.lock);
    ReadBy(call.reader);
  }
  void operator()(const ScanCall& call) const {
    Head(RequestKind::kScan, call.request.keyspace, call.consistency, call.request.as_of);
    AppendPrefixed(out, call.request.start);
    AppendPrefixed(out, call.request.end);
    AppendVarint(out, call.request.limit);
    AppendByte(out, static_cast<std::uint8_t>((call.request.reverse ? 1 : 0) |
                                              (call.request.keys_only ? 2 : 0)));
    AppendVarint(out, call.request.first_slot);
    AppendVarint(out, call.request.past_last_slot);
    Lock(call.lock);
    ReadBy(call.reader);
  }
  void operator()(const AggregateCall& call) const {
    const kv::AggregateRequest& request = call.request;
    Head(RequestKind::kAggregate, request.keyspace, call.consistency, request.as_of);
    AppendPrefixed(out, request.start);
    AppendPrefixed(out, request.end);
    AppendVarint(out, request.first_slot);
    AppendVarint(out, request.past_last_slot);
    AppendByte(out, static_cast<std::uint8_t>(request.filter));
    AppendPrefixed(out, request.filter_value);
    AppendByte(out, request.sum ? 1 : 0);
    AppendPrefixed(out, request.resume);
  }
  void operator()(const TxnRecordCall& call) const {
    AppendByte(out, static_cast<std::uint8_t>(RequestKind::kTxnRecord));
    AppendPrefixed(out, call.anchor);
    AppendFixed64(out, call.txn.value());
  }
  void operator()(const UnlockCall& call) const {
    AppendByte(out, static_cast<std::uint8_t>(RequestKind::kUnlock));
    AppendPrefixed(out, call.key);
    AppendFixed64(out, call.txn.value());
  }
  void operator()(const HistoryCall& call) const {
    const kv::HistoryRequest& request = call.request;
    Head(RequestKind::kHistory, request.keyspace, call.consistency, request.before);
    AppendPrefixed(out, request.key);
    AppendVarint(out, request.limit);
  }

 private:
  void ReadBy(const LockOwner& reader) const {
    AppendByte(out, reader.txn ? 1 : 0);
    if (reader.txn) AppendLockOwner(out, reader);
  }
  void Lock(const std::optional<LockRequest>& lock) const {
    AppendByte(out, lock ? static_cast<std::uint8_t>(lock->strength) : 0);
    if (!lock) return;
    AppendByte(out, static_cast<std::uint8_t>(lock->patience));
    AppendByte(out, lock->keys_only ? 1 : 0);
    AppendLockOwner(out, lock->owner);
    AppendVarint(out, static_cast<std::uint64_t>(
                          std::chrono::ceil<std::chrono::milliseconds>(lock->within).count()));
  }
  void Head(RequestKind kind, kv::KeyspaceId keyspace, kv::Consistency consistency,
            Timestamp as_of) const {
    AppendByte(out, static_cast<std::uint8_t>(kind));
    AppendVarint(out, keyspace.value());
    AppendByte(out, static_cast<std::uint8_t>(consistency));
    AppendVarint(out, as_of.value());
  }
};

bool ReadHead(Reader& reader, kv::KeyspaceId& keyspace, kv::Consistency& consistency,
              Timestamp& as_of) {
  std::uint64_t id = 0;
  std::uint8_t byte = 0;
  if (!reader.Varint(id) || id > UINT32_MAX || !reader.Byte(byte) || !reader.Varint(as_of)) {
    return false;
  }
  keyspace = kv::KeyspaceId(static_cast<std::uint32_t>(id));
  consistency = static_cast<kv::Consistency>(byte);
  return byte >= static_cast<std::uint8_t>(kv::Consistency::kLinearizable) &&
         byte <= static_cast<std::uint8_t>(kv::Consistency::kProvisional);
}

bool ReadLock(Reader& reader, std::optional<LockRequest>& lock) {
  std::uint8_t strength = 0;
  if (!reader.Byte(strength)) return false;
  if (strength == 0) return true;
  std::uint8_t patience = 0;
  std::uint8_t keys_only = 0;
  std::uint64_t within_ms = 0;
  LockRequest& read = lock.emplace();
  if (strength > static_cast<std::uint8_t>(LockStrength::kUpdate) || !reader.Byte(patience) ||
      patience < static_cast<std::uint8_t>(LockPatience::kWait) ||
      patience > static_cast<std::uint8_t>(LockPatience::kSkipLocked) || !reader.Byte(keys_only) ||
      !ReadLockOwner(reader, read.owner) || !reader.Varint(within_ms) || within_ms > kLockMsMax) {
    return false;
  }
  read.strength = static_cast<LockStrength>(strength);
  read.patience = static_cast<LockPatience>(patience);
  read.keys_only = keys_only != 0;
  read.within = std::chrono::milliseconds(within_ms);
  return true;
}

bool ReadReader(Reader& reader, LockOwner& owner) {
  std::uint8_t there = 0;
  if (!reader.Byte(there) || there > 1) return false;
  return there == 0 || ReadLockOwner(reader, owner);
}

bool ReadSlots(Reader& reader, std::uint32_t& first, std::uint32_t& past_last) {
  std::uint64_t numbers[2] = {};
  for (std::uint64_t& number : numbers) {
    if (!reader.Varint(number) || number > kv::kSlots) return false;
  }
  first = static_cast<std::uint32_t>(numbers[0]);
  past_last = static_cast<std::uint32_t>(numbers[1]);
  return true;
}

bool ReadAggregate(Reader& reader, AggregateCall& call) {
  kv::AggregateRequest& request = call.request;
  std::uint8_t filter = 0;
  std::uint8_t sum = 0;
  if (!ReadHead(reader, request.keyspace, call.consistency, request.as_of) ||
      !ReadText(reader, request.start) || !ReadText(reader, request.end) ||
      !ReadSlots(reader, request.first_slot, request.past_last_slot) || !reader.Byte(filter) ||
      filter > static_cast<std::uint8_t>(kv::ValueFilter::kBeginsWith) ||
      !ReadText(reader, request.filter_value) || !reader.Byte(sum) ||
      !ReadText(reader, request.resume)) {
    return false;
  }
  request.filter = static_cast<kv::ValueFilter>(filter);
  request.sum = sum != 0;
  return true;
}

bool ReadRequest(Reader& reader, const Bytes& body, GatewayRequest& request) {
  std::uint8_t kind = 0;
  if (!reader.Byte(kind)) return false;
  switch (static_cast<RequestKind>(kind)) {
    case RequestKind::kWrite: {
      std::string_view command;
      if (!reader.Prefixed(command)) return false;
      request.call = WriteCall{.command = Bytes(body.owner(), command)};
      return true;
    }
    case RequestKind::kGet: {
      GetCall call;
      if (!ReadHead(reader, call.keyspace, call.consistency, call.as_of) ||
          !ReadText(reader, call.key) || !ReadReader(reader, call.reader)) {
        return false;
      }
      request.call = std::move(call);
      return true;
    }
    case RequestKind::kBatchGet: {
      BatchGetCall call;
      std::uint64_t count = 0;
      if (!ReadHead(reader, call.keyspace, call.consistency, call.as_of) || !reader.Varint(count) ||
          count > kv::kBatchOpsMax) {
        return false;
      }
      call.keys.resize(count);
      for (std::string& key : call.keys) {
        if (!ReadText(reader, key)) return false;
      }
      if (!ReadLock(reader, call.lock) || !ReadReader(reader, call.reader)) return false;
      request.call = std::move(call);
      return true;
    }
    case RequestKind::kScan: {
      ScanCall call;
      std::uint64_t limit = 0;
      std::uint8_t flags = 0;
      if (!ReadHead(reader, call.request.keyspace, call.consistency, call.request.as_of) ||
          !ReadText(reader, call.request.start) || !ReadText(reader, call.request.end) ||
          !reader.Varint(limit) || limit > kv::kScanRowsMax || !reader.Byte(flags) ||
          !ReadSlots(reader, call.request.first_slot, call.request.past_last_slot) ||
          !ReadLock(reader, call.lock) || !ReadReader(reader, call.reader)) {
        return false;
      }
      call.request.limit = static_cast<std::uint32_t>(limit);
      call.request.reverse = (flags & 1) != 0;
      call.request.keys_only = (flags & 2) != 0;
      request.call = std::move(call);
      return true;
    }
    case RequestKind::kAggregate: {
      AggregateCall call;
      if (!ReadAggregate(reader, call)) return false;
      request.call = std::move(call);
      return true;
    }
    case RequestKind::kHistory: {
      HistoryCall call;
      std::uint64_t limit = 0;
      if (!ReadHead(reader, call.request.keyspace, call.consistency, call.request.before) ||
          !ReadText(reader, call.request.key) || !reader.Varint(limit) ||
          limit > kv::kHistoryVersionsMax) {
        return false;
      }
      call.request.limit = static_cast<std::uint32_t>(limit);
      request.call = std::move(call);
      return true;
    }
    case RequestKind::kTxnRecord: {
      TxnRecordCall call;
      std::uint64_t txn = 0;
      if (!ReadText(reader, call.anchor) || !reader.Fixed64(txn)) return false;
      call.txn = kv::TxnId(txn);
      request.call = std::move(call);
      return true;
    }
    case RequestKind::kUnlock: {
      UnlockCall call;
      std::uint64_t txn = 0;
      if (!ReadText(reader, call.key) || !reader.Fixed64(txn)) return false;
      call.txn = kv::TxnId(txn);
      request.call = std::move(call);
      return true;
    }
  }
  return false;
}

}  // namespace

std::string EncodeForwardedRequests(GroupId group, const std::vector<Ticket>& tickets,
                                    MonoTime now) {
  std::string out;
  AppendByte(out, kForwardFormat);
  AppendVarint(out, group.value());
  AppendVarint(out, tickets.size());
  for (std::size_t i = 0; i < tickets.size(); ++i) {
    const GatewayRequest& request = tickets[i].request();
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(request.deadline - now).count();
    AppendVarint(out, i);
    AppendVarint(out, static_cast<std::uint64_t>(std::max<std::int64_t>(left, 1)));
    std::visit(RequestEncoder{out}, request.call);
  }
  return out;
}

StatusOr<ForwardedRequests> DecodeForwardedRequests(const Bytes& body, MonoTime now) {
  Reader reader(body.view());
  std::uint8_t format = 0;
  std::uint64_t group = 0;
  std::uint64_t count = 0;
  if (!reader.Byte(format) || format != kForwardFormat || !reader.Varint(group) ||
      !reader.Varint(count) || count > kForwardedMax) {
    return Malformed();
  }
  ForwardedRequests forwarded;
  forwarded.group = GroupId(group);
  for (std::uint64_t i = 0; i < count; ++i) {
    GatewayRequest request;
    std::uint64_t left_ms = 0;
    if (!reader.Varint(request.id) || !reader.Varint(left_ms) ||
        !ReadRequest(reader, body, request)) {
      return Malformed();
    }
    constexpr std::uint64_t kLeftMsMax = 24ull * 60 * 60 * 1000;
    request.deadline = now + std::chrono::milliseconds(std::min(left_ms, kLeftMsMax));
    forwarded.requests.push_back(std::move(request));
  }
  return forwarded;
}

}  // namespace flotilla
