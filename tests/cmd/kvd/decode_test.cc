// Requests of flotilla.v1 as plain structs: every kind, every limit at its edge, every refusal.
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "cmd/kvd/api_codec.h"
#include "kv/command.h"
#include "kv/limits.h"
#include "tests/cmd/kvd/fake_gateway.h"

namespace flotilla {
namespace {

const std::string kLongKey(kv::kKeyBytesMax, 'k');
const std::string kLongValue(kv::kValueBytesMax, 'v');

template <class Request>
Request Parse(const std::string& text) {
  Request request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

// By a node that knows `default` and `other`.
template <class Request>
Status DecodeIn(Request& request, GatewayRequest& call) {
  FakeGateway gateway;
  gateway.AddKeyspace("other", 7);
  KeyspaceNames names(&gateway);
  return DecodeRequest(request, names, call);
}

template <class Request>
Reason Decode(Request request) {
  GatewayRequest call;
  return ReasonOf(DecodeIn(request, call));
}

template <class Request>
Reason DecodeText(const std::string& text) {
  return Decode(Parse<Request>(text));
}

// A decoded write; keeps the bytes that it views.
struct Write {
  Bytes bytes;
  kv::CommandView command;

  const kv::WriteOp& op(std::size_t i = 0) const { return command.ops.at(i); }
};

template <class Request>
Write DecodeWrite(const std::string& text) {
  auto request = Parse<Request>(text);
  GatewayRequest call;
  const Status status = DecodeIn(request, call);
  EXPECT_TRUE(status.ok()) << status;
  Write write;
  write.bytes = std::get<WriteCall>(call.call).command;
  EXPECT_TRUE(kv::DecodeCommand(write.bytes.view(), write.command).ok());
  return write;
}

TEST(DecodeRequest, Get) {
  auto request = Parse<v1::GetRequest>(R"(key: "k\000y" consistency: CONSISTENCY_EVENTUAL)");
  GatewayRequest call;
  ASSERT_TRUE(DecodeIn(request, call).ok());
  const auto& get = std::get<GetCall>(call.call);
  EXPECT_EQ(get.key, std::string("k\0y", 3));
  EXPECT_EQ(get.consistency, kv::Consistency::kEventual);
  EXPECT_EQ(get.keyspace, kv::kDefaultKeyspace);
}

TEST(DecodeRequest, ASnapshotHasATimestamp) {
  auto request =
      Parse<v1::GetRequest>("key: 'k' consistency: CONSISTENCY_SNAPSHOT read_timestamp: 7");
  GatewayRequest call;
  ASSERT_TRUE(DecodeIn(request, call).ok());
  EXPECT_EQ(std::get<GetCall>(call.call).as_of, Timestamp(7));
  auto scan = Parse<v1::ScanRequest>("consistency: CONSISTENCY_SNAPSHOT read_timestamp: 8");
  ASSERT_TRUE(DecodeIn(scan, call).ok());
  EXPECT_EQ(std::get<ScanCall>(call.call).request.as_of, Timestamp(8));
  auto count = Parse<v1::AggregateRequest>("consistency: CONSISTENCY_SNAPSHOT read_timestamp: 9");
  ASSERT_TRUE(DecodeIn(count, call).ok());
  EXPECT_EQ(std::get<AggregateCall>(call.call).request.as_of, Timestamp(9));
  for (const char* text : {"key: 'k' consistency: CONSISTENCY_SNAPSHOT",
                           "key: 'k' consistency: CONSISTENCY_EVENTUAL read_timestamp: 7",
                           "key: 'k' read_timestamp: 7"}) {
    EXPECT_EQ(DecodeText<v1::GetRequest>(text), Reason::kBadRequest) << text;
  }
}

TEST(DecodeRequest, AHistoryIsReadAsItIsNow) {
  auto request = Parse<v1::HistoryRequest>("key: 'k' before: 7 limit: 1000");
  GatewayRequest call;
  ASSERT_TRUE(DecodeIn(request, call).ok());
  const kv::HistoryRequest& history = std::get<HistoryCall>(call.call).request;
  EXPECT_EQ(history, (kv::HistoryRequest{.key = "k", .before = Timestamp(7), .limit = 1000}));
  EXPECT_EQ(DecodeText<v1::HistoryRequest>(""), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::HistoryRequest>("key: 'k' limit: 1001"), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::HistoryRequest>("key: 'k' consistency: CONSISTENCY_SNAPSHOT"),
            Reason::kConsistencyUnavailable);
}

TEST(DecodeRequest, ConsistencyIsLinearizableUnlessSaidOtherwise) {
  for (const char* text : {"key: 'k'", "key: 'k' consistency: CONSISTENCY_LINEARIZABLE"}) {
    auto request = Parse<v1::GetRequest>(text);
    GatewayRequest call;
    ASSERT_TRUE(DecodeIn(request, call).ok());
    EXPECT_EQ(std::get<GetCall>(call.call).consistency, kv::Consistency::kLinearizable);
  }
  EXPECT_EQ(DecodeText<v1::GetRequest>("key: 'k' consistency: 17"),
            Reason::kConsistencyUnavailable);
  EXPECT_EQ(DecodeText<v1::BatchGetRequest>("keys: 'k' consistency: 17"),
            Reason::kConsistencyUnavailable);
  EXPECT_EQ(DecodeText<v1::ScanRequest>("consistency: 17"), Reason::kConsistencyUnavailable);
}

TEST(DecodeRequest, BatchGet) {
  auto request = Parse<v1::BatchGetRequest>("keys: 'a' keys: 'b' keys: 'a'");
  GatewayRequest call;
  ASSERT_TRUE(DecodeIn(request, call).ok());
  EXPECT_EQ(std::get<BatchGetCall>(call.call).keys, (std::vector<std::string>{"a", "b", "a"}));
}

TEST(DecodeRequest, BatchGetIsBoundedInKeysAndBytes) {
  v1::BatchGetRequest request;
  for (std::size_t i = 0; i < kv::kBatchOpsMax; ++i) request.add_keys("k");
  EXPECT_EQ(Decode(request), Reason::kNone);
  request.add_keys("k");
  EXPECT_EQ(Decode(request), Reason::kBatchTooLarge);

  request.clear_keys();
  for (std::size_t i = 0; i < kv::kBatchBytesMax / kv::kKeyBytesMax; ++i) {
    request.add_keys(kLongKey);
  }
  EXPECT_EQ(Decode(request), Reason::kNone);
  request.add_keys("k");
  EXPECT_EQ(Decode(request), Reason::kBatchTooLarge);
}

TEST(DecodeRequest, Put) {
  const auto put = DecodeWrite<v1::PutRequest>(R"(
      header { client_id: 7 sequence: 9 acknowledged_below: 8 keyspace: "default" since: 5 }
      key: "k" value: "v" ttl { seconds: 2 nanos: 3500000 })");
  EXPECT_EQ(put.command.session.client, ClientId(7));
  EXPECT_EQ(put.command.session.sequence, 9u);
  EXPECT_EQ(put.command.session.acknowledged_below, 8u);
  EXPECT_EQ(put.command.session.since, Timestamp(5));
  ASSERT_EQ(put.command.ops.size(), 1u);
  EXPECT_EQ(put.op().kind, kv::WriteKind::kPut);
  EXPECT_EQ(put.op().key, "k");
  EXPECT_EQ(put.op().value, "v");
  EXPECT_EQ(put.op().ttl_ms, 2003u);
  EXPECT_EQ(put.op().condition, kv::ConditionKind::kNone);
  EXPECT_EQ(DecodeWrite<v1::PutRequest>("key: 'k'").op().ttl_ms, 0u);
}

TEST(DecodeRequest, Delete) {
  const auto write = DecodeWrite<v1::DeleteRequest>("key: 'k'");
  EXPECT_EQ(write.op().kind, kv::WriteKind::kDelete);
  EXPECT_EQ(write.op().key, "k");
}

TEST(DecodeRequest, DeleteRange) {
  const auto range = DecodeWrite<v1::DeleteRangeRequest>("start: 'a' end: 'b'");
  EXPECT_EQ(range.op().kind, kv::WriteKind::kDeleteRange);
  EXPECT_EQ(range.op().key, "a");
  EXPECT_EQ(range.op().end, "b");
  EXPECT_EQ(DecodeWrite<v1::DeleteRangeRequest>("").op().key, "");
  EXPECT_EQ(DecodeText<v1::DeleteRangeRequest>("start: 'b' end: 'b'"), Reason::kBadRange);
  EXPECT_EQ(DecodeText<v1::DeleteRangeRequest>("start: 'c' end: 'b'"), Reason::kBadRange);
}

TEST(DecodeRequest, CompareAndSetTakesEveryCondition) {
  const auto decode = [](const std::string& condition) {
    return DecodeWrite<v1::CompareAndSetRequest>("key: 'k' value: 'v' condition {" + condition +
                                                 "}");
  };
  const auto version = decode("version: 12");
  EXPECT_EQ(version.op().kind, kv::WriteKind::kPut);
  EXPECT_EQ(version.op().condition, kv::ConditionKind::kVersionIs);
  EXPECT_EQ(version.op().condition_version, Timestamp(12));
  const auto value = decode("value: 'old'");
  EXPECT_EQ(value.op().condition, kv::ConditionKind::kValueIs);
  EXPECT_EQ(value.op().condition_value, "old");
  EXPECT_EQ(decode("absent: true").op().condition, kv::ConditionKind::kAbsent);
  EXPECT_EQ(decode("exists: true").op().condition, kv::ConditionKind::kExists);
}

TEST(DecodeRequest, CompareAndSetWithoutAValueDeletes) {
  const auto write = DecodeWrite<v1::CompareAndSetRequest>("key: 'k' condition { value: 'v' }");
  EXPECT_EQ(write.op().kind, kv::WriteKind::kDelete);
  // An empty value is a value.
  EXPECT_EQ(DecodeWrite<v1::CompareAndSetRequest>("key: 'k' value: '' condition { absent: true }")
                .op()
                .kind,
            kv::WriteKind::kPut);
  EXPECT_EQ(DecodeText<v1::CompareAndSetRequest>(
                "key: 'k' condition { exists: true } ttl { seconds: 1 }"),
            Reason::kBadRequest);
}

TEST(DecodeRequest, AConditionMustSaySomething) {
  for (const char* condition :
       {"", "condition {}", "condition { absent: false }", "condition { exists: false }"}) {
    EXPECT_EQ(DecodeText<v1::CompareAndSetRequest>(std::string("key: 'k' value: 'v' ") + condition),
              Reason::kBadRequest)
        << condition;
  }
}

TEST(DecodeRequest, BatchKeepsTheOrderOfItsOperations) {
  const auto batch = DecodeWrite<v1::BatchRequest>(R"(
      header { client_id: 1 sequence: 1 }
      operations { put { key: "a" value: "1" condition { absent: true } ttl { seconds: 1 } } }
      operations { delete { key: "b" condition { version: 5 } } }
      operations { delete_range { start: "c" end: "d" } }
      operations { put { key: "a" value: "2" } })");
  ASSERT_EQ(batch.command.ops.size(), 4u);
  EXPECT_EQ(batch.op(0).condition, kv::ConditionKind::kAbsent);
  EXPECT_EQ(batch.op(0).ttl_ms, 1000u);
  EXPECT_EQ(batch.op(1).kind, kv::WriteKind::kDelete);
  EXPECT_EQ(batch.op(1).condition_version, Timestamp(5));
  EXPECT_EQ(batch.op(2).kind, kv::WriteKind::kDeleteRange);
  EXPECT_EQ(batch.op(3).value, "2");
}

TEST(DecodeRequest, ABatchMustHaveOperationsAndEachMustSayWhichOne) {
  EXPECT_EQ(DecodeText<v1::BatchRequest>(""), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::BatchRequest>("operations {}"), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::BatchRequest>("operations { put { key: 'k' condition {} } }"),
            Reason::kBadRequest);
}

TEST(DecodeRequest, EmptyKeysAreRefusedEverywhere) {
  EXPECT_EQ(DecodeText<v1::GetRequest>(""), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::BatchGetRequest>("keys: 'a' keys: ''"), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::PutRequest>("value: 'v'"), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::DeleteRequest>(""), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::CompareAndSetRequest>("value: 'v' condition { absent: true }"),
            Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::BatchRequest>("operations { put { value: 'v' } }"), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::BatchRequest>("operations { delete {} }"), Reason::kBadRequest);
}

// Sets one field of one request to the longest allowed and to one byte more.
template <class Request, class Set>
void ExpectKeyLimit(Request request, Set set) {
  set(request, kLongKey);
  EXPECT_EQ(Decode(request), Reason::kNone) << Request::descriptor()->name();
  set(request, kLongKey + "k");
  EXPECT_EQ(Decode(request), Reason::kKeyTooLarge) << Request::descriptor()->name();
}

TEST(DecodeRequest, KeysAreBoundedEverywhere) {
  const auto key = [](auto& request, const std::string& text) { request.set_key(text); };
  ExpectKeyLimit(v1::GetRequest(), key);
  ExpectKeyLimit(v1::PutRequest(), key);
  ExpectKeyLimit(v1::DeleteRequest(), key);
  ExpectKeyLimit(Parse<v1::CompareAndSetRequest>("condition { absent: true }"), key);
  ExpectKeyLimit(v1::BatchGetRequest(), [](auto& request, const std::string& text) {
    request.clear_keys();
    request.add_keys(text);
  });
  ExpectKeyLimit(Parse<v1::BatchRequest>("operations { put {} }"),
                 [](auto& request, const std::string& text) {
                   request.mutable_operations(0)->mutable_put()->set_key(text);
                 });
  ExpectKeyLimit(v1::DeleteRangeRequest(),
                 [](auto& request, const std::string& text) { request.set_start(text); });
  ExpectKeyLimit(v1::DeleteRangeRequest(),
                 [](auto& request, const std::string& text) { request.set_end(text); });
  ExpectKeyLimit(v1::ScanRequest(),
                 [](auto& request, const std::string& text) { request.set_start(text); });
  ExpectKeyLimit(v1::ScanRequest(),
                 [](auto& request, const std::string& text) { request.set_end(text); });
  ExpectKeyLimit(v1::ScanRequest(), [](auto& request, const std::string& text) {
    request = v1::ScanRequest();
    request.set_prefix(text);
  });
}

TEST(DecodeRequest, ValuesAreBoundedEverywhere) {
  v1::PutRequest put = Parse<v1::PutRequest>("key: 'k'");
  put.set_value(kLongValue);
  EXPECT_EQ(Decode(put), Reason::kNone);
  put.set_value(kLongValue + "v");
  EXPECT_EQ(Decode(put), Reason::kValueTooLarge);
  auto cas = Parse<v1::CompareAndSetRequest>("key: 'k' condition { absent: true }");
  cas.set_value(kLongValue + "v");
  EXPECT_EQ(Decode(cas), Reason::kValueTooLarge);
  cas.clear_value();
  cas.mutable_condition()->set_value(kLongValue + "v");
  EXPECT_EQ(Decode(cas), Reason::kValueTooLarge);
  v1::BatchRequest batch;
  auto& operation = *batch.add_operations()->mutable_put();
  operation.set_key("k");
  operation.set_value(kLongValue + "v");
  EXPECT_EQ(Decode(batch), Reason::kValueTooLarge);
}

TEST(DecodeRequest, BatchesAreBoundedInBytesAndOperations) {
  v1::BatchRequest batch;
  for (std::size_t i = 0; i < kv::kBatchBytesMax / kv::kValueBytesMax; ++i) {
    auto& put = *batch.add_operations()->mutable_put();
    put.set_key("k");
    put.set_value(std::string_view(kLongValue).substr(1).data(), kLongValue.size() - 1);
  }
  EXPECT_EQ(Decode(batch), Reason::kNone);
  batch.add_operations()->mutable_delete_()->set_key("k");
  EXPECT_EQ(Decode(batch), Reason::kBatchTooLarge);

  batch.clear_operations();
  for (std::size_t i = 0; i < kv::kBatchOpsMax; ++i) {
    batch.add_operations()->mutable_delete_()->set_key("k");
  }
  EXPECT_EQ(Decode(batch), Reason::kNone);
  batch.add_operations()->mutable_delete_()->set_key("k");
  EXPECT_EQ(Decode(batch), Reason::kBatchTooLarge);
}

TEST(DecodeRequest, EveryKindGoesToTheKeyspaceThatItNames) {
  const std::string header = "header { keyspace: 'other' } ";
  const kv::KeyspaceId other(7);
  const auto read = [](auto request) {
    GatewayRequest call;
    EXPECT_TRUE(DecodeIn(request, call).ok());
    return call.call;
  };
  EXPECT_EQ(std::get<GetCall>(read(Parse<v1::GetRequest>(header + "key: 'k'"))).keyspace, other);
  EXPECT_EQ(std::get<BatchGetCall>(read(Parse<v1::BatchGetRequest>(header + "keys: 'k'"))).keyspace,
            other);
  EXPECT_EQ(std::get<ScanCall>(read(Parse<v1::ScanRequest>(header))).request.keyspace, other);
  for (const Write& write :
       {DecodeWrite<v1::PutRequest>(header + "key: 'k'"),
        DecodeWrite<v1::DeleteRequest>(header + "key: 'k'"),
        DecodeWrite<v1::DeleteRangeRequest>(header),
        DecodeWrite<v1::CompareAndSetRequest>(header + "key: 'k' condition { absent: true }"),
        DecodeWrite<v1::BatchRequest>(header + "operations { delete { key: 'k' } }")}) {
    EXPECT_EQ(write.command.keyspace, other);
  }
}

TEST(KeyspaceNames, LooksOnceForTheNameOfMany) {
  FakeGateway gateway;
  gateway.AddKeyspace("other", 7);
  KeyspaceNames names(&gateway);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*names.Find(""), kv::kDefaultKeyspace);
  EXPECT_EQ(gateway.looks(), 0u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*names.Find("other"), kv::KeyspaceId(7));
  EXPECT_EQ(gateway.looks(), 1u);
  EXPECT_EQ(*names.Find("default"), kv::kDefaultKeyspace);
  EXPECT_EQ(*names.Find("other"), kv::KeyspaceId(7));
  EXPECT_EQ(ReasonOf(names.Find("third").status()), Reason::kKeyspaceNotFound);
  EXPECT_EQ(*names.Find("other"), kv::KeyspaceId(7));
}

TEST(DecodeRequest, UnknownKeyspaces) {
  const std::string header = "header { keyspace: 'third' } ";
  EXPECT_EQ(DecodeText<v1::GetRequest>(header + "key: 'k'"), Reason::kKeyspaceNotFound);
  EXPECT_EQ(DecodeText<v1::BatchGetRequest>(header + "keys: 'k'"), Reason::kKeyspaceNotFound);
  EXPECT_EQ(DecodeText<v1::PutRequest>(header + "key: 'k'"), Reason::kKeyspaceNotFound);
  EXPECT_EQ(DecodeText<v1::DeleteRequest>(header + "key: 'k'"), Reason::kKeyspaceNotFound);
  EXPECT_EQ(DecodeText<v1::DeleteRangeRequest>(header), Reason::kKeyspaceNotFound);
  EXPECT_EQ(DecodeText<v1::CompareAndSetRequest>(header + "key: 'k' condition { absent: true }"),
            Reason::kKeyspaceNotFound);
  EXPECT_EQ(DecodeText<v1::BatchRequest>(header + "operations { delete { key: 'k' } }"),
            Reason::kKeyspaceNotFound);
  EXPECT_EQ(DecodeText<v1::ScanRequest>(header), Reason::kKeyspaceNotFound);
}

TEST(DecodeRequest, AnErrorDoesNotRepeatALongName) {
  v1::GetRequest request = Parse<v1::GetRequest>("key: 'k'");
  request.mutable_header()->set_keyspace(std::string(1 << 20, 'x'));
  GatewayRequest call;
  EXPECT_LT(MessageOf(DecodeIn(request, call)).size(), 200u);
}

TEST(DecodeRequest, TimesToLiveAreSane) {
  const auto decode = [](const std::string& ttl) {
    return DecodeText<v1::PutRequest>("key: 'k' ttl {" + ttl + "}");
  };
  EXPECT_EQ(decode("nanos: 1000000"), Reason::kNone);
  EXPECT_EQ(decode("seconds: 3162240000"), Reason::kNone);
  for (const char* bad : {"", "nanos: 999999", "seconds: -1", "seconds: -1 nanos: 999999999",
                          "seconds: 1 nanos: -1", "nanos: 1000000000", "seconds: 3162240001",
                          "seconds: 9223372036854775807", "seconds: -9223372036854775808"}) {
    EXPECT_EQ(decode(bad), Reason::kBadRequest) << bad;
  }
}

TEST(DecodeRequest, ClientAndSequenceComeTogether) {
  const auto decode = [](const std::string& header) {
    return DecodeText<v1::PutRequest>("key: 'k' header {" + header + "}");
  };
  EXPECT_EQ(decode("client_id: 1 sequence: 1"), Reason::kNone);
  EXPECT_EQ(decode("client_id: 1"), Reason::kBadRequest);
  EXPECT_EQ(decode("sequence: 1"), Reason::kBadRequest);
  EXPECT_EQ(decode("client_id: 1 sequence: 5 acknowledged_below: 6"), Reason::kBadRequest);
}

kv::ScanRequest DecodeScan(const std::string& text) {
  auto request = Parse<v1::ScanRequest>(text);
  GatewayRequest call;
  const Status status = DecodeIn(request, call);
  EXPECT_TRUE(status.ok()) << status;
  return std::get<ScanCall>(call.call).request;
}

TEST(DecodeRequest, ScanOfARange) {
  const kv::ScanRequest scan =
      DecodeScan("start: 'a' end: 'b' reverse: true keys_only: true page_size: 7");
  EXPECT_EQ(scan.start, "a");
  EXPECT_EQ(scan.end, "b");
  EXPECT_TRUE(scan.reverse);
  EXPECT_TRUE(scan.keys_only);
  EXPECT_EQ(scan.limit, 7u);
  EXPECT_EQ(DecodeText<v1::ScanRequest>("start: 'b' end: 'a'"), Reason::kBadRange);
  EXPECT_EQ(DecodeText<v1::ScanRequest>("start: 'b' end: 'b'"), Reason::kBadRange);
}

TEST(DecodeRequest, ScanOfAPrefix) {
  EXPECT_EQ(DecodeScan("prefix: 'ab'").start, "ab");
  EXPECT_EQ(DecodeScan("prefix: 'ab'").end, "ac");
  EXPECT_EQ(DecodeScan("prefix: 'a\\377'").end, "b");
  EXPECT_EQ(DecodeScan("prefix: '\\377\\377'").end, "");
  EXPECT_EQ(DecodeText<v1::ScanRequest>("prefix: 'a' start: 'a'"), Reason::kBadRequest);
  EXPECT_EQ(DecodeText<v1::ScanRequest>("prefix: 'a' end: 'b'"), Reason::kBadRequest);
}

TEST(DecodeRequest, PagesOfAScanAreBounded) {
  EXPECT_EQ(DecodeScan("").limit, kv::kScanRowsDefault);
  EXPECT_EQ(DecodeScan("page_size: 4000000000").limit, kv::kScanRowsMax);
  EXPECT_EQ(DecodeScan("page_size: 10 limit: 3").limit, 3u);
  EXPECT_EQ(DecodeScan("page_size: 3 limit: 10").limit, 3u);
  // One beyond 32 bits is no small one.
  EXPECT_EQ(DecodeScan("limit: 4294967297").limit, kv::kScanRowsDefault);
}

TEST(DecodeRequest, AScanGoesOnByItsTokenAndByNoOther) {
  const ScanToken whole{.start = "a", .end = "z", .reverse = false};
  const ScanToken backwards{.start = "a", .end = "z", .reverse = true};
  v1::ScanRequest request = Parse<v1::ScanRequest>("start: 'a' end: 'z'");
  request.set_continuation_token(EncodeScanToken(whole, "m"));
  GatewayRequest call;
  ASSERT_TRUE(DecodeIn(request, call).ok());
  EXPECT_EQ(std::get<ScanCall>(call.call).request.start, "m");
  EXPECT_EQ(std::get<ScanCall>(call.call).request.end, "z");

  request.set_reverse(true);
  EXPECT_EQ(Decode(request), Reason::kBadToken);
  request.set_continuation_token(EncodeScanToken(backwards, "m"));
  ASSERT_TRUE(DecodeIn(request, call).ok());
  EXPECT_EQ(std::get<ScanCall>(call.call).request.start, "a");
  EXPECT_EQ(std::get<ScanCall>(call.call).request.end, "m");

  request.set_end("y");
  EXPECT_EQ(Decode(request), Reason::kBadToken);
  request.set_continuation_token("x");
  EXPECT_EQ(Decode(request), Reason::kBadToken);
}

}  // namespace
}  // namespace flotilla
