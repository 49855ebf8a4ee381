// Requests of clients, as every unary handler decodes them; and the tokens of scans.
//
// input: u8 which request | its protobuf

#include "cmd/kvd/api_codec.h"
#include "kv/command.h"
#include "kv/limits.h"
#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

// What was let in is within every limit that the rest of the node relies on.
struct Inspector {
  void operator()(const WriteCall& call) const {
    kv::CommandView command;
    CHECK(kv::DecodeCommand(call.command.view(), command).ok());
    CHECK(kv::ValidateCommand(command).ok());
  }
  void operator()(const GetCall& call) const { ExpectKey(call.key); }
  void operator()(const BatchGetCall& call) const {
    CHECK_LE(call.keys.size(), kv::kBatchOpsMax);
    for (const std::string& key : call.keys) ExpectKey(key);
  }
  void operator()(const ScanCall& call) const {
    CHECK_LE(call.request.limit, kv::kScanRowsMax);
    CHECK_LE(call.request.start.size(), kv::kKeyBytesMax + 1);
    CHECK_LE(call.request.end.size(), kv::kKeyBytesMax + 1);
  }
  void operator()(const AggregateCall& call) const {
    CHECK_LE(call.request.start.size(), kv::kKeyBytesMax + 1);
    CHECK_LE(call.request.end.size(), kv::kKeyBytesMax + 1);
    CHECK_LE(call.request.filter_value.size(), kv::kValueBytesMax);
  }
  void operator()(const HistoryCall& call) const {
    ExpectKey(call.request.key);
    CHECK_LE(call.request.limit, kv::kHistoryVersionsMax);
  }
  void operator()(const TxnRecordCall&) const { CHECK(false) << "nodes alone ask for this"; }
  void operator()(const UnlockCall&) const { CHECK(false) << "nodes alone ask for this"; }

  static void ExpectKey(const std::string& key) {
    CHECK(!key.empty());
    CHECK_LE(key.size(), kv::kKeyBytesMax);
  }
};

struct NoGateway final : Gateway {
  void Submit(std::vector<GatewayRequest>, std::shared_ptr<AnswerSink>) override {}
};

template <class Request>
void FuzzRequest(std::string_view bytes) {
  Request request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  GatewayRequest call;
  const NoGateway gateway;
  KeyspaceNames names(&gateway);
  const Status status = DecodeRequest(request, names, call);
  if (status.ok()) {
    std::visit(Inspector(), call.call);
    return;
  }
  google::rpc::Status error;
  EncodeError(status, error);
  CHECK(!error.message().empty());
  CHECK_EQ(error.details_size(), 1);
}

// A scan, and any bytes as its token.
void FuzzToken(std::string_view token) {
  const ScanToken scan{.start = "a", .end = "z", .reverse = false};
  const auto resume = DecodeScanToken(token, scan);
  if (resume.ok()) CHECK(EncodeScanToken(scan, *resume) == token);
  const std::string own = EncodeScanToken(scan, token);
  const auto back = DecodeScanToken(own, scan);
  CHECK(back.ok() && *back == token);
  const std::string end = PrefixEnd(token);
  CHECK(end.empty() || end > token);
}

template <class Request>
std::string Seed(char which, const Request& request) {
  return std::string(1, which) + request.SerializeAsString();
}

}  // namespace

void Fuzz(std::string_view input) {
  if (input.empty()) return;
  const std::string_view bytes = input.substr(1);
  switch (input[0]) {
    case 0:
      return FuzzRequest<v1::GetRequest>(bytes);
    case 1:
      return FuzzRequest<v1::BatchGetRequest>(bytes);
    case 2:
      return FuzzRequest<v1::PutRequest>(bytes);
    case 3:
      return FuzzRequest<v1::DeleteRequest>(bytes);
    case 4:
      return FuzzRequest<v1::DeleteRangeRequest>(bytes);
    case 5:
      return FuzzRequest<v1::CompareAndSetRequest>(bytes);
    case 6:
      return FuzzRequest<v1::BatchRequest>(bytes);
    case 7:
      return FuzzRequest<v1::ScanRequest>(bytes);
    case 8:
      return FuzzToken(bytes);
    case 9:
      return FuzzRequest<v1::AggregateRequest>(bytes);
    case 10:
      return FuzzRequest<v1::HistoryRequest>(bytes);
    default:
      return;
  }
}

std::vector<std::string> Seeds() {
  v1::GetRequest get;
  get.set_key("k");
  v1::BatchGetRequest batch_get;
  batch_get.add_keys("k");
  batch_get.set_consistency(v1::CONSISTENCY_EVENTUAL);
  v1::PutRequest put;
  put.mutable_header()->set_client_id(7);
  put.mutable_header()->set_sequence(2);
  put.set_key("k");
  put.set_value("v");
  put.mutable_ttl()->set_seconds(3);
  v1::DeleteRequest erase;
  erase.set_key("k");
  v1::DeleteRangeRequest erase_range;
  erase_range.set_start("a");
  erase_range.set_end("b");
  v1::CompareAndSetRequest cas;
  cas.set_key("k");
  cas.mutable_condition()->set_version(5);
  cas.set_value("v");
  v1::BatchRequest batch;
  batch.add_operations()->mutable_put()->set_key("k");
  batch.mutable_operations(0)->mutable_put()->mutable_condition()->set_absent(true);
  batch.add_operations()->mutable_delete_()->set_key("d");
  batch.add_operations()->mutable_delete_range()->set_start("x");
  v1::ScanRequest scan;
  scan.set_start("a");
  scan.set_end("z");
  scan.set_page_size(10);
  scan.set_continuation_token(EncodeScanToken({.start = "a", .end = "z"}, "k"));
  v1::ScanRequest prefix;
  prefix.set_prefix("p");
  prefix.set_reverse(true);
  v1::AggregateRequest sum;
  sum.set_prefix("p");
  sum.set_value_contains("1");
  sum.set_add_up(true);
  v1::AggregateRequest count;
  count.set_start("a");
  count.set_end("z");
  count.set_consistency(v1::CONSISTENCY_EVENTUAL);
  v1::HistoryRequest history;
  history.set_key("k");
  history.set_before(1ull << 50);
  history.set_limit(7);
  return {Seed(10, history),    Seed(0, get), Seed(1, batch_get), Seed(2, put),  Seed(3, erase),
          Seed(4, erase_range), Seed(5, cas), Seed(6, batch),     Seed(7, scan), Seed(7, prefix),
          "\x08token",          Seed(9, sum), Seed(9, count)};
}

}  // namespace flotilla::fuzz
