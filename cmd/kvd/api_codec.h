// Between flotilla.v1 and the gateway's plain structs: decoding, limits, answers, errors.
//
// No gRPC here: the simulator's clients come this way, too.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cmd/kvd/keyspace_names.h"
#include "cmd/kvd/scan_token.h"
#include "flotilla/v1/kv.pb.h"
#include "google/rpc/status.pb.h"
#include "shard/gateway.h"

namespace flotilla {

// Each checks limits and shape, and fills `call`. Errors: KEYSPACE_NOT_FOUND, before anything else
// is looked at or touched; INVALID_ARGUMENT reasons. Then the request may be left without its keys
// and values.
Status DecodeRequest(v1::GetRequest& request, KeyspaceNames& names, GatewayRequest& call);
Status DecodeRequest(v1::BatchGetRequest& request, KeyspaceNames& names, GatewayRequest& call);
Status DecodeRequest(v1::PutRequest& request, KeyspaceNames& names, GatewayRequest& call);
Status DecodeRequest(v1::DeleteRequest& request, KeyspaceNames& names, GatewayRequest& call);
Status DecodeRequest(v1::DeleteRangeRequest& request, KeyspaceNames& names, GatewayRequest& call);
Status DecodeRequest(v1::CompareAndSetRequest& request, KeyspaceNames& names, GatewayRequest& call);
Status DecodeRequest(v1::BatchRequest& request, KeyspaceNames& names, GatewayRequest& call);
// One page: of at most `page_size` rows, and of at most `limit` when that is smaller.
Status DecodeRequest(v1::ScanRequest& request, KeyspaceNames& names, GatewayRequest& call);

// Its first page.
Status DecodeRequest(v1::AggregateRequest& request, KeyspaceNames& names, GatewayRequest& call);

Status DecodeRequest(v1::HistoryRequest& request, KeyspaceNames& names, GatewayRequest& call);

// What the tokens of a decoded scan are bound to.
ScanToken TokenOf(const v1::ScanRequest& request, kv::KeyspaceId keyspace);

// Whether an answer that is OK fits one message: BATCH_TOO_LARGE when the values of a BatchGet do
// not (its keys fit, but how large their values are nobody could know).
Status CheckAnswer(const GatewayAnswer& answer);
Status CheckResults(const std::vector<kv::GetResult>& results);

// The answer must be OK and of the request's kind.
void EncodeAnswer(GatewayAnswer& answer, v1::GetResponse& response);
void EncodeAnswer(GatewayAnswer& answer, v1::BatchGetResponse& response);
void EncodeAnswer(GatewayAnswer& answer, v1::PutResponse& response);
void EncodeAnswer(GatewayAnswer& answer, v1::DeleteResponse& response);
void EncodeAnswer(GatewayAnswer& answer, v1::DeleteRangeResponse& response);
void EncodeAnswer(GatewayAnswer& answer, v1::CompareAndSetResponse& response);
void EncodeAnswer(GatewayAnswer& answer, v1::BatchResponse& response);
// `scan` is the request that was decoded: the token continues it.
void EncodeAnswer(GatewayAnswer& answer, const ScanToken& scan, v1::ScanResponse& response);

void EncodeAnswer(GatewayAnswer& answer, v1::HistoryResponse& response);

// `total`: of all pages.
void EncodeAnswer(const AnswerOrigin& origin, const kv::AggregatePage& total,
                  v1::AggregateResponse& response);

// Both move the values out.
void EncodeResult(kv::GetResult& result, v1::GetResult& out);
void EncodeRows(std::vector<kv::ScanRow>& rows, google::protobuf::RepeatedPtrField<v1::Row>& out);

// With google.rpc.ErrorInfo: domain "flotilla", the reason, the metadata and the retry class.
void EncodeError(const Status& status, google::rpc::Status& out);

}  // namespace flotilla
