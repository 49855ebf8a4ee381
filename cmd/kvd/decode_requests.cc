#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "cmd/kvd/api_codec.h"
#include "cmd/kvd/decode_parts.h"
#include "kv/command.h"
#include "kv/limits.h"

namespace flotilla {
namespace {

template <class Request>
Status DecodeHead(const Request& request, KeyspaceNames& names, kv::CommandView& command) {
  const v1::RequestHeader& header = request.header();
  ASSIGN_OR_RETURN(command.keyspace, names.Find(header.keyspace()));
  command.session = {.client = ClientId(header.client_id()),
                     .sequence = header.sequence(),
                     .acknowledged_below = header.acknowledged_below(),
                     .since = Timestamp(header.since())};
  return absl::OkStatus();
}

// And the timestamp of a snapshot.
template <class Request>
Status DecodeConsistency(const Request& request, kv::Consistency& out, Timestamp& as_of) {
  const bool snapshot = request.consistency() == v1::CONSISTENCY_SNAPSHOT;
  if (snapshot != (request.read_timestamp() != 0)) {
    return Error(Reason::kBadRequest,
                 "SNAPSHOT and read_timestamp belong together: name both, or neither");
  }
  as_of = Timestamp(request.read_timestamp());
  switch (request.consistency()) {
    case v1::CONSISTENCY_SNAPSHOT:
    case v1::CONSISTENCY_UNSPECIFIED:
    case v1::CONSISTENCY_LINEARIZABLE:
      out = kv::Consistency::kLinearizable;
      return absl::OkStatus();
    case v1::CONSISTENCY_EVENTUAL:
      out = kv::Consistency::kEventual;
      return absl::OkStatus();
    default:
      return Error(
          Reason::kConsistencyUnavailable,
          "this server does not know the consistency asked for: use LINEARIZABLE, EVENTUAL "
          "or SNAPSHOT");
  }
}

Status Finish(const kv::CommandView& command, GatewayRequest& call) {
  RETURN_IF_ERROR(kv::ValidateCommand(command));
  call.call = WriteCall{.command = Bytes(kv::EncodeCommand(command))};
  return absl::OkStatus();
}

template <class Operation>
Status DecodePut(const Operation& put, kv::WriteOp& op) {
  op.kind = kv::WriteKind::kPut;
  op.key = put.key();
  op.value = put.value();
  if (put.has_ttl()) RETURN_IF_ERROR(DecodeTtl(put.ttl(), op));
  return absl::OkStatus();
}

Status DecodeOperation(const v1::WriteOperation& operation, kv::WriteOp& op) {
  switch (operation.operation_case()) {
    case v1::WriteOperation::kPut:
      RETURN_IF_ERROR(DecodePut(operation.put(), op));
      return operation.put().has_condition() ? DecodeCondition(operation.put().condition(), op)
                                             : absl::OkStatus();
    case v1::WriteOperation::kDelete:
      op.kind = kv::WriteKind::kDelete;
      op.key = operation.delete_().key();
      return operation.delete_().has_condition()
                 ? DecodeCondition(operation.delete_().condition(), op)
                 : absl::OkStatus();
    case v1::WriteOperation::kDeleteRange:
      op.kind = kv::WriteKind::kDeleteRange;
      op.key = operation.delete_range().start();
      op.end = operation.delete_range().end();
      return absl::OkStatus();
    case v1::WriteOperation::OPERATION_NOT_SET:
      break;
  }
  return Error(Reason::kBadRequest,
               "an operation of the batch is empty: put, delete or delete_range");
}

Status DecodeFilter(v1::AggregateRequest& request, kv::AggregateRequest& out) {
  switch (request.filter_case()) {
    case v1::AggregateRequest::FILTER_NOT_SET:
      return absl::OkStatus();
    case v1::AggregateRequest::kValueIs:
      out.filter = kv::ValueFilter::kEquals;
      out.filter_value = std::move(*request.mutable_value_is());
      break;
    case v1::AggregateRequest::kValueContains:
      out.filter = kv::ValueFilter::kContains;
      out.filter_value = std::move(*request.mutable_value_contains());
      break;
    case v1::AggregateRequest::kValuePrefix:
      out.filter = kv::ValueFilter::kBeginsWith;
      out.filter_value = std::move(*request.mutable_value_prefix());
      break;
  }
  if (out.filter_value.size() <= kv::kValueBytesMax) return absl::OkStatus();
  return Error(Reason::kValueTooLarge,
               fmt::format("the filter has {} bytes; at most {} are allowed",
                           out.filter_value.size(), kv::kValueBytesMax));
}

}  // namespace

ScanToken TokenOf(const v1::ScanRequest& request, kv::KeyspaceId keyspace) {
  return {.keyspace = keyspace,
          .start = request.start(),
          .end = request.end(),
          .reverse = request.reverse(),
          .as_of = Timestamp(request.read_timestamp())};
}

Status DecodeRequest(v1::GetRequest& request, KeyspaceNames& names, GatewayRequest& call) {
  GetCall get;
  ASSIGN_OR_RETURN(get.keyspace, names.Find(request.header().keyspace()));
  RETURN_IF_ERROR(CheckReadKey(request.key()));
  RETURN_IF_ERROR(DecodeConsistency(request, get.consistency, get.as_of));
  get.key = std::move(*request.mutable_key());
  call.call = std::move(get);
  return absl::OkStatus();
}

Status DecodeRequest(v1::HistoryRequest& request, KeyspaceNames& names, GatewayRequest& call) {
  HistoryCall history;
  ASSIGN_OR_RETURN(history.request.keyspace, names.Find(request.header().keyspace()));
  RETURN_IF_ERROR(CheckReadKey(request.key()));
  if (request.consistency() == v1::CONSISTENCY_EVENTUAL) {
    history.consistency = kv::Consistency::kEventual;
  } else if (request.consistency() != v1::CONSISTENCY_UNSPECIFIED &&
             request.consistency() != v1::CONSISTENCY_LINEARIZABLE) {
    return Error(Reason::kConsistencyUnavailable,
                 "a history is read as it is now: use LINEARIZABLE or EVENTUAL");
  }
  if (request.limit() > kv::kHistoryVersionsMax) {
    return Error(Reason::kBadRequest,
                 fmt::format("one answer has at most {} versions, and {} are asked for: go on with "
                             "next_before",
                             kv::kHistoryVersionsMax, request.limit()));
  }
  history.request.key = std::move(*request.mutable_key());
  history.request.before = Timestamp(request.before());
  history.request.limit = request.limit();
  call.call = std::move(history);
  return absl::OkStatus();
}

Status DecodeRequest(v1::BatchGetRequest& request, KeyspaceNames& names, GatewayRequest& call) {
  BatchGetCall get;
  ASSIGN_OR_RETURN(get.keyspace, names.Find(request.header().keyspace()));
  RETURN_IF_ERROR(CheckReadKeys(request.keys()));
  RETURN_IF_ERROR(DecodeConsistency(request, get.consistency, get.as_of));
  get.keys.assign(std::make_move_iterator(request.mutable_keys()->begin()),
                  std::make_move_iterator(request.mutable_keys()->end()));
  call.call = std::move(get);
  return absl::OkStatus();
}

Status DecodeRequest(v1::PutRequest& request, KeyspaceNames& names, GatewayRequest& call) {
  kv::CommandView command;
  RETURN_IF_ERROR(DecodeHead(request, names, command));
  RETURN_IF_ERROR(DecodePut(request, command.ops.emplace_back()));
  return Finish(command, call);
}

Status DecodeRequest(v1::DeleteRequest& request, KeyspaceNames& names, GatewayRequest& call) {
  kv::CommandView command;
  RETURN_IF_ERROR(DecodeHead(request, names, command));
  kv::WriteOp& op = command.ops.emplace_back();
  op.kind = kv::WriteKind::kDelete;
  op.key = request.key();
  return Finish(command, call);
}

Status DecodeRequest(v1::DeleteRangeRequest& request, KeyspaceNames& names, GatewayRequest& call) {
  kv::CommandView command;
  RETURN_IF_ERROR(DecodeHead(request, names, command));
  kv::WriteOp& op = command.ops.emplace_back();
  op.kind = kv::WriteKind::kDeleteRange;
  op.key = request.start();
  op.end = request.end();
  return Finish(command, call);
}

Status DecodeRequest(v1::CompareAndSetRequest& request, KeyspaceNames& names,
                     GatewayRequest& call) {
  kv::CommandView command;
  RETURN_IF_ERROR(DecodeHead(request, names, command));
  kv::WriteOp& op = command.ops.emplace_back();
  op.key = request.key();
  if (request.has_value()) {
    op.kind = kv::WriteKind::kPut;
    op.value = request.value();
    if (request.has_ttl()) RETURN_IF_ERROR(DecodeTtl(request.ttl(), op));
  } else {
    op.kind = kv::WriteKind::kDelete;
    if (request.has_ttl()) {
      return Error(Reason::kBadRequest, "a time to live needs a value: without one it is a delete");
    }
  }
  RETURN_IF_ERROR(DecodeCondition(request.condition(), op));
  return Finish(command, call);
}

Status DecodeRequest(v1::BatchRequest& request, KeyspaceNames& names, GatewayRequest& call) {
  kv::CommandView command;
  RETURN_IF_ERROR(DecodeHead(request, names, command));
  command.ops.reserve(static_cast<std::size_t>(request.operations_size()));
  for (const v1::WriteOperation& operation : request.operations()) {
    RETURN_IF_ERROR(DecodeOperation(operation, command.ops.emplace_back()));
  }
  return Finish(command, call);
}

Status DecodeRequest(v1::ScanRequest& request, KeyspaceNames& names, GatewayRequest& call) {
  ScanCall scan;
  ASSIGN_OR_RETURN(scan.request.keyspace, names.Find(request.header().keyspace()));
  RETURN_IF_ERROR(DecodeBounds(request));
  RETURN_IF_ERROR(DecodeConsistency(request, scan.consistency, scan.request.as_of));
  // The smaller of the two, where 0 says nothing.
  std::uint64_t rows = request.page_size() == 0 ? kv::kScanRowsDefault : request.page_size();
  if (request.limit() != 0) rows = std::min(rows, request.limit());
  RETURN_IF_ERROR(
      DecodeRange(request, rows, TokenOf(request, scan.request.keyspace), scan.request));
  call.call = std::move(scan);
  return absl::OkStatus();
}

Status DecodeRequest(v1::AggregateRequest& request, KeyspaceNames& names, GatewayRequest& call) {
  AggregateCall aggregate;
  ASSIGN_OR_RETURN(aggregate.request.keyspace, names.Find(request.header().keyspace()));
  RETURN_IF_ERROR(DecodeBounds(request));
  RETURN_IF_ERROR(DecodeConsistency(request, aggregate.consistency, aggregate.request.as_of));
  RETURN_IF_ERROR(DecodeFilter(request, aggregate.request));
  aggregate.request.start = request.start();
  aggregate.request.end = request.end();
  aggregate.request.sum = request.add_up();
  call.call = std::move(aggregate);
  return absl::OkStatus();
}

}  // namespace flotilla
