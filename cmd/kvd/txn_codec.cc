#include "cmd/kvd/txn_codec.h"

#include <spdlog/fmt/fmt.h>

#include <iterator>
#include <utility>

#include "cmd/kvd/decode_parts.h"
#include "kv/key_codec.h"

namespace flotilla {
namespace {

constexpr std::size_t kSavepointBytesMax = 256;
constexpr int kExecuteOperationsMax = 1000;

template <class Request>
StatusOr<kv::KeyspaceId> KeyspaceOf(const Request& request, kv::KeyspaceId fallback,
                                    KeyspaceNames& names) {
  if (!request.has_keyspace()) return fallback;
  return names.Find(request.keyspace());
}

StatusOr<kv::Isolation> DecodeIsolation(v1::Isolation isolation) {
  switch (isolation) {
    case v1::ISOLATION_READ_UNCOMMITTED:
      return kv::Isolation::kReadUncommitted;
    case v1::ISOLATION_READ_COMMITTED:
      return kv::Isolation::kReadCommitted;
    case v1::ISOLATION_REPEATABLE_READ:
      return kv::Isolation::kRepeatableRead;
    case v1::ISOLATION_UNSPECIFIED:
    case v1::ISOLATION_SERIALIZABLE:
      return kv::Isolation::kSerializable;
    default:
      return Error(Reason::kBadRequest,
                   "this server does not know the isolation level asked for: use READ_UNCOMMITTED, "
                   "READ_COMMITTED, REPEATABLE_READ or SERIALIZABLE");
  }
}

v1::Isolation EncodeIsolation(kv::Isolation isolation) {
  switch (isolation) {
    case kv::Isolation::kReadUncommitted:
      return v1::ISOLATION_READ_UNCOMMITTED;
    case kv::Isolation::kReadCommitted:
      return v1::ISOLATION_READ_COMMITTED;
    case kv::Isolation::kRepeatableRead:
      return v1::ISOLATION_REPEATABLE_READ;
    case kv::Isolation::kSerializable:
      return v1::ISOLATION_SERIALIZABLE;
  }
  return v1::ISOLATION_UNSPECIFIED;
}

v1::TransactionPhase EncodePhase(TxnPhase phase) {
  switch (phase) {
    case TxnPhase::kOpen:
      return v1::TRANSACTION_PHASE_OPEN;
    case TxnPhase::kCommitting:
      return v1::TRANSACTION_PHASE_COMMITTING;
    case TxnPhase::kEnded:
      break;
  }
  return v1::TRANSACTION_PHASE_UNSPECIFIED;
}

// From 1 ms to 10 minutes.
Status DecodeTime(const google::protobuf::Duration& time, const char* what, Duration& out) {
  constexpr std::int64_t kSecondsMax = 600;
  const bool sane = time.seconds() >= 0 && time.seconds() <= kSecondsMax && time.nanos() >= 0 &&
                    time.nanos() < 1'000'000'000;
  out = sane ? std::chrono::seconds(time.seconds()) + Duration(time.nanos()) : Duration(0);
  if (out >= std::chrono::milliseconds(1) && out <= std::chrono::seconds(kSecondsMax)) {
    return absl::OkStatus();
  }
  return Error(Reason::kBadRequest, fmt::format("{} is from 1 ms to 10 minutes", what));
}

void EncodeTime(Duration time, google::protobuf::Duration& out) {
  out.set_seconds(time.count() / 1'000'000'000);
  out.set_nanos(static_cast<std::int32_t>(time.count() % 1'000'000'000));
}

StatusOr<Locking> DecodeLocking(v1::Locking locking) {
  switch (locking) {
    case v1::LOCKING_UNSPECIFIED:
    case v1::LOCKING_OPTIMISTIC:
      return Locking::kOptimistic;
    case v1::LOCKING_PESSIMISTIC:
      return Locking::kPessimistic;
    default:
      return Error(Reason::kBadRequest,
                   "this server does not know the locking asked for: use OPTIMISTIC or "
                   "PESSIMISTIC");
  }
}

template <class Request>
Status DecodeLock(const Request& request, std::optional<TxnLock>& out) {
  if (!request.has_lock()) return absl::OkStatus();
  const v1::TxnLock& lock = request.lock();
  TxnLock& read = out.emplace();
  switch (lock.strength()) {
    case v1::LOCK_STRENGTH_SHARE:
      read.strength = LockStrength::kShare;
      break;
    case v1::LOCK_STRENGTH_UNSPECIFIED:
    case v1::LOCK_STRENGTH_UPDATE:
      read.strength = LockStrength::kUpdate;
      break;
    default:
      return Error(Reason::kBadRequest,
                   "this server does not know the lock asked for: use SHARE or UPDATE");
  }
  switch (lock.patience()) {
    case v1::LOCK_PATIENCE_UNSPECIFIED:
    case v1::LOCK_PATIENCE_WAIT:
      read.patience = LockPatience::kWait;
      break;
    case v1::LOCK_PATIENCE_NO_WAIT:
      read.patience = LockPatience::kNoWait;
      break;
    case v1::LOCK_PATIENCE_SKIP_LOCKED:
      read.patience = LockPatience::kSkipLocked;
      break;
    default:
      return Error(Reason::kBadRequest,
                   "this server does not know what to do when it is locked: use WAIT, NO_WAIT or "
                   "SKIP_LOCKED");
  }
  return lock.has_timeout() ? DecodeTime(lock.timeout(), "a lock's timeout", read.within)
                            : absl::OkStatus();
}

std::string NameOf(const DirectoryImage& image, kv::KeyspaceId keyspace) {
  const KeyspaceDescriptor* const found = image.Find(keyspace);
  return found == nullptr ? std::string() : found->name;
}

// An encoded key as its keyspace's name and the user's key.
template <class Message>
void EncodeKeyOf(const std::string& encoded, const DirectoryImage& image, Message& out) {
  kv::KeyspaceId keyspace;
  std::string key;
  if (!kv::DecodeKey(encoded, keyspace, key)) keyspace = kv::KeyspaceOf(encoded);
  out.set_keyspace(NameOf(image, keyspace));
  out.set_key(std::move(key));
}

Status CheckWriteSize(const std::string& key, std::size_t value_bytes) {
  RETURN_IF_ERROR(CheckReadKey(key));
  if (value_bytes <= kv::kValueBytesMax) return absl::OkStatus();
  return Error(Reason::kValueTooLarge, fmt::format("the value has {} bytes; at most {} are allowed",
                                                   value_bytes, kv::kValueBytesMax));
}

StatusOr<DecodedExecute::Operation> DecodeOperation(v1::ExecuteOperation& operation,
                                                    kv::KeyspaceId keyspace, KeyspaceNames& names) {
  switch (operation.operation_case()) {
    case v1::ExecuteOperation::kPut:
      return Decode(*operation.mutable_put(), keyspace, names);
    case v1::ExecuteOperation::kDelete:
      return Decode(*operation.mutable_delete_(), keyspace, names);
    case v1::ExecuteOperation::kGet:
      return Decode(*operation.mutable_get(), keyspace, names);
    case v1::ExecuteOperation::OPERATION_NOT_SET:
      break;
  }
  return Error(Reason::kBadRequest, "an operation is empty: put, delete or get");
}

// That all keyspaces are there, before anything is moved out of the request.
template <class Items, class NameOf>
Status FindAll(const Items& items, KeyspaceNames& names, NameOf name_of) {
  for (const auto& item : items) {
    if (const std::string* name = name_of(item)) RETURN_IF_ERROR(names.Find(*name).status());
  }
  return absl::OkStatus();
}

const std::string* NameOf(const v1::Comparison& one) {
  return one.has_keyspace() ? &one.keyspace() : nullptr;
}

const std::string* NameOf(const v1::ExecuteOperation& one) {
  if (one.has_put() && one.put().has_keyspace()) return &one.put().keyspace();
  if (one.has_delete_() && one.delete_().has_keyspace()) return &one.delete_().keyspace();
  if (one.has_get() && one.get().has_keyspace()) return &one.get().keyspace();
  return nullptr;
}

}  // namespace

StatusOr<DecodedBegin> Decode(const v1::TxnBegin& begin, KeyspaceNames& names) {
  DecodedBegin out;
  ASSIGN_OR_RETURN(out.keyspace, names.Find(begin.keyspace()));
  ASSIGN_OR_RETURN(out.options.isolation, DecodeIsolation(begin.isolation()));
  out.options.read_only = begin.read_only();
  out.options.read_timestamp = Timestamp(begin.read_timestamp());
  if (begin.has_timeout()) {
    RETURN_IF_ERROR(DecodeTime(begin.timeout(), "a transaction's timeout", out.options.timeout));
  }
  ASSIGN_OR_RETURN(out.options.locking, DecodeLocking(begin.locking()));
  if (begin.has_lock_timeout()) {
    RETURN_IF_ERROR(DecodeTime(begin.lock_timeout(), "a lock's timeout", out.options.lock_timeout));
  }
  out.options.first_try = kv::TxnId(begin.first_transaction_id());
  return out;
}

StatusOr<DecodedGet> Decode(v1::TxnGet& get, kv::KeyspaceId fallback, KeyspaceNames& names) {
  DecodedGet out;
  ASSIGN_OR_RETURN(out.keyspace, KeyspaceOf(get, fallback, names));
  RETURN_IF_ERROR(CheckReadKey(get.key()));
  RETURN_IF_ERROR(DecodeLock(get, out.lock));
  out.keys.push_back(std::move(*get.mutable_key()));
  return out;
}

StatusOr<DecodedGet> Decode(v1::TxnBatchGet& get, kv::KeyspaceId fallback, KeyspaceNames& names) {
  DecodedGet out;
  ASSIGN_OR_RETURN(out.keyspace, KeyspaceOf(get, fallback, names));
  RETURN_IF_ERROR(CheckReadKeys(get.keys()));
  RETURN_IF_ERROR(DecodeLock(get, out.lock));
  out.keys.assign(std::make_move_iterator(get.mutable_keys()->begin()),
                  std::make_move_iterator(get.mutable_keys()->end()));
  return out;
}

StatusOr<DecodedScan> Decode(v1::TxnScan& scan, kv::KeyspaceId fallback, kv::TxnId txn,
                             KeyspaceNames& names) {
  DecodedScan out;
  ASSIGN_OR_RETURN(out.request.keyspace, KeyspaceOf(scan, fallback, names));
  RETURN_IF_ERROR(DecodeBounds(scan));
  RETURN_IF_ERROR(DecodeLock(scan, out.lock));
  out.token = {.keyspace = out.request.keyspace,
               .start = scan.start(),
               .end = scan.end(),
               .reverse = scan.reverse(),
               .as_of = Timestamp(txn.value())};
  RETURN_IF_ERROR(DecodeRange(scan, scan.limit(), out.token, out.request));
  return out;
}

StatusOr<TxnMutation> Decode(v1::TxnPut& put, kv::KeyspaceId fallback, KeyspaceNames& names) {
  TxnMutation out;
  ASSIGN_OR_RETURN(out.keyspace, KeyspaceOf(put, fallback, names));
  RETURN_IF_ERROR(CheckWriteSize(put.key(), put.value().size()));
  if (put.has_ttl()) {
    kv::WriteOp op;
    RETURN_IF_ERROR(DecodeTtl(put.ttl(), op));
    out.ttl_ms = op.ttl_ms;
  }
  out.key = std::move(*put.mutable_key());
  out.value = std::move(*put.mutable_value());
  return out;
}

StatusOr<TxnMutation> Decode(v1::TxnDelete& erase, kv::KeyspaceId fallback, KeyspaceNames& names) {
  TxnMutation out;
  ASSIGN_OR_RETURN(out.keyspace, KeyspaceOf(erase, fallback, names));
  RETURN_IF_ERROR(CheckReadKey(erase.key()));
  out.deletes = true;
  out.key = std::move(*erase.mutable_key());
  return out;
}

Status CheckSavepoint(const std::string& name) {
  if (!name.empty() && name.size() <= kSavepointBytesMax) return absl::OkStatus();
  return Error(Reason::kBadRequest, fmt::format("a savepoint's name has 1 to {} bytes, not {}",
                                                kSavepointBytesMax, name.size()));
}

StatusOr<DecodedExecute> Decode(v1::ExecuteRequest& request, KeyspaceNames& names) {
  DecodedExecute out;
  const auto name_of = [](const auto& item) { return NameOf(item); };
  ASSIGN_OR_RETURN(const kv::KeyspaceId keyspace, names.Find(request.keyspace()));
  RETURN_IF_ERROR(FindAll(request.compare(), names, name_of));
  RETURN_IF_ERROR(FindAll(request.success(), names, name_of));
  RETURN_IF_ERROR(FindAll(request.failure(), names, name_of));
  for (const int count : {request.compare_size(), request.success_size(), request.failure_size()}) {
    if (count <= kExecuteOperationsMax) continue;
    return Error(Reason::kBatchTooLarge,
                 fmt::format("{} comparisons or operations were given; at most {} of each are "
                             "allowed: use a Transact stream",
                             count, kExecuteOperationsMax));
  }
  for (v1::Comparison& one : *request.mutable_compare()) {
    DecodedExecute::Comparison& comparison = out.compare.emplace_back();
    ASSIGN_OR_RETURN(comparison.get.keyspace, KeyspaceOf(one, keyspace, names));
    RETURN_IF_ERROR(CheckReadKey(one.key()));
    RETURN_IF_ERROR(DecodeCondition(one.condition(), comparison.op));
    comparison.get.keys.push_back(std::move(*one.mutable_key()));
  }
  for (v1::ExecuteOperation& one : *request.mutable_success()) {
    ASSIGN_OR_RETURN(out.success.emplace_back(), DecodeOperation(one, keyspace, names));
  }
  for (v1::ExecuteOperation& one : *request.mutable_failure()) {
    ASSIGN_OR_RETURN(out.failure.emplace_back(), DecodeOperation(one, keyspace, names));
  }
  return out;
}

bool Holds(const kv::WriteOp& condition, const kv::GetResult& found) {
  switch (condition.condition) {
    case kv::ConditionKind::kNone:
      return true;
    case kv::ConditionKind::kAbsent:
      return !found.found;
    case kv::ConditionKind::kExists:
      return found.found;
    case kv::ConditionKind::kVersionIs:
      return found.found ? found.version == condition.condition_version
                         : !condition.condition_version;
    case kv::ConditionKind::kValueIs:
      return found.found && found.value == condition.condition_value;
  }
  return false;
}

void Encode(const TransactionInfo& info, NodeId node, v1::TransactionStatus& out) {
  out.set_transaction_id(info.id.value());
  out.set_node_id(node.value());
  EncodeTime(info.age, *out.mutable_age());
  out.set_isolation(EncodeIsolation(info.isolation));
  out.set_phase(EncodePhase(info.phase));
  out.set_keys_written(info.keys_written);
  out.set_keys_read(info.keys_read);
  out.set_locking(info.locking == Locking::kPessimistic ? v1::LOCKING_PESSIMISTIC
                                                        : v1::LOCKING_OPTIMISTIC);
}

void Encode(const LockInfo& info, const DirectoryImage& image, v1::Lock& out) {
  constexpr v1::LockKind kKinds[] = {v1::LOCK_KIND_SHARE, v1::LOCK_KIND_UPDATE,
                                     v1::LOCK_KIND_INTENT, v1::LOCK_KIND_CHECKED};
  out.set_shard_id(info.group.value());
  EncodeKeyOf(info.span.start, image, out);
  kv::KeyspaceId keyspace;
  std::string end;
  if (!info.span.end.empty()) {
    out.set_ranges(true);
    if (kv::DecodeKey(info.span.end, keyspace, end)) out.set_end(std::move(end));
  }
  out.set_kind(kKinds[static_cast<std::size_t>(info.kind)]);
  out.set_transaction_id(info.owner.txn.value());
  out.set_coordinator_node_id(info.owner.coordinator.value());
  EncodeTime(info.held, *out.mutable_held());
  out.set_waiting(info.waiting);
}

void Encode(const FoundDeadlock& found, const DirectoryImage& image, v1::Deadlock& out) {
  out.mutable_at()->set_seconds(found.at.count() / 1'000'000);
  out.mutable_at()->set_nanos(static_cast<std::int32_t>(found.at.count() % 1'000'000 * 1'000));
  out.set_victim_transaction_id(found.deadlock.victim.value());
  for (const Deadlock::Step& step : found.deadlock.cycle) {
    v1::DeadlockStep& one = *out.add_steps();
    one.set_transaction_id(step.waiter.txn.value());
    one.set_coordinator_node_id(step.waiter.coordinator.value());
    EncodeKeyOf(step.key, image, one);
  }
}

}  // namespace flotilla
