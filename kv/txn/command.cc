#include "kv/txn/command.h"

#include <utility>

#include "base/coding.h"
#include "kv/limits.h"
#include "kv/txn/parts.h"

namespace flotilla::kv {
namespace {

constexpr std::uint8_t kVersion = 2;

enum Kind : std::uint8_t { kPrepare = 0, kFence, kDecide, kResolve, kForget, kDecline };

constexpr std::uint8_t kDeletes = 1;
constexpr std::uint8_t kOnePhase = 1;
constexpr std::uint8_t kHasSession = 2;

struct Encoder {
  std::string& out;

  void operator()(const TxnPrepare& prepare) const {
    out.push_back(static_cast<char>(prepare.isolation));
    out.push_back(static_cast<char>((prepare.one_phase ? kOnePhase : 0) |
                                    (prepare.session ? kHasSession : 0)));
    AppendPrefixed(out, prepare.anchor);
    AppendVarint(out, prepare.part);
    AppendVarint(out, prepare.valid_until_ms);
    AppendVarint(out, prepare.coordinator.value());
    AppendFixed64(out, prepare.as_of.value());
    AppendVarint(out, prepare.writes.size());
    for (const TxnWrite& write : prepare.writes) {
      out.push_back(write.deletes ? kDeletes : 0);
      AppendPrefixed(out, write.key);
      if (write.deletes) continue;
      AppendPrefixed(out, write.value);
      AppendVarint(out, write.ttl_ms);
    }
    AppendVarint(out, prepare.checks.size());
    for (const TxnCheck& check : prepare.checks) {
      AppendPrefixed(out, check.key);
      out.push_back(check.exact ? 1 : 0);
      if (check.exact) AppendFixed64(out, check.version.value());
    }
    AppendVarint(out, prepare.ranges.size());
    for (const TxnRange& range : prepare.ranges) {
      AppendPrefixed(out, range.start);
      AppendPrefixed(out, range.end);
      AppendFixed64(out, range.as_of.value());
    }
    AppendTxnParts(out, prepare.parts);
    if (prepare.session) AppendTxnSession(out, prepare.session);
  }
  void operator()(const TxnFence& fence) const {
    AppendVarint(out, fence.part);
    AppendVarint(out, fence.valid_until_ms);
  }
  void operator()(const TxnDecide& decide) const {
    AppendFixed64(out, decide.commit.value());
    AppendVarint(out, decide.valid_until_ms);
    out.push_back(decide.if_absent ? 1 : 0);
    AppendPrefixed(out, decide.last);
  }
  void operator()(const TxnResolve& resolve) const {
    AppendFixed64(out, resolve.commit.value());
    AppendPrefixed(out, resolve.last);
  }
  void operator()(const TxnForget& forget) const {
    AppendVarint(out, forget.others.size());
    for (const auto& [anchor, txn] : forget.others) {
      AppendPrefixed(out, anchor);
      AppendFixed64(out, txn.value());
    }
  }
  void operator()(const TxnDecline& decline) const {
    AppendSession(out, decline.session);
    out.push_back(static_cast<char>(decline.outcome));
    AppendFixed64(out, decline.seen_at.value());
    AppendVarint(out, decline.failed_op);
    AppendFixed64(out, decline.actual_version.value());
  }
};

bool ReadBool(Reader& reader, bool& value) {
  std::uint8_t byte = 0;
  if (!reader.Byte(byte) || byte > 1) return false;
  value = byte != 0;
  return true;
}

bool ReadTimestamp(Reader& reader, Timestamp& timestamp) {
  std::uint64_t value = 0;
  if (!reader.Fixed64(value)) return false;
  timestamp = Timestamp(value);
  return true;
}

bool ReadNode(Reader& reader, NodeId& node) {
  std::uint64_t value = 0;
  if (!reader.Varint(value)) return false;
  node = NodeId(value);
  return true;
}

bool ReadRecordPlace(Reader& reader, std::pair<std::string_view, TxnId>& place) {
  std::uint64_t txn = 0;
  if (!reader.Prefixed(place.first) || !reader.Fixed64(txn)) return false;
  place.second = TxnId(txn);
  return true;
}

bool ReadPart(Reader& reader, std::uint32_t& part) {
  std::uint64_t value = 0;
  if (!reader.Varint(value) || value >= kTxnPartsMax) return false;
  part = static_cast<std::uint32_t>(value);
  return true;
}

bool ReadWrite(Reader& reader, TxnWrite& write) {
  if (!ReadBool(reader, write.deletes) || !reader.Prefixed(write.key)) return false;
  return write.deletes || (reader.Prefixed(write.value) && reader.Varint(write.ttl_ms));
}

bool ReadCheck(Reader& reader, TxnCheck& check) {
  return reader.Prefixed(check.key) && ReadBool(reader, check.exact) &&
         (!check.exact || ReadTimestamp(reader, check.version));
}

bool ReadRange(Reader& reader, TxnRange& range) {
  return reader.Prefixed(range.start) && reader.Prefixed(range.end) && range.start < range.end &&
         ReadTimestamp(reader, range.as_of);
}

template <class One>
bool ReadAll(Reader& reader, std::vector<One>& all, bool (*read)(Reader&, One&)) {
  std::uint64_t count = 0;
  if (!reader.Varint(count) || count > kBatchOpsMax) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!read(reader, all.emplace_back())) return false;
  }
  return true;
}

bool Read(Reader& reader, TxnPrepare& prepare) {
  std::uint8_t isolation = 0;
  if (!reader.Byte(isolation) || isolation < 1 ||
      isolation > static_cast<std::uint8_t>(Isolation::kSerializable)) {
    return false;
  }
  prepare.isolation = static_cast<Isolation>(isolation);
  std::uint8_t flags = 0;
  if (!reader.Byte(flags) || flags > (kOnePhase | kHasSession)) return false;
  prepare.one_phase = (flags & kOnePhase) != 0;
  return reader.Prefixed(prepare.anchor) && ReadPart(reader, prepare.part) &&
         reader.Varint(prepare.valid_until_ms) && ReadNode(reader, prepare.coordinator) &&
         ReadTimestamp(reader, prepare.as_of) && ReadAll(reader, prepare.writes, ReadWrite) &&
         ReadAll(reader, prepare.checks, ReadCheck) && ReadAll(reader, prepare.ranges, ReadRange) &&
         ReadTxnParts(reader, prepare.parts) &&
         ((flags & kHasSession) == 0 || ReadTxnSession(reader, prepare.session));
}

bool Read(Reader& reader, TxnFence& fence) {
  return ReadPart(reader, fence.part) && reader.Varint(fence.valid_until_ms);
}

bool Read(Reader& reader, TxnDecide& decide) {
  return ReadTimestamp(reader, decide.commit) && reader.Varint(decide.valid_until_ms) &&
         ReadBool(reader, decide.if_absent) && reader.Prefixed(decide.last);
}

bool Read(Reader& reader, TxnResolve& resolve) {
  return ReadTimestamp(reader, resolve.commit) && reader.Prefixed(resolve.last);
}

bool Read(Reader& reader, TxnForget& forget) {
  return ReadAll(reader, forget.others, ReadRecordPlace);
}

bool Read(Reader& reader, TxnDecline& decline) {
  std::uint8_t outcome = 0;
  std::uint64_t failed_op = 0;
  if (!ReadSession(reader, decline.session) || !reader.Byte(outcome) ||
      !ReadTimestamp(reader, decline.seen_at) || !reader.Varint(failed_op) ||
      failed_op >= kBatchOpsMax) {
    return false;
  }
  decline.outcome = static_cast<WriteOutcome>(outcome);
  if (decline.outcome != WriteOutcome::kConditionFailed &&
      decline.outcome != WriteOutcome::kTooLarge) {
    return false;
  }
  decline.failed_op = static_cast<std::uint32_t>(failed_op);
  return ReadTimestamp(reader, decline.actual_version);
}

template <class Step>
bool ReadStep(Reader& reader, TxnCommand& command) {
  return Read(reader, command.step.emplace<Step>());
}

bool ReadHead(Reader& reader, std::uint8_t& kind, std::string_view& key, TxnId& txn) {
  std::uint8_t version = 0;
  std::uint64_t id = 0;
  if (!reader.Byte(version) || version != kVersion || !reader.Byte(kind) || !reader.Prefixed(key) ||
      !reader.Fixed64(id)) {
    return false;
  }
  txn = TxnId(id);
  return !key.empty() && txn;
}

bool ReadStepOf(std::uint8_t kind, Reader& reader, TxnCommand& command) {
  switch (kind) {
    case kPrepare:
      return ReadStep<TxnPrepare>(reader, command);
    case kFence:
      return ReadStep<TxnFence>(reader, command);
    case kDecide:
      return ReadStep<TxnDecide>(reader, command);
    case kResolve:
      return ReadStep<TxnResolve>(reader, command);
    case kForget:
      return ReadStep<TxnForget>(reader, command);
    case kDecline:
      return ReadStep<TxnDecline>(reader, command);
    default:
      return false;
  }
}

}  // namespace

bool IsTxnCommand(std::string_view encoded) {
  return !encoded.empty() && static_cast<std::uint8_t>(encoded.front()) == kVersion;
}

std::string EncodeTxnCommand(const TxnCommand& command) {
  std::string out;
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(command.step.index()));
  AppendPrefixed(out, command.key);
  AppendFixed64(out, command.txn.value());
  std::visit(Encoder{out}, command.step);
  return out;
}

Status DecodeTxnCommand(std::string_view encoded, TxnCommand& command) {
  Reader reader(encoded);
  std::uint8_t kind = 0;
  if (ReadHead(reader, kind, command.key, command.txn) && ReadStepOf(kind, reader, command) &&
      reader.empty()) {
    return absl::OkStatus();
  }
  return Error(Reason::kBadRequest, "a malformed step of a transaction");
}

bool PeekTxnCommand(std::string_view encoded, std::string_view& key) {
  Reader reader(encoded);
  std::uint8_t kind = 0;
  TxnId txn;
  return ReadHead(reader, kind, key, txn);
}

bool PeekOnePhase(std::string_view encoded, TxnId& txn) {
  Reader reader(encoded);
  std::uint8_t kind = 0;
  std::string_view key;
  std::uint8_t isolation = 0;
  std::uint8_t flags = 0;
  return ReadHead(reader, kind, key, txn) && kind == kPrepare && reader.Byte(isolation) &&
         reader.Byte(flags) && (flags & kOnePhase) != 0;
}

bool PeekTxnId(std::string_view encoded, TxnId& txn) {
  Reader reader(encoded);
  std::uint8_t kind = 0;
  std::string_view key;
  return ReadHead(reader, kind, key, txn);
}

}  // namespace flotilla::kv
