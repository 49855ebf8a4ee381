#include "shard/locking/write_spans.h"

#include <string>
#include <variant>

#include "kv/command.h"
#include "kv/key_codec.h"
#include "kv/slots.h"
#include "kv/txn/command.h"

namespace flotilla {
namespace {

WriteSpans OfStep(std::string_view bytes) {
  WriteSpans spans;
  kv::TxnCommand command;
  if (!kv::DecodeTxnCommand(bytes, command).ok()) return spans;
  const auto* prepare = std::get_if<kv::TxnPrepare>(&command.step);
  if (prepare == nullptr) return spans;
  spans.txn = command.txn;
  for (const kv::TxnWrite& write : prepare->writes) {
    spans.spans.push_back({.start = std::string(write.key)});
  }
  for (const kv::TxnCheck& check : prepare->checks) {
    spans.spans.push_back({.start = std::string(check.key), .strength = LockStrength::kShare});
  }
  for (const kv::TxnRange& range : prepare->ranges) {
    spans.spans.push_back({.start = std::string(range.start),
                           .end = std::string(range.end),
                           .strength = LockStrength::kShare});
  }
  return spans;
}

}  // namespace

WriteSpans SpansOf(std::string_view bytes) {
  if (kv::IsTxnCommand(bytes)) return OfStep(bytes);
  WriteSpans spans;
  kv::CommandView command;
  if (!kv::DecodeCommand(bytes, command).ok()) return spans;
  for (const kv::WriteOp& op : command.ops) {
    if (op.kind != kv::WriteKind::kDeleteRange) {
      spans.spans.push_back({.start = kv::EncodeKey(command.keyspace, op.key)});
    } else if (kv::IsHashed(command.keyspace)) {
      // Of a hashed keyspace every slot has a part of the range.
      spans.spans.push_back(
          {.start = kv::KeyspaceStart(command.keyspace), .end = kv::KeyspaceEnd(command.keyspace)});
    } else {
      spans.spans.push_back({.start = kv::RangeStart(command.keyspace, op.key),
                             .end = kv::RangeEnd(command.keyspace, op.end)});
    }
  }
  return spans;
}

}  // namespace flotilla
