#include <utility>

#include "base/check.h"
#include "cmd/kvd/api_codec.h"
#include "google/rpc/error_details.pb.h"

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

const kv::WriteResult& Write(const GatewayAnswer& answer) {
  return std::get<kv::WriteResult>(answer.result);
}

}  // namespace

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
  for (kv::ScanRow& row : page.rows) {
    v1::Row& out = *response.add_rows();
    out.set_key(std::move(row.key));
    out.set_value(std::move(row.value));
    out.set_version(row.version.value());
    if (row.expires_at_ms != 0) EncodeExpiry(row.expires_at_ms, *out.mutable_expires_at());
  }
  if (page.more) response.set_continuation_token(EncodeScanToken(scan, page.resume_key));
}

void EncodeError(const Status& status, google::rpc::Status& out) {
  CHECK(!status.ok());
  const ReasonInfo& reason = InfoOf(ReasonOf(status));
  out.set_code(static_cast<int>(status.code()));
  out.set_message(std::string(MessageOf(status)));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason.name));
  info.set_domain("flotilla");
  (*info.mutable_metadata())["retry"] = std::string(RetryName(reason.retry));
  for (const auto& [key, value] : MetadataOf(status)) (*info.mutable_metadata())[key] = value;
  out.add_details()->PackFrom(info);
}

}  // namespace flotilla
