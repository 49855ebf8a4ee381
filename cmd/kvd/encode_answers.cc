#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "cmd/kvd/api_codec.h"
#include "google/rpc/error_details.pb.h"
#include "kv/limits.h"

namespace flotilla {
namespace {

template <class Response>
void EncodeOrigin(const AnswerOrigin& origin, Response& response) {
  v1::ResponseHeader& header = *response.mutable_header();
  header.set_timestamp(origin.timestamp.value());
  header.set_group_id(origin.group.value());
  header.set_node_id(origin.node.value());
}

void EncodeExpiry(std::uint64_t ms, google::protobuf::Timestamp& out) {
  out.set_seconds(static_cast<std::int64_t>(ms / 1000));
  out.set_nanos(static_cast<std::int32_t>(ms % 1000 * 1'000'000));
}

template <class Message>
void EncodeGet(kv::GetResult& result, Message& out) {
  out.set_found(result.found);
  if (!result.found) return;
  out.set_value(std::move(result.value));
  out.set_version(result.version.value());
  if (result.expires_at_ms != 0) EncodeExpiry(result.expires_at_ms, *out.mutable_expires_at());
}

v1::VersionKind EncodeKind(kv::VersionKind kind) {
  switch (kind) {
    case kv::VersionKind::kPut:
      return v1::VERSION_KIND_PUT;
    case kv::VersionKind::kDeleted:
      return v1::VERSION_KIND_DELETED;
    case kv::VersionKind::kExpired:
      return v1::VERSION_KIND_EXPIRED;
    case kv::VersionKind::kUnknown:
      break;
  }
  return v1::VERSION_KIND_UNSPECIFIED;
}

// Bytes of the character that the text begins with; 0 when it is not UTF-8 or not printable.
std::size_t PrintableBytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return (lead >= 0x20 && lead != 0x7f) || lead == '\n' ? 1 : 0;
  const std::size_t bytes = lead < 0xc2   ? 0
                            : lead < 0xe0 ? 2
                            : lead < 0xf0 ? 3
                            : lead < 0xf5 ? 4
                                          : 0;
  if (bytes == 0 || text.size() < bytes) return 0;
  std::uint32_t code = lead & (0x7fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  constexpr std::uint32_t kSmallest[] = {0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return code < kSmallest[bytes - 2] || code > 0x10ffff || surrogate ? 0 : bytes;
}

// gRPC carries errors in trailers, which are bounded to 8 KiB, and protobuf wants UTF-8: what is
// said stays well below, and is text, whatever it quotes.
std::string Printable(std::string_view text) {
  constexpr std::size_t kBytesMax = 1024;
  std::string out;
  out.reserve(std::min(text.size(), kBytesMax));
  while (!text.empty() && out.size() < kBytesMax) {
    const std::size_t bytes = PrintableBytes(text);
    out.append(bytes == 0 ? "?" : text.substr(0, bytes));
    text.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return out;
}

const kv::WriteResult& Write(const GatewayAnswer& answer) {
  return std::get<kv::WriteResult>(answer.result);
}

}  // namespace

Status CheckAnswer(const GatewayAnswer& answer) {
  const auto* results = std::get_if<std::vector<kv::GetResult>>(&answer.result);
  return results == nullptr ? absl::OkStatus() : CheckResults(*results);
}

Status CheckResults(const std::vector<kv::GetResult>& results) {
  std::size_t bytes = 0;
  for (const kv::GetResult& result : results) bytes += result.value.size();
  if (bytes <= kv::kBatchBytesMax) return absl::OkStatus();
  return Error(Reason::kBatchTooLarge,
               fmt::format("the values of these {} keys have {} bytes together; one answer carries "
                           "at most {}: ask for fewer keys at once",
                           results.size(), bytes, kv::kBatchBytesMax));
}

void EncodeAnswer(GatewayAnswer& answer, v1::GetResponse& response) {
  EncodeOrigin(answer.origin, response);
  EncodeGet(std::get<kv::GetResult>(answer.result), response);
}

void EncodeAnswer(GatewayAnswer& answer, v1::BatchGetResponse& response) {
  EncodeOrigin(answer.origin, response);
  for (kv::GetResult& result : std::get<std::vector<kv::GetResult>>(answer.result)) {
    EncodeGet(result, *response.add_results());
  }
}

void EncodeAnswer(GatewayAnswer& answer, v1::PutResponse& response) {
  EncodeOrigin(answer.origin, response);
  response.set_version(Write(answer).timestamp.value());
}

void EncodeAnswer(GatewayAnswer& answer, v1::DeleteResponse& response) {
  EncodeOrigin(answer.origin, response);
  response.set_existed(Write(answer).affected > 0);
}

void EncodeAnswer(GatewayAnswer& answer, v1::DeleteRangeResponse& response) {
  EncodeOrigin(answer.origin, response);
  response.set_deleted(Write(answer).affected);
}

void EncodeAnswer(GatewayAnswer& answer, v1::CompareAndSetResponse& response) {
  EncodeOrigin(answer.origin, response);
  response.set_version(Write(answer).timestamp.value());
}

void EncodeAnswer(GatewayAnswer& answer, v1::BatchResponse& response) {
  EncodeOrigin(answer.origin, response);
  response.set_version(Write(answer).timestamp.value());
  response.set_deleted(Write(answer).affected);
}

void EncodeAnswer(GatewayAnswer& answer, const ScanToken& scan, v1::ScanResponse& response) {
  EncodeOrigin(answer.origin, response);
  auto& page = std::get<kv::ScanPage>(answer.result);
  EncodeRows(page.rows, *response.mutable_rows());
  if (page.more) response.set_continuation_token(EncodeScanToken(scan, page.resume_key));
}

void EncodeAnswer(GatewayAnswer& answer, v1::HistoryResponse& response) {
  EncodeOrigin(answer.origin, response);
  auto& page = std::get<kv::HistoryPage>(answer.result);
  for (kv::HistoryVersion& version : page.versions) {
    v1::KeyVersion& one = *response.add_versions();
    one.set_timestamp(version.timestamp.value());
    one.set_kind(EncodeKind(version.kind));
    one.set_value(std::move(version.value));
    one.set_transaction_id(version.transaction.value());
    if (version.expires_at_ms != 0) EncodeExpiry(version.expires_at_ms, *one.mutable_expires_at());
    if (!version.superseded) continue;
    v1::Successor& by = *one.mutable_superseded_by();
    by.set_timestamp(version.superseded->timestamp.value());
    by.set_kind(EncodeKind(version.superseded->kind));
    by.set_transaction_id(version.superseded->transaction.value());
  }
  if (page.more) response.set_next_before(page.versions.back().timestamp.value());
  response.set_complete_since(page.complete_since.value());
}

void EncodeAnswer(const AnswerOrigin& origin, const kv::AggregatePage& total,
                  v1::AggregateResponse& response) {
  EncodeOrigin(origin, response);
  response.set_count(total.keys);
  response.set_bytes(total.bytes);
  response.set_sum(total.sum);
  response.set_not_integers(total.not_integers);
}

void EncodeResult(kv::GetResult& result, v1::GetResult& out) {
  EncodeGet(result, out);
  out.set_skipped(result.skipped);
}

void EncodeRows(std::vector<kv::ScanRow>& rows, google::protobuf::RepeatedPtrField<v1::Row>& out) {
  out.Reserve(static_cast<int>(rows.size()));
  for (kv::ScanRow& row : rows) {
    v1::Row& one = *out.Add();
    one.set_key(std::move(row.key));
    one.set_value(std::move(row.value));
    one.set_version(row.version.value());
    if (row.expires_at_ms != 0) EncodeExpiry(row.expires_at_ms, *one.mutable_expires_at());
  }
}

void EncodeError(const Status& status, google::rpc::Status& out) {
  CHECK(!status.ok());
  const ReasonInfo& reason = InfoOf(ReasonOf(status));
  out.set_code(static_cast<int>(status.code()));
  out.set_message(Printable(MessageOf(status)));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason.name));
  info.set_domain("flotilla");
  (*info.mutable_metadata())["retry"] = std::string(RetryName(reason.retry));
  for (const auto& [key, value] : MetadataOf(status)) {
    (*info.mutable_metadata())[key] = Printable(value);
  }
  out.add_details()->PackFrom(info);
}

}  // namespace flotilla
