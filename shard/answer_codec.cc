// Answers of forwarded requests: see shard/forward_codec.h.

#include <algorithm>
#include <utility>

#include "base/coding.h"
#include "kv/limits.h"
#include "kv/txn/locks.h"
#include "kv/txn/rows.h"
#include "shard/codec_parts.h"
#include "shard/forward_codec.h"

namespace flotilla {
namespace {

enum class AnswerKind : std::uint8_t {
  kError = 1,
  kWrite = 2,
  kGet = 3,
  kBatchGet = 4,
  kScan = 5,
  kAggregate = 6,
  kTxnRecord = 7,
  kDone = 8,
  kHistory = 9,
};

void AppendGetResult(std::string& out, const kv::GetResult& result) {
  AppendByte(out, result.found ? 1 : (result.skipped ? 2 : 0));
  if (!result.found) return;
  AppendPrefixed(out, result.value);
  AppendVarint(out, result.version.value());
  AppendVarint(out, result.expires_at_ms);
}

bool ReadGetResult(Reader& reader, kv::GetResult& result) {
  std::uint8_t found = 0;
  if (!reader.Byte(found)) return false;
  result.found = found == 1;
  result.skipped = found == 2;
  return !result.found || (ReadText(reader, result.value) && reader.Varint(result.version) &&
                           reader.Varint(result.expires_at_ms));
}

struct AnswerEncoder {
  std::string& out;

  void operator()(std::monostate) const { Kind(AnswerKind::kDone); }
  void operator()(const kv::WriteResult& result) const {
    Kind(AnswerKind::kWrite);
    AppendVarint(out, result.timestamp.value());
    AppendVarint(out, result.affected);
    AppendPrefixed(out, result.obstacle ? result.obstacle->key : std::string_view());
    AppendByte(out, result.outcome == kv::WriteOutcome::kRepeated ? 1 : 0);
  }
  void operator()(const kv::GetResult& result) const {
    Kind(AnswerKind::kGet);
    AppendGetResult(out, result);
  }
  void operator()(const std::vector<kv::GetResult>& results) const {
    Kind(AnswerKind::kBatchGet);
    AppendVarint(out, results.size());
    for (const kv::GetResult& result : results) AppendGetResult(out, result);
  }
  void operator()(const kv::ScanPage& page) const {
    Kind(AnswerKind::kScan);
    AppendVarint(out, page.rows.size());
    for (const kv::ScanRow& row : page.rows) {
      AppendPrefixed(out, row.key);
      AppendPrefixed(out, row.value);
      AppendVarint(out, row.version.value());
      AppendVarint(out, row.expires_at_ms);
    }
    AppendByte(out, page.more ? 1 : 0);
    AppendPrefixed(out, page.resume_key);
    AppendVarint(out, page.locked.size());
    for (const kv::LockedRange& range : page.locked) {
      AppendPrefixed(out, range.start);
      AppendPrefixed(out, range.end);
      AppendVarint(out, range.as_of.value());
    }
  }
  void operator()(const kv::AggregatePage& page) const {
    Kind(AnswerKind::kAggregate);
    AppendVarint(out, page.keys);
    AppendVarint(out, page.bytes);
    AppendFixed64(out, static_cast<std::uint64_t>(page.sum));
    AppendVarint(out, page.not_integers);
    AppendByte(out, page.more ? 1 : 0);
    AppendPrefixed(out, page.resume);
  }
  void operator()(const TxnRecordResult& result) const {
    Kind(AnswerKind::kTxnRecord);
    AppendPrefixed(out, result.record ? kv::EncodeTxnRecord(*result.record) : std::string());
  }

  void operator()(const kv::HistoryPage& page) const {
    Kind(AnswerKind::kHistory);
    AppendVarint(out, page.versions.size());
    for (const kv::HistoryVersion& version : page.versions) {
      AppendVarint(out, version.timestamp.value());
      AppendByte(out, static_cast<std::uint8_t>(version.kind));
      AppendVarint(out, version.transaction.value());
      AppendVarint(out, version.expires_at_ms);
      AppendPrefixed(out, version.value);
      AppendByte(out, version.superseded ? 1 : 0);
      if (!version.superseded) continue;
      AppendVarint(out, version.superseded->timestamp.value());
      AppendByte(out, static_cast<std::uint8_t>(version.superseded->kind));
      AppendVarint(out, version.superseded->transaction.value());
    }
    AppendByte(out, page.more ? 1 : 0);
    AppendVarint(out, page.complete_since.value());
  }

  void Kind(AnswerKind kind) const { AppendByte(out, static_cast<std::uint8_t>(kind)); }
};

bool ReadPage(Reader& reader, kv::ScanPage& page) {
  std::uint64_t count = 0;
  if (!reader.Varint(count) || count > kv::kScanRowsMax) return false;
  page.rows.resize(count);
  for (kv::ScanRow& row : page.rows) {
    if (!ReadText(reader, row.key) || !ReadText(reader, row.value) || !reader.Varint(row.version) ||
        !reader.Varint(row.expires_at_ms)) {
      return false;
    }
  }
  std::uint8_t more = 0;
  if (!reader.Byte(more) || !ReadText(reader, page.resume_key)) return false;
  page.more = more != 0;
  std::uint64_t locked = 0;
  if (!reader.Varint(locked) || locked > kv::kScanRowsMax) return false;
  page.locked.resize(locked);
  for (kv::LockedRange& range : page.locked) {
    if (!ReadText(reader, range.start) || !ReadText(reader, range.end) ||
        !reader.Varint(range.as_of)) {
      return false;
    }
  }
  return true;
}

bool ReadAggregatePage(Reader& reader, kv::AggregatePage& page) {
  std::uint64_t sum = 0;
  std::uint8_t more = 0;
  if (!reader.Varint(page.keys) || !reader.Varint(page.bytes) || !reader.Fixed64(sum) ||
      !reader.Varint(page.not_integers) || !reader.Byte(more) || !ReadText(reader, page.resume)) {
    return false;
  }
  page.sum = static_cast<std::int64_t>(sum);
  page.more = more != 0;
  return true;
}

bool ReadKind(Reader& reader, kv::VersionKind& kind) {
  std::uint8_t byte = 0;
  if (!reader.Byte(byte)) return false;
  kind = static_cast<kv::VersionKind>(byte);
  return byte <= static_cast<std::uint8_t>(kv::VersionKind::kExpired);
}

bool ReadTxn(Reader& reader, kv::TxnId& txn) {
  std::uint64_t id = 0;
  if (!reader.Varint(id)) return false;
  txn = kv::TxnId(id);
  return true;
}

bool ReadHistory(Reader& reader, kv::HistoryPage& page) {
  std::uint64_t count = 0;
  if (!reader.Varint(count) || count > kv::kHistoryVersionsMax) return false;
  page.versions.resize(count);
  for (kv::HistoryVersion& version : page.versions) {
    std::uint8_t superseded = 0;
    if (!reader.Varint(version.timestamp) || !ReadKind(reader, version.kind) ||
        !ReadTxn(reader, version.transaction) || !reader.Varint(version.expires_at_ms) ||
        !ReadText(reader, version.value) || !reader.Byte(superseded)) {
      return false;
    }
    if (superseded == 0) continue;
    kv::Successor& by = version.superseded.emplace();
    if (!reader.Varint(by.timestamp) || !ReadKind(reader, by.kind) ||
        !ReadTxn(reader, by.transaction)) {
      return false;
    }
  }
  std::uint8_t more = 0;
  if (!reader.Byte(more) || !reader.Varint(page.complete_since)) return false;
  page.more = more != 0;
  return true;
}

bool ReadResult(Reader& reader, GatewayAnswer& answer) {
  std::uint8_t kind = 0;
  if (!reader.Byte(kind)) return false;
  switch (static_cast<AnswerKind>(kind)) {
    case AnswerKind::kError:
      return ReadStatus(reader, answer.status);
    case AnswerKind::kWrite: {
      kv::WriteResult result;
      std::string_view key;
      std::uint8_t repeated = 0;
      if (!reader.Varint(result.timestamp) || !reader.Varint(result.affected) ||
          !reader.Prefixed(key) || !reader.Byte(repeated)) {
        return false;
      }
      if (repeated != 0) result.outcome = kv::WriteOutcome::kRepeated;
      if (!key.empty()) {
        result.obstacle =
            std::make_shared<const kv::Obstacle>(kv::Obstacle{.key = std::string(key)});
      }
      answer.result = result;
      return true;
    }
    case AnswerKind::kGet: {
      kv::GetResult result;
      if (!ReadGetResult(reader, result)) return false;
      answer.result = std::move(result);
      return true;
    }
    case AnswerKind::kBatchGet: {
      std::uint64_t count = 0;
      if (!reader.Varint(count) || count > kv::kBatchOpsMax) return false;
      std::vector<kv::GetResult> results(count);
      for (kv::GetResult& result : results) {
        if (!ReadGetResult(reader, result)) return false;
      }
      answer.result = std::move(results);
      return true;
    }
    case AnswerKind::kScan: {
      kv::ScanPage page;
      if (!ReadPage(reader, page)) return false;
      answer.result = std::move(page);
      return true;
    }
    case AnswerKind::kAggregate: {
      kv::AggregatePage page;
      if (!ReadAggregatePage(reader, page)) return false;
      answer.result = std::move(page);
      return true;
    }
    case AnswerKind::kDone:
      return true;
    case AnswerKind::kHistory: {
      kv::HistoryPage page;
      if (!ReadHistory(reader, page)) return false;
      answer.result = std::move(page);
      return true;
    }
    case AnswerKind::kTxnRecord: {
      TxnRecordResult result;
      std::string_view bytes;
      if (!reader.Prefixed(bytes)) return false;
      if (!bytes.empty() && !kv::DecodeTxnRecord(bytes, result.record.emplace())) return false;
      answer.result = std::move(result);
      return true;
    }
  }
  return false;
}

}  // namespace

void AppendStatus(std::string& out, const Status& status) {
  AppendPrefixed(out, status.ok() ? std::string_view("OK") : InfoOf(ReasonOf(status)).name);
  if (status.ok()) return;
  AppendPrefixed(out, MessageOf(status));
  const ErrorMetadata metadata = MetadataOf(status);
  AppendVarint(out, metadata.size());
  for (const auto& [key, value] : metadata) {
    AppendPrefixed(out, key);
    AppendPrefixed(out, value);
  }
}

bool ReadStatus(Reader& reader, Status& status) {
  std::string_view name;
  if (!reader.Prefixed(name)) return false;
  if (name == "OK") {
    status = absl::OkStatus();
    return true;
  }
  std::string_view message;
  std::uint64_t count = 0;
  if (!reader.Prefixed(message) || !reader.Varint(count) || count > 64) return false;
  ErrorMetadata metadata;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string key;
    if (!ReadText(reader, key) || !ReadText(reader, metadata[key])) return false;
  }
  status = Error(ReasonFromName(name).value_or(Reason::kInternal), message, metadata);
  return true;
}

std::string EncodeForwardedAnswers(const std::vector<GatewayAnswer>& answers) {
  std::string out;
  AppendByte(out, kForwardFormat);
  AppendVarint(out, answers.size());
  for (const GatewayAnswer& answer : answers) {
    AppendVarint(out, answer.id);
    if (answer.status.ok()) {
      std::visit(AnswerEncoder{out}, answer.result);
    } else {
      AppendByte(out, static_cast<std::uint8_t>(AnswerKind::kError));
      AppendStatus(out, answer.status);
    }
    AppendVarint(out, answer.origin.group.value());
    AppendVarint(out, answer.origin.node.value());
    AppendVarint(out, answer.origin.timestamp.value());
  }
  return out;
}

StatusOr<std::vector<GatewayAnswer>> DecodeForwardedAnswers(std::string_view body) {
  Reader reader(body);
  std::uint8_t format = 0;
  std::uint64_t count = 0;
  if (!reader.Byte(format) || format != kForwardFormat || !reader.Varint(count) ||
      count > kForwardedMax) {
    return Malformed();
  }
  std::vector<GatewayAnswer> answers;
  for (std::uint64_t i = 0; i < count; ++i) {
    GatewayAnswer answer;
    std::uint64_t group = 0;
    std::uint64_t node = 0;
    if (!reader.Varint(answer.id) || !ReadResult(reader, answer) || !reader.Varint(group) ||
        !reader.Varint(node) || !reader.Varint(answer.origin.timestamp)) {
      return Malformed();
    }
    answer.origin.group = GroupId(group);
    answer.origin.node = NodeId(node);
    answers.push_back(std::move(answer));
  }
  return answers;
}

}  // namespace flotilla
