#include "shard/locking/wait_report.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <utility>

#include "kv/key_codec.h"
#include "shard/codec_parts.h"

namespace flotilla {
namespace {

// One format, by which nodes of one version know each other.
constexpr std::uint8_t kFormat = 1;
constexpr std::uint64_t kCountMax = 100'000;

std::string Readable(std::string_view encoded) {
  kv::KeyspaceId keyspace;
  std::string key;
  if (!kv::DecodeKey(encoded, keyspace, key)) key = encoded;
  return absl::CHexEscape(key);
}

template <class One, class Append>
std::string Encode(const std::vector<One>& all, Append append) {
  std::string out(1, static_cast<char>(kFormat));
  AppendVarint(out, all.size());
  for (const One& one : all) append(out, one);
  return out;
}

template <class One, class Read>
bool ReadAll(Reader& reader, std::vector<One>& all, Read read) {
  std::uint64_t count = 0;
  if (!reader.Varint(count) || count > kCountMax) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!read(reader, all.emplace_back())) return false;
  }
  return true;
}

template <class One, class Read>
StatusOr<std::vector<One>> Decode(std::string_view bytes, Read read) {
  Reader reader(bytes);
  std::uint8_t format = 0;
  std::vector<One> all;
  if (reader.Byte(format) && format == kFormat && ReadAll(reader, all, read) && reader.empty()) {
    return all;
  }
  return Error(Reason::kBadRequest, "a peer sent a malformed report of locks");
}

bool ReadTxn(Reader& reader, kv::TxnId& txn) {
  std::uint64_t id = 0;
  if (!reader.Fixed64(id)) return false;
  txn = kv::TxnId(id);
  return true;
}

}  // namespace

void AppendLockOwner(std::string& out, const LockOwner& owner) {
  AppendFixed64(out, owner.txn.value());
  AppendVarint(out, owner.coordinator.value());
  AppendFixed64(out, owner.since.value());
}

bool ReadLockOwner(Reader& reader, LockOwner& owner) {
  std::uint64_t node = 0;
  if (!ReadTxn(reader, owner.txn) || !reader.Varint(node) || !ReadTxn(reader, owner.since)) {
    return false;
  }
  owner.coordinator = NodeId(node);
  return true;
}

std::string EncodeWaits(const std::vector<ReportedWait>& waits) {
  return Encode(waits, [](std::string& out, const ReportedWait& wait) {
    AppendLockOwner(out, wait.waiter);
    AppendPrefixed(out, wait.key);
    AppendVarint(out, wait.for_whom.size());
    for (const LockOwner& owner : wait.for_whom) AppendLockOwner(out, owner);
  });
}

StatusOr<std::vector<ReportedWait>> DecodeWaits(std::string_view bytes) {
  return Decode<ReportedWait>(bytes, [](Reader& reader, ReportedWait& wait) {
    return ReadLockOwner(reader, wait.waiter) && ReadText(reader, wait.key) &&
           ReadAll(reader, wait.for_whom, ReadLockOwner);
  });
}

std::string EncodeDeadlocks(const std::vector<Deadlock>& deadlocks) {
  return Encode(deadlocks, [](std::string& out, const Deadlock& deadlock) {
    AppendFixed64(out, deadlock.victim.value());
    AppendVarint(out, deadlock.cycle.size());
    for (const Deadlock::Step& step : deadlock.cycle) {
      AppendLockOwner(out, step.waiter);
      AppendPrefixed(out, step.key);
    }
  });
}

StatusOr<std::vector<Deadlock>> DecodeDeadlocks(std::string_view bytes) {
  return Decode<Deadlock>(bytes, [](Reader& reader, Deadlock& deadlock) {
    return ReadTxn(reader, deadlock.victim) &&
           ReadAll(reader, deadlock.cycle, [](Reader& steps, Deadlock::Step& step) {
             return ReadLockOwner(steps, step.waiter) && ReadText(steps, step.key);
           });
  });
}

std::string EncodeTxnIds(const std::vector<kv::TxnId>& txns) {
  return Encode(txns, [](std::string& out, kv::TxnId txn) { AppendFixed64(out, txn.value()); });
}

StatusOr<std::vector<kv::TxnId>> DecodeTxnIds(std::string_view bytes) {
  return Decode<kv::TxnId>(bytes, ReadTxn);
}

Status DeadlockError(const Deadlock& deadlock) {
  std::string cycle;
  std::string txns;
  for (std::size_t i = 0; i < deadlock.cycle.size(); ++i) {
    const Deadlock::Step& step = deadlock.cycle[i];
    const Deadlock::Step& next = deadlock.cycle[(i + 1) % deadlock.cycle.size()];
    cycle += fmt::format(
        "{}transaction {} waits for key '{}', which transaction {} has or waits "
        "for before it",
        i == 0 ? "" : "; ", step.waiter.txn.value(), Readable(step.key), next.waiter.txn.value());
    txns += fmt::format("{}{}", i == 0 ? "" : ",", step.waiter.txn.value());
  }
  return Error(Reason::kDeadlock,
               fmt::format("the transaction was rolled back, being the youngest of those that wait "
                           "for each other: {}; begin it anew",
                           cycle),
               {{"cycle", txns}, {"transaction", std::to_string(deadlock.victim.value())}});
}

Status LockedError(std::string_view key, const LockOwner& holder, Duration waited) {
  const std::string whose = holder.txn ? fmt::format("transaction {}, which node {} coordinates",
                                                     holder.txn.value(), holder.coordinator.value())
                                       : std::string("a write that is under way");
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
  const std::string how_long = ms == 0 ? "" : fmt::format(", and was so for {} ms", ms);
  return Error(Reason::kLockTimeout,
               fmt::format("key '{}' is locked by {}{}: try again, or see `kvctl lock list`",
                           Readable(key), whose, how_long),
               {{"key", Readable(key)}, {"transaction", std::to_string(holder.txn.value())}});
}

}  // namespace flotilla
