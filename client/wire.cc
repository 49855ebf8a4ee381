#include "client/wire.h"

#include <utility>

#include "base/check.h"

namespace flotilla::client {
namespace {

using Kind = v1::Request::RequestCase;

// The header of whichever request it is.
v1::RequestHeader* MutableHeader(v1::Request& request) {
  switch (request.request_case()) {
    case Kind::kGet:
      return request.mutable_get()->mutable_header();
    case Kind::kBatchGet:
      return request.mutable_batch_get()->mutable_header();
    case Kind::kPut:
      return request.mutable_put()->mutable_header();
    case Kind::kDelete:
      return request.mutable_delete_()->mutable_header();
    case Kind::kDeleteRange:
      return request.mutable_delete_range()->mutable_header();
    case Kind::kCompareAndSet:
      return request.mutable_compare_and_set()->mutable_header();
    case Kind::kBatch:
      return request.mutable_batch()->mutable_header();
    case Kind::kScan:
      return request.mutable_scan()->mutable_header();
    case Kind::REQUEST_NOT_SET:
      break;
  }
  CHECK(false) << "a call without a request";
  return nullptr;
}

std::unique_ptr<Call> NewWrite(AnyCallback done) {
  auto call = std::make_unique<Call>();
  call->callback = std::move(done);
  call->is_write = true;
  return call;
}

std::unique_ptr<Call> NewRead(AnyCallback done, const ReadOptions& options) {
  auto call = std::make_unique<Call>();
  call->callback = std::move(done);
  call->any_replica = options.consistency == ReadConsistency::kEventual;
  return call;
}

template <class Request>
void SetConsistency(const ReadOptions& options, Request& request) {
  switch (options.consistency) {
    case ReadConsistency::kLinearizable:
      request.set_consistency(v1::CONSISTENCY_LINEARIZABLE);
      break;
    case ReadConsistency::kEventual:
      request.set_consistency(v1::CONSISTENCY_EVENTUAL);
      break;
    case ReadConsistency::kSnapshot:
      request.set_consistency(v1::CONSISTENCY_SNAPSHOT);
      request.set_read_timestamp(options.as_of.value());
      break;
  }
}

std::unique_ptr<Call> Ready(std::unique_ptr<Call> call, const std::string& keyspace) {
  if (!keyspace.empty()) MutableHeader(call->request)->set_keyspace(keyspace);
  // Room for id, timeout and sequence numbers, which come later.
  call->bytes = call->request.ByteSizeLong() + 48;
  return call;
}

void SetDuration(std::chrono::milliseconds from, google::protobuf::Duration* to) {
  to->set_seconds(from.count() / 1000);
  to->set_nanos(static_cast<std::int32_t>(from.count() % 1000 * 1'000'000));
}

void SetCondition(const Condition& from, v1::Condition* to) {
  switch (from.kind) {
    case Condition::Kind::kNone:
      break;
    case Condition::Kind::kVersionIs:
      to->set_version(from.version.value());
      break;
    case Condition::Kind::kValueIs:
      to->set_value(from.value);
      break;
    case Condition::Kind::kAbsent:
      to->set_absent(true);
      break;
    case Condition::Kind::kExists:
      to->set_exists(true);
      break;
  }
}

// Get results and rows have the same shape: found or not, value, version, expiry.
template <class Message>
Expiry ExpiryOf(const Message& message) {
  if (!message.has_expires_at()) return std::nullopt;
  return std::chrono::seconds(message.expires_at().seconds()) +
         std::chrono::milliseconds(message.expires_at().nanos() / 1'000'000);
}

template <class Message>
GetResult ResultOf(Message& message) {
  GetResult result;
  result.found = message.found();
  result.value = std::move(*message.mutable_value());
  result.version = Timestamp(message.version());
  result.expires_at = ExpiryOf(message);
  return result;
}

void Decode(v1::Response& response, GetResult& result) {
  result = ResultOf(*response.mutable_get());
}

void Decode(v1::Response& response, std::vector<GetResult>& results) {
  results = ToGetResults(*response.mutable_batch_get()->mutable_results());
}

void Decode(v1::Response& response, PutResult& result) {
  result.version = Timestamp(response.put().version());
}

void Decode(v1::Response& response, DeleteResult& result) {
  result.existed = response.delete_().existed();
}

void Decode(v1::Response& response, DeleteRangeResult& result) {
  result.deleted = response.delete_range().deleted();
}

void Decode(v1::Response& response, CompareAndSetResult& result) {
  result.version = Timestamp(response.compare_and_set().version());
}

void Decode(v1::Response& response, BatchResult& result) {
  result.version = Timestamp(response.batch().version());
  result.deleted = response.batch().deleted();
}

void Decode(v1::Response& response, ScanPage& page) {
  v1::ScanResponse& scan = *response.mutable_scan();
  page.rows = ToRows(*scan.mutable_rows());
  page.continuation_token = std::move(*scan.mutable_continuation_token());
}

template <class T>
void Run(Callback<T>& callback, Call& call) {
  if (!call.outcome.ok()) {
    callback(StatusOr<T>(call.outcome));
    return;
  }
  T result{};
  Decode(*call.response, result);
  callback(StatusOr<T>(std::move(result)));
}

}  // namespace

std::unique_ptr<Call> GetCall(const std::string& keyspace, std::string key,
                              const ReadOptions& options, Callback<GetResult> done) {
  auto call = NewRead(std::move(done), options);
  v1::GetRequest& get = *call->request.mutable_get();
  get.set_key(std::move(key));
  SetConsistency(options, get);
  return Ready(std::move(call), keyspace);
}

std::unique_ptr<Call> BatchGetCall(const std::string& keyspace, std::vector<std::string> keys,
                                   const ReadOptions& options,
                                   Callback<std::vector<GetResult>> done) {
  auto call = NewRead(std::move(done), options);
  v1::BatchGetRequest& get = *call->request.mutable_batch_get();
  for (std::string& key : keys) get.add_keys(std::move(key));
  SetConsistency(options, get);
  return Ready(std::move(call), keyspace);
}

std::unique_ptr<Call> PutCall(const std::string& keyspace, std::string key, std::string value,
                              const WriteOptions& options, Callback<PutResult> done) {
  auto call = NewWrite(std::move(done));
  v1::PutRequest& put = *call->request.mutable_put();
  put.set_key(std::move(key));
  put.set_value(std::move(value));
  if (options.ttl.count() != 0) SetDuration(options.ttl, put.mutable_ttl());
  return Ready(std::move(call), keyspace);
}

std::unique_ptr<Call> DeleteCall(const std::string& keyspace, std::string key,
                                 Callback<DeleteResult> done) {
  auto call = NewWrite(std::move(done));
  call->request.mutable_delete_()->set_key(std::move(key));
  return Ready(std::move(call), keyspace);
}

std::unique_ptr<Call> DeleteRangeCall(const std::string& keyspace, std::string start,
                                      std::string end, Callback<DeleteRangeResult> done) {
  auto call = NewWrite(std::move(done));
  v1::DeleteRangeRequest& range = *call->request.mutable_delete_range();
  range.set_start(std::move(start));
  range.set_end(std::move(end));
  return Ready(std::move(call), keyspace);
}

std::unique_ptr<Call> CompareAndSetCall(const std::string& keyspace, std::string key,
                                        Condition condition, std::optional<std::string> value,
                                        const WriteOptions& options,
                                        Callback<CompareAndSetResult> done) {
  auto call = NewWrite(std::move(done));
  v1::CompareAndSetRequest& cas = *call->request.mutable_compare_and_set();
  cas.set_key(std::move(key));
  SetCondition(condition, cas.mutable_condition());
  if (value) cas.set_value(std::move(*value));
  if (options.ttl.count() != 0) SetDuration(options.ttl, cas.mutable_ttl());
  return Ready(std::move(call), keyspace);
}

std::unique_ptr<Call> BatchCall(const std::string& keyspace, const WriteBatch& batch,
                                Callback<BatchResult> done) {
  auto call = NewWrite(std::move(done));
  v1::BatchRequest& request = *call->request.mutable_batch();
  for (const WriteBatch::Operation& from : batch.operations()) {
    v1::WriteOperation& to = *request.add_operations();
    switch (from.kind) {
      case WriteBatch::Kind::kPut:
        to.mutable_put()->set_key(from.key);
        to.mutable_put()->set_value(from.value);
        if (from.ttl.count() != 0) SetDuration(from.ttl, to.mutable_put()->mutable_ttl());
        if (from.condition.kind != Condition::Kind::kNone) {
          SetCondition(from.condition, to.mutable_put()->mutable_condition());
        }
        break;
      case WriteBatch::Kind::kDelete:
        to.mutable_delete_()->set_key(from.key);
        if (from.condition.kind != Condition::Kind::kNone) {
          SetCondition(from.condition, to.mutable_delete_()->mutable_condition());
        }
        break;
      case WriteBatch::Kind::kDeleteRange:
        to.mutable_delete_range()->set_start(from.key);
        to.mutable_delete_range()->set_end(from.value);
        break;
    }
  }
  return Ready(std::move(call), keyspace);
}

std::unique_ptr<Call> ScanCall(const std::string& keyspace, const ScanOptions& options,
                               std::uint64_t rows, const std::string& token,
                               Callback<ScanPage> done) {
  auto call = NewRead(std::move(done), options.read);
  v1::ScanRequest& scan = *call->request.mutable_scan();
  scan.set_prefix(options.prefix);
  scan.set_start(options.start);
  scan.set_end(options.end);
  scan.set_reverse(options.reverse);
  scan.set_limit(rows);
  scan.set_page_size(static_cast<std::uint32_t>(rows));
  scan.set_keys_only(options.keys_only);
  scan.set_continuation_token(token);
  SetConsistency(options.read, scan);
  return Ready(std::move(call), keyspace);
}

std::string_view RoutingKey(const v1::Request& request) {
  switch (request.request_case()) {
    case Kind::kGet:
      return request.get().key();
    case Kind::kBatchGet:
      return request.batch_get().keys().empty() ? std::string_view() : request.batch_get().keys(0);
    case Kind::kPut:
      return request.put().key();
    case Kind::kDelete:
      return request.delete_().key();
    case Kind::kDeleteRange:
      return request.delete_range().start();
    case Kind::kCompareAndSet:
      return request.compare_and_set().key();
    case Kind::kBatch: {
      if (request.batch().operations().empty()) return {};
      const v1::WriteOperation& first = request.batch().operations(0);
      if (first.has_put()) return first.put().key();
      if (first.has_delete_()) return first.delete_().key();
      return first.delete_range().start();
    }
    case Kind::kScan:
      return request.scan().prefix().empty() ? request.scan().start() : request.scan().prefix();
    case Kind::REQUEST_NOT_SET:
      break;
  }
  return {};
}

void Stamp(Call& call, std::uint32_t timeout_ms) {
  call.request.set_id(call.id);
  call.request.set_timeout_ms(timeout_ms);
  if (!call.is_write) return;
  v1::RequestHeader* header = MutableHeader(call.request);
  header->set_client_id(call.session->client_id);
  header->set_sequence(call.sequence);
  header->set_since(call.session->since.value());
  header->set_acknowledged_below(call.session->sequences.LowestUnanswered());
}

bool Fits(const Call& call, const v1::Response& response) {
  // Both oneofs list the kinds in one order; `get` is number 3 in both.
  static_assert(static_cast<int>(v1::Request::kGet) == static_cast<int>(v1::Response::kGet) &&
                static_cast<int>(v1::Request::kScan) == static_cast<int>(v1::Response::kScan));
  return static_cast<int>(call.request.request_case()) ==
         static_cast<int>(response.response_case());
}

const v1::ResponseHeader* HeaderOf(const v1::Response& response) {
  switch (response.response_case()) {
    case v1::Response::kGet:
      return &response.get().header();
    case v1::Response::kBatchGet:
      return &response.batch_get().header();
    case v1::Response::kPut:
      return &response.put().header();
    case v1::Response::kDelete:
      return &response.delete_().header();
    case v1::Response::kDeleteRange:
      return &response.delete_range().header();
    case v1::Response::kCompareAndSet:
      return &response.compare_and_set().header();
    case v1::Response::kBatch:
      return &response.batch().header();
    case v1::Response::kScan:
      return &response.scan().header();
    case v1::Response::kError:
    case v1::Response::RESPONSE_NOT_SET:
      break;
  }
  return nullptr;
}

GetResult ToGetResult(v1::GetResult& result) {
  GetResult out = ResultOf(result);
  out.skipped = result.skipped();
  return out;
}

std::vector<GetResult> ToGetResults(google::protobuf::RepeatedPtrField<v1::GetResult>& results) {
  std::vector<GetResult> out;
  out.reserve(static_cast<std::size_t>(results.size()));
  for (v1::GetResult& one : results) out.push_back(ToGetResult(one));
  return out;
}

std::vector<Row> ToRows(google::protobuf::RepeatedPtrField<v1::Row>& rows) {
  std::vector<Row> out;
  out.reserve(static_cast<std::size_t>(rows.size()));
  for (v1::Row& row : rows) {
    out.push_back({std::move(*row.mutable_key()), std::move(*row.mutable_value()),
                   Timestamp(row.version()), ExpiryOf(row)});
  }
  return out;
}

void RunCallback(Call& call) {
  std::visit([&](auto& callback) { Run(callback, call); }, call.callback);
}

}  // namespace flotilla::client
