// Wire: the library's plain requests as flotilla.v1 messages, and answers back. Internal.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/call.h"
#include "client/options.h"

namespace flotilla::client {

std::unique_ptr<Call> GetCall(const std::string& keyspace, std::string key,
                              const ReadOptions& options, Callback<GetResult> done);
std::unique_ptr<Call> BatchGetCall(const std::string& keyspace, std::vector<std::string> keys,
                                   const ReadOptions& options,
                                   Callback<std::vector<GetResult>> done);
std::unique_ptr<Call> PutCall(const std::string& keyspace, std::string key, std::string value,
                              const WriteOptions& options, Callback<PutResult> done);
std::unique_ptr<Call> DeleteCall(const std::string& keyspace, std::string key,
                                 Callback<DeleteResult> done);
std::unique_ptr<Call> DeleteRangeCall(const std::string& keyspace, std::string start,
                                      std::string end, Callback<DeleteRangeResult> done);
// `value` nothing: the key is deleted when the condition holds.
std::unique_ptr<Call> CompareAndSetCall(const std::string& keyspace, std::string key,
                                        Condition condition, std::optional<std::string> value,
                                        const WriteOptions& options,
                                        Callback<CompareAndSetResult> done);
std::unique_ptr<Call> BatchCall(const std::string& keyspace, const WriteBatch& batch,
                                Callback<BatchResult> done);
// One page of at most `rows` rows.
std::unique_ptr<Call> ScanCall(const std::string& keyspace, const ScanOptions& options,
                               std::uint64_t rows, const std::string& token,
                               Callback<ScanPage> done);

// The key that says which shard the request is about: its first one; empty: none is named.
std::string_view RoutingKey(const v1::Request& request);

// Writes id, deadline and, for writes, the sequence numbers into the call's request.
void Stamp(Call& call, std::uint32_t timeout_ms);

// Whether the response is of the request's kind.
bool Fits(const Call& call, const v1::Response& response);

// Null for an error.
const v1::ResponseHeader* HeaderOf(const v1::Response& response);

// All move the values out.
GetResult ToGetResult(v1::GetResult& result);
std::vector<GetResult> ToGetResults(google::protobuf::RepeatedPtrField<v1::GetResult>& results);
std::vector<Row> ToRows(google::protobuf::RepeatedPtrField<v1::Row>& rows);

// Gives the call's outcome, or its decoded response, to its callback.
void RunCallback(Call& call);

}  // namespace flotilla::client
