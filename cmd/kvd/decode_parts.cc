#include "cmd/kvd/decode_parts.h"

namespace flotilla {

Status CheckReadKey(const std::string& key) {
  if (key.empty()) return Error(Reason::kBadRequest, "the key is empty: name one");
  if (key.size() <= kv::kKeyBytesMax) return absl::OkStatus();
  return Error(Reason::kKeyTooLarge, fmt::format("the key has {} bytes; at most {} are allowed",
                                                 key.size(), kv::kKeyBytesMax));
}

Status CheckReadKeys(const google::protobuf::RepeatedPtrField<std::string>& keys) {
  if (static_cast<std::size_t>(keys.size()) > kv::kBatchOpsMax) {
    return Error(Reason::kBatchTooLarge,
                 fmt::format("{} keys were asked for; at most {} are allowed", keys.size(),
                             kv::kBatchOpsMax));
  }
  std::size_t bytes = 0;
  for (const std::string& key : keys) {
    RETURN_IF_ERROR(CheckReadKey(key));
    bytes += key.size();
  }
  if (bytes <= kv::kBatchBytesMax) return absl::OkStatus();
  return Error(Reason::kBatchTooLarge,
               fmt::format("the keys have {} bytes together; at most {} are allowed: split them",
                           bytes, kv::kBatchBytesMax));
}

Status DecodeTtl(const google::protobuf::Duration& ttl, kv::WriteOp& op) {
  constexpr std::int64_t kTtlSecondsMax = 100ll * 366 * 24 * 3600;
  const bool sane = ttl.seconds() >= 0 && ttl.seconds() <= kTtlSecondsMax && ttl.nanos() >= 0 &&
                    ttl.nanos() < 1'000'000'000;
  const std::int64_t ms = sane ? ttl.seconds() * 1000 + ttl.nanos() / 1'000'000 : 0;
  if (ms < 1) {
    return Error(Reason::kBadRequest,
                 "the time to live must be between one millisecond and a hundred years");
  }
  op.ttl_ms = static_cast<std::uint64_t>(ms);
  return absl::OkStatus();
}

Status DecodeCondition(const v1::Condition& condition, kv::WriteOp& op) {
  switch (condition.condition_case()) {
    case v1::Condition::kVersion:
      op.condition = kv::ConditionKind::kVersionIs;
      op.condition_version = Timestamp(condition.version());
      return absl::OkStatus();
    case v1::Condition::kValue:
      op.condition = kv::ConditionKind::kValueIs;
      op.condition_value = condition.value();
      return absl::OkStatus();
    case v1::Condition::kAbsent:
      op.condition = kv::ConditionKind::kAbsent;
      if (condition.absent()) return absl::OkStatus();
      break;
    case v1::Condition::kExists:
      op.condition = kv::ConditionKind::kExists;
      if (condition.exists()) return absl::OkStatus();
      break;
    case v1::Condition::CONDITION_NOT_SET:
      return Error(Reason::kBadRequest,
                   "the condition is empty: give a version, a value, absent or exists");
  }
  return Error(Reason::kBadRequest, "`absent` and `exists` must be true when they are given");
}

}  // namespace flotilla
