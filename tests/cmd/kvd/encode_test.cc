// Answers and errors as messages of flotilla.v1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmd/kvd/api_codec.h"
#include "google/rpc/error_details.pb.h"

namespace flotilla {
namespace {

using ::testing::AllOf;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr AnswerOrigin kOrigin{
    .group = GroupId(2), .node = NodeId(3), .timestamp = Timestamp(1000)};

template <class Result>
GatewayAnswer Answer(Result result) {
  GatewayAnswer answer;
  answer.result = std::move(result);
  answer.origin = kOrigin;
  return answer;
}

template <class Response, class Result>
Response Encode(Result result) {
  GatewayAnswer answer = Answer(std::move(result));
  Response response;
  EncodeAnswer(answer, response);
  EXPECT_EQ(response.header().timestamp(), 1000u);
  EXPECT_EQ(response.header().group_id(), 2u);
  EXPECT_EQ(response.header().node_id(), 3u);
  return response;
}

TEST(EncodeAnswer, Get) {
  const auto found = Encode<v1::GetResponse>(
      kv::GetResult{.found = true, .value = "v", .version = Timestamp(9), .expires_at_ms = 1'500});
  EXPECT_TRUE(found.found());
  EXPECT_EQ(found.value(), "v");
  EXPECT_EQ(found.version(), 9u);
  EXPECT_EQ(found.expires_at().seconds(), 1);
  EXPECT_EQ(found.expires_at().nanos(), 500'000'000);
  EXPECT_FALSE(Encode<v1::GetResponse>(kv::GetResult{.found = true}).has_expires_at());
  EXPECT_FALSE(Encode<v1::GetResponse>(kv::GetResult{}).found());
}

TEST(EncodeAnswer, BatchGetKeepsTheOrder) {
  const auto got = Encode<v1::BatchGetResponse>(std::vector<kv::GetResult>{
      {.found = true, .value = "1"}, {}, {.found = true, .value = "3", .expires_at_ms = 1}});
  ASSERT_EQ(got.results_size(), 3);
  EXPECT_EQ(got.results(0).value(), "1");
  EXPECT_FALSE(got.results(1).found());
  EXPECT_TRUE(got.results(2).has_expires_at());
}

TEST(EncodeAnswer, AHistorySaysWhereItGoesOn) {
  kv::HistoryPage page{.more = true, .complete_since = Timestamp(3)};
  page.versions.push_back({.timestamp = Timestamp(9), .kind = kv::VersionKind::kExpired});
  page.versions.push_back(
      {.timestamp = Timestamp(8),
       .transaction = kv::TxnId(7),
       .expires_at_ms = 2'000,
       .value = "v",
       .superseded = kv::Successor{.timestamp = Timestamp(9), .kind = kv::VersionKind::kExpired}});
  const auto history = Encode<v1::HistoryResponse>(page);
  EXPECT_EQ(history.next_before(), 8u);
  EXPECT_EQ(history.complete_since(), 3u);
  EXPECT_EQ(history.versions(0).kind(), v1::VERSION_KIND_EXPIRED);
  EXPECT_FALSE(history.versions(0).has_superseded_by());
  EXPECT_EQ(history.versions(1).value(), "v");
  EXPECT_EQ(history.versions(1).transaction_id(), 7u);
  EXPECT_EQ(history.versions(1).expires_at().seconds(), 2);
  EXPECT_EQ(history.versions(1).superseded_by().timestamp(), 9u);
  EXPECT_EQ(history.versions(1).superseded_by().kind(), v1::VERSION_KIND_EXPIRED);
}

TEST(EncodeAnswer, Writes) {
  const kv::WriteResult wrote{.timestamp = Timestamp(7), .affected = 4};
  EXPECT_EQ(Encode<v1::PutResponse>(wrote).version(), 7u);
  EXPECT_EQ(Encode<v1::CompareAndSetResponse>(wrote).version(), 7u);
  EXPECT_EQ(Encode<v1::DeleteRangeResponse>(wrote).deleted(), 4u);
  EXPECT_EQ(Encode<v1::BatchResponse>(wrote).version(), 7u);
  EXPECT_EQ(Encode<v1::BatchResponse>(wrote).deleted(), 4u);
  EXPECT_TRUE(Encode<v1::DeleteResponse>(wrote).existed());
  EXPECT_FALSE(Encode<v1::DeleteResponse>(kv::WriteResult{}).existed());
}

TEST(EncodeAnswer, AScanHasATokenWhileThereIsMore) {
  const ScanToken scan{.start = "a", .end = "z", .reverse = false};
  kv::ScanPage page;
  page.rows = {{.key = "a", .value = "1", .version = Timestamp(5), .expires_at_ms = 2'000},
               {.key = "b", .value = "2", .version = Timestamp(6)}};
  page.more = true;
  page.resume_key = "c";
  GatewayAnswer answer = Answer(page);
  v1::ScanResponse response;
  EncodeAnswer(answer, scan, response);
  ASSERT_EQ(response.rows_size(), 2);
  EXPECT_EQ(response.rows(0).key(), "a");
  EXPECT_EQ(response.rows(0).version(), 5u);
  EXPECT_EQ(response.rows(0).expires_at().seconds(), 2);
  EXPECT_FALSE(response.rows(1).has_expires_at());
  EXPECT_EQ(*DecodeScanToken(response.continuation_token(), scan), "c");
  EXPECT_EQ(response.header().node_id(), 3u);

  answer = Answer(kv::ScanPage{});
  response.Clear();
  EncodeAnswer(answer, scan, response);
  EXPECT_TRUE(response.continuation_token().empty());
}

google::rpc::ErrorInfo InfoIn(const google::rpc::Status& status) {
  google::rpc::ErrorInfo info;
  EXPECT_EQ(status.details_size(), 1);
  EXPECT_EQ(status.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  EXPECT_TRUE(status.details(0).UnpackTo(&info));
  return info;
}

struct Line {
  Reason reason;
  const char* name;
  absl::StatusCode code;
  const char* retry;
};

// "kCheckOutcome" as it travels: "CHECK_OUTCOME".
std::string Shouted(const std::string& enumerator) {
  std::string out;
  for (const char c : enumerator.substr(1)) {
    if (std::isupper(static_cast<unsigned char>(c)) && !out.empty()) out.push_back('_');
    out.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return out;
}

TEST(EncodeError, EveryReasonOfTheTableTravelsWithItsCodeNameAndRetry) {
  const Line lines[] = {
#define FLOTILLA_REASON(name, text, code, retry, exit, meaning) \
  {Reason::name, text, absl::StatusCode::code, #retry},
#include "base/reasons.inc"
#undef FLOTILLA_REASON
  };
  for (const Line& line : lines) {
    google::rpc::Status out;
    EncodeError(Error(line.reason, "what happened: what to do", {{"node", "7"}}), out);
    EXPECT_EQ(out.code(), static_cast<int>(line.code)) << line.name;
    EXPECT_EQ(out.message(), "what happened: what to do");
    const google::rpc::ErrorInfo info = InfoIn(out);
    EXPECT_EQ(info.reason(), line.name);
    EXPECT_EQ(info.domain(), "flotilla");
    EXPECT_THAT(info.metadata(),
                UnorderedElementsAre(Pair("retry", Shouted(line.retry)), Pair("node", "7")));
  }
}

TEST(EncodeError, AStatusOfALibraryKeepsItsCodeAndReadsAsInternal) {
  google::rpc::Status out;
  EncodeError(absl::DataLossError("x"), out);
  EXPECT_EQ(out.code(), static_cast<int>(absl::StatusCode::kDataLoss));
  EXPECT_EQ(InfoIn(out).reason(), "INTERNAL");
}

TEST(EncodeError, WhatItQuotesIsBoundedText) {
  google::rpc::Status out;
  EncodeError(Error(Reason::kBadRequest, std::string("a\xff\x00\xc3(\xe2\x82 m\xc3\xbcller\n", 16),
                    {{"key", std::string(100'000, '\xfe')}}),
              out);
  EXPECT_EQ(out.message(),
            "a"
            "???"
            "("
            "??"
            " m\xc3\xbcller\n");
  EXPECT_THAT(InfoIn(out).metadata().at("key"), AllOf(SizeIs(1024), std::string(1024, '?')));

  google::rpc::Status long_one;
  std::string wide;
  while (wide.size() < 10'000) wide += "\xc3\xbc";
  EncodeError(Error(Reason::kBadRequest, "." + wide), long_one);
  EXPECT_THAT(long_one.message(), SizeIs(testing::AllOf(testing::Ge(1024u), testing::Lt(1028u))));
  EXPECT_TRUE(long_one.message().ends_with("\xc3\xbc"));
}

}  // namespace
}  // namespace flotilla
