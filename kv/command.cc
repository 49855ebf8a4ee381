#include "kv/command.h"

#include <fmt/format.h>

#include <utility>

#include "base/coding.h"
#include "kv/limits.h"

namespace flotilla::kv {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kHasSession = 1;
constexpr std::uint8_t kHasSince = 2;

Status Malformed(std::string_view what) {
  return Error(Reason::kBadRequest, fmt::format("a malformed command: {}", what));
}

bool ReadCondition(Reader& reader, WriteOp& op) {
  switch (op.condition) {
    case ConditionKind::kNone:
    case ConditionKind::kAbsent:
    case ConditionKind::kExists:
      return true;
    case ConditionKind::kVersionIs: {
      std::uint64_t version = 0;
      if (!reader.Fixed64(version)) return false;
      op.condition_version = Timestamp(version);
      return true;
    }
    case ConditionKind::kValueIs:
      return reader.Prefixed(op.condition_value);
  }
  return false;
}

bool ReadOp(Reader& reader, WriteOp& op) {
  std::uint8_t kind = 0;
  std::uint8_t condition = 0;
  if (!reader.Byte(kind) || !reader.Byte(condition) || !reader.Prefixed(op.key)) return false;
  op.kind = static_cast<WriteKind>(kind);
  op.condition = static_cast<ConditionKind>(condition);
  switch (op.kind) {
    case WriteKind::kPut:
      if (!reader.Prefixed(op.value) || !reader.Varint(op.ttl_ms)) return false;
      break;
    case WriteKind::kDelete:
      break;
    case WriteKind::kDeleteRange:
      if (!reader.Prefixed(op.end)) return false;
      break;
    default:
      return false;
  }
  return ReadCondition(reader, op);
}

// All but the operations.
Status ReadHead(Reader& reader, CommandView& command, std::uint64_t& ops) {
  command.session = {};
  std::uint8_t version = 0;
  std::uint8_t flags = 0;
  std::uint64_t keyspace = 0;
  if (!reader.Byte(version) || version != kVersion) return Malformed("unknown version");
  if (!reader.Byte(flags) || flags > (kHasSession | kHasSince) || !reader.Varint(keyspace) ||
      keyspace > UINT32_MAX) {
    return Malformed("its head");
  }
  command.keyspace = KeyspaceId(static_cast<std::uint32_t>(keyspace));
  if ((flags & kHasSession) != 0) {
    std::uint64_t client = 0;
    if (!reader.Fixed64(client) || !reader.Varint(command.session.sequence) ||
        !reader.Varint(command.session.acknowledged_below)) {
      return Malformed("its session");
    }
    command.session.client = ClientId(client);
  }
  if ((flags & kHasSince) != 0) {
    std::uint64_t since = 0;
    if (!reader.Fixed64(since)) return Malformed("its session");
    command.session.since = Timestamp(since);
  }
  if (!reader.Varint(ops) || ops > kBatchOpsMax) return Malformed("its count of operations");
  return absl::OkStatus();
}

void AppendOp(std::string& out, const WriteOp& op) {
  out.push_back(static_cast<char>(op.kind));
  out.push_back(static_cast<char>(op.condition));
  AppendPrefixed(out, op.key);
  if (op.kind == WriteKind::kPut) {
    AppendPrefixed(out, op.value);
    AppendVarint(out, op.ttl_ms);
  } else if (op.kind == WriteKind::kDeleteRange) {
    AppendPrefixed(out, op.end);
  }
  if (op.condition == ConditionKind::kVersionIs) {
    AppendFixed64(out, op.condition_version.value());
  } else if (op.condition == ConditionKind::kValueIs) {
    AppendPrefixed(out, op.condition_value);
  }
}

Status CheckKey(std::string_view key, std::string_view what) {
  if (key.size() <= kKeyBytesMax) return absl::OkStatus();
  return Error(Reason::kKeyTooLarge,
               fmt::format("{} has {} bytes; at most {} are allowed: shorten it", what, key.size(),
                           kKeyBytesMax));
}

Status CheckOp(const WriteOp& op) {
  if (op.kind == WriteKind::kDeleteRange) {
    RETURN_IF_ERROR(CheckKey(op.key, "the start of the range"));
    RETURN_IF_ERROR(CheckKey(op.end, "the end of the range"));
    if (!op.end.empty() && op.end <= op.key) {
      return Error(Reason::kBadRange,
                   "the range is empty: its end must lie after its start (the end is exclusive)");
    }
    if (op.condition != ConditionKind::kNone) {
      return Error(Reason::kBadRequest, "a delete of a range takes no condition");
    }
    return absl::OkStatus();
  }
  if (op.key.empty()) return Error(Reason::kBadRequest, "the key is empty: name one");
  RETURN_IF_ERROR(CheckKey(op.key, "the key"));
  if (op.value.size() > kValueBytesMax || op.condition_value.size() > kValueBytesMax) {
    return Error(Reason::kValueTooLarge,
                 fmt::format("the value has {} bytes; at most {} are allowed: split it over keys",
                             std::max(op.value.size(), op.condition_value.size()), kValueBytesMax));
  }
  return absl::OkStatus();
}

}  // namespace

Status ValidateCommand(const CommandView& command) {
  if (command.ops.size() > kBatchOpsMax) {
    return Error(Reason::kBatchTooLarge,
                 fmt::format("the batch has {} operations; at most {} are allowed: split it",
                             command.ops.size(), kBatchOpsMax));
  }
  if (command.ops.empty()) return Error(Reason::kBadRequest, "the batch has no operation");
  std::size_t bytes = 0;
  for (const WriteOp& op : command.ops) {
    RETURN_IF_ERROR(CheckOp(op));
    bytes += op.key.size() + op.value.size() + op.end.size() + op.condition_value.size();
  }
  if (bytes > kBatchBytesMax) {
    return Error(Reason::kBatchTooLarge,
                 fmt::format("the batch has {} bytes of keys and values; at most {} are allowed: "
                             "split it",
                             bytes, kBatchBytesMax));
  }
  const Session& session = command.session;
  if (static_cast<bool>(session.client) != (session.sequence != 0)) {
    return Error(Reason::kBadRequest,
                 "a client id needs a sequence number, counted from 1, and the other way round");
  }
  if (session.acknowledged_below > session.sequence) {
    return Error(Reason::kBadRequest,
                 "acknowledged_below must not exceed the sequence number of the write itself");
  }
  return absl::OkStatus();
}

bool PeekCommand(std::string_view encoded, KeyspaceId& keyspace, std::string_view& first_key) {
  Reader reader(encoded);
  CommandView command;
  std::uint64_t ops = 0;
  WriteOp first;
  if (!ReadHead(reader, command, ops).ok() || ops == 0 || !ReadOp(reader, first)) return false;
  keyspace = command.keyspace;
  first_key = first.key;
  return true;
}

void AppendCommand(std::string& out, const CommandView& command) {
  const bool session = static_cast<bool>(command.session.client);
  out.push_back(static_cast<char>(kVersion));
  const bool since = session && command.session.since;
  out.push_back(static_cast<char>((session ? kHasSession : 0) | (since ? kHasSince : 0)));
  AppendVarint(out, command.keyspace.value());
  if (session) {
    AppendFixed64(out, command.session.client.value());
    AppendVarint(out, command.session.sequence);
    AppendVarint(out, command.session.acknowledged_below);
  }
  if (since) AppendFixed64(out, command.session.since.value());
  AppendVarint(out, command.ops.size());
  for (const WriteOp& op : command.ops) AppendOp(out, op);
}

std::string EncodeCommand(const CommandView& command) {
  std::size_t bytes = 48;
  for (const WriteOp& op : command.ops) {
    bytes += op.key.size() + op.value.size() + op.end.size() + op.condition_value.size() + 32;
  }
  std::string out;
  out.reserve(bytes);
  AppendCommand(out, command);
  return out;
}

Status DecodeCommand(std::string_view bytes, CommandView& command) {
  command.ops.clear();
  Reader reader(bytes);
  std::uint64_t count = 0;
  RETURN_IF_ERROR(ReadHead(reader, command, count));
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!ReadOp(reader, command.ops.emplace_back())) return Malformed("an operation");
  }
  if (!reader.empty()) return Malformed("bytes after its end");
  return absl::OkStatus();
}

CommandBatchWriter::CommandBatchWriter(Timestamp first) {
  payload_.push_back(static_cast<char>(kVersion));
  AppendFixed64(payload_, first.value());
}

void CommandBatchWriter::Add(std::string_view encoded_command) {
  AppendPrefixed(payload_, encoded_command);
  ++count_;
}

Bytes CommandBatchWriter::Finish() && { return Bytes(std::move(payload_)); }

StatusOr<CommandBatchReader> CommandBatchReader::Open(std::string_view payload) {
  Reader reader(payload);
  std::uint8_t version = 0;
  std::uint64_t first = 0;
  if (!reader.Byte(version) || version != kVersion || !reader.Fixed64(first)) {
    return Error(Reason::kDataDamaged, "a log entry is not a batch of commands of this version");
  }
  CommandBatchReader batch;
  batch.rest_ = reader.rest();
  batch.first_ = Timestamp(first);
  return batch;
}

bool CommandBatchReader::Next(std::string_view& encoded_command, Timestamp& timestamp) {
  if (rest_.empty()) return false;
  Reader reader(rest_);
  if (!reader.Prefixed(encoded_command)) {
    damaged_ = true;
    rest_ = {};
    return false;
  }
  rest_ = reader.rest();
  timestamp = first_ + next_++;
  return true;
}

Status CommandBatchReader::status() const {
  if (!damaged_) return absl::OkStatus();
  return Error(Reason::kDataDamaged, "a log entry ends in the middle of a command");
}

}  // namespace flotilla::kv
