// KvService over real gRPC on loopback, with a gateway that answers when the test says so.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <thread>

#include "cmd/kvd/kv_service.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "kv/limits.h"
#include "tests/cmd/kvd/fake_gateway.h"

namespace flotilla {
namespace {

using ::testing::SizeIs;

// The service on a port of its own, and a stub for it.
struct Served {
  explicit Served(Gateway* gateway) : service({}, gateway, &clock, &metrics) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxSendMessageSize(96 << 20);
    builder.RegisterService(&service);
    server = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(9 << 20);  // one value, and no two
    stub = v1::KV::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), arguments));
  }
  ~Served() { server->Shutdown(); }

  RealClock clock;
  RequestMetrics metrics;
  KvService service;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<v1::KV::Stub> stub;
};

class StreamsTest : public ::testing::Test {
 protected:
  static v1::PipelineRequest Gets(std::uint64_t first_id, int count) {
    v1::PipelineRequest batch;
    for (int i = 0; i < count; ++i) {
      v1::Request& request = *batch.add_requests();
      request.set_id(first_id + static_cast<std::uint64_t>(i));
      request.mutable_get()->set_key("k");
    }
    return batch;
  }

  FakeGateway gateway_;
  Served served_{&gateway_};
  v1::KV::Stub* const stub_ = served_.stub.get();
};

Reason ReasonIn(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.details_size(), 1);
  EXPECT_TRUE(details.details(0).UnpackTo(&info));
  return ReasonFromName(info.reason()).value_or(Reason::kNone);
}

TEST_F(StreamsTest, AUnaryCallBringsItsAnswer) {
  std::jthread answering([this] {
    for (const FakeGateway::Open& one : gateway_.Take(1)) {
      one.sink->OnAnswers({FakeGateway::AnswerTo(one, kv::GetResult{.found = true, .value = "v"})});
    }
  });
  grpc::ClientContext context;
  v1::GetRequest request;
  request.set_key("k");
  v1::GetResponse response;
  EXPECT_TRUE(stub_->Get(&context, request, &response).ok());
  EXPECT_EQ(response.value(), "v");
  answering.join();
}

TEST_F(StreamsTest, AUnaryCallLooksOnceMoreForItsKeyspace) {
  std::jthread answering([this] {
    gateway_.TakeRefresh().done(absl::OkStatus());
    FakeGateway::Refresh second = gateway_.TakeRefresh();
    gateway_.AddKeyspace("new", 7);
    second.done(absl::OkStatus());
    for (const FakeGateway::Open& one : gateway_.Take(1)) {
      EXPECT_EQ(std::get<GetCall>(one.request.call).keyspace, kv::KeyspaceId(7));
      one.sink->OnAnswers({FakeGateway::AnswerTo(one, kv::GetResult{.found = true, .value = "v"})});
    }
  });
  v1::GetRequest request;
  request.mutable_header()->set_keyspace("new");
  request.set_key("k");
  v1::GetResponse response;
  grpc::ClientContext first;
  EXPECT_EQ(ReasonIn(stub_->Get(&first, request, &response)), Reason::kKeyspaceNotFound);
  grpc::ClientContext second;
  EXPECT_TRUE(stub_->Get(&second, request, &response).ok());
  EXPECT_EQ(response.value(), "v");
}

TEST_F(StreamsTest, AScanLooksOnceMoreForItsKeyspace) {
  std::jthread answering([this] {
    FakeGateway::Refresh refresh = gateway_.TakeRefresh();
    gateway_.AddKeyspace("new", 7);
    refresh.done(absl::OkStatus());
    for (const FakeGateway::Open& one : gateway_.Take(1)) {
      EXPECT_EQ(std::get<ScanCall>(one.request.call).request.keyspace, kv::KeyspaceId(7));
      one.sink->OnAnswers({FakeGateway::AnswerTo(one, kv::ScanPage{})});
    }
  });
  grpc::ClientContext context;
  v1::ScanRequest request;
  request.mutable_header()->set_keyspace("new");
  const auto reader = stub_->Scan(&context, request);
  v1::ScanResponse page;
  EXPECT_TRUE(reader->Read(&page));
  EXPECT_FALSE(reader->Read(&page));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(StreamsTest, AnAggregateAddsItsPagesUp) {
  std::jthread answering([this] {
    const FakeGateway::Open first = gateway_.Take(1).front();
    const kv::AggregateRequest& asked = std::get<AggregateCall>(first.request.call).request;
    EXPECT_EQ(asked.start, "user/");
    EXPECT_EQ(asked.end, "user0");
    EXPECT_EQ(asked.filter, kv::ValueFilter::kContains);
    EXPECT_EQ(asked.filter_value, "7");
    EXPECT_TRUE(asked.sum);
    EXPECT_EQ(asked.resume, "");
    kv::AggregatePage page{.keys = 3, .bytes = 30, .sum = 5, .more = true, .resume = "there"};
    first.sink->OnAnswers({FakeGateway::AnswerTo(first, page)});
    const FakeGateway::Open second = gateway_.Take(1).front();
    EXPECT_EQ(std::get<AggregateCall>(second.request.call).request.resume, "there");
    EXPECT_EQ(std::get<AggregateCall>(second.request.call).request.filter_value, "7");
    page = {.keys = 2, .bytes = 20, .sum = -6, .not_integers = 1};
    second.sink->OnAnswers({FakeGateway::AnswerTo(second, page)});
  });
  grpc::ClientContext context;
  v1::AggregateRequest request;
  request.set_prefix("user/");
  request.set_value_contains("7");
  request.set_add_up(true);
  v1::AggregateResponse total;
  EXPECT_TRUE(stub_->Aggregate(&context, request, &total).ok());
  EXPECT_EQ(total.count(), 5u);
  EXPECT_EQ(total.bytes(), 50u);
  EXPECT_EQ(total.sum(), -1);
  EXPECT_EQ(total.not_integers(), 1u);
}

TEST_F(StreamsTest, AnAggregateEndsWithTheFirstError) {
  std::jthread answering([this] {
    const FakeGateway::Open first = gateway_.Take(1).front();
    const kv::AggregatePage page{
        .sum = std::numeric_limits<std::int64_t>::max(), .more = true, .resume = "there"};
    first.sink->OnAnswers({FakeGateway::AnswerTo(first, page)});
    const FakeGateway::Open second = gateway_.Take(1).front();
    second.sink->OnAnswers({FakeGateway::AnswerTo(second, kv::AggregatePage{.sum = 1})});
  });
  grpc::ClientContext context;
  v1::AggregateResponse total;
  EXPECT_EQ(ReasonIn(stub_->Aggregate(&context, {}, &total)), Reason::kBadRequest);
}

TEST_F(StreamsTest, AUnaryErrorCarriesItsDetails) {
  std::jthread answering([this] {
    for (const FakeGateway::Open& one : gateway_.Take(1)) {
      GatewayAnswer answer;
      answer.id = one.request.id;
      answer.status = Error(Reason::kDiskFull, "the disk of node 1 is full: make room");
      one.sink->OnAnswers({answer});
    }
  });
  grpc::ClientContext context;
  v1::PutRequest request;
  request.set_key("k");
  v1::PutResponse response;
  const grpc::Status status = stub_->Put(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "the disk of node 1 is full: make room");
  EXPECT_EQ(ReasonIn(status), Reason::kDiskFull);
  answering.join();
}

TEST_F(StreamsTest, ValuesBeyondOneMessageAreRefusedWithAReason) {
  std::jthread answering([this] {
    for (const FakeGateway::Open& one : gateway_.Take(1)) {
      std::vector<kv::GetResult> results(9);
      for (kv::GetResult& result : results) result.value.assign(kv::kValueBytesMax, 'v');
      one.sink->OnAnswers({FakeGateway::AnswerTo(one, std::move(results))});
    }
  });
  grpc::ClientContext context;
  v1::BatchGetRequest request;
  request.add_keys("k");
  v1::BatchGetResponse response;
  EXPECT_EQ(ReasonIn(stub_->BatchGet(&context, request, &response)), Reason::kBatchTooLarge);
  answering.join();
}

TEST_F(StreamsTest, TheCallsDeadlineIsTheRequests) {
  const auto left = [this](grpc::ClientContext& context) {
    Duration got{};
    std::jthread answering([&] {
      for (const FakeGateway::Open& one : gateway_.Take(1)) {
        got = one.request.deadline - served_.clock.Now();
        one.sink->OnAnswers({FakeGateway::AnswerTo(one, kv::GetResult{})});
      }
    });
    v1::GetRequest request;
    request.set_key("k");
    v1::GetResponse response;
    EXPECT_TRUE(stub_->Get(&context, request, &response).ok());
    answering.join();
    return got;
  };
  grpc::ClientContext with;
  with.set_deadline(gpr_time_from_seconds(300, GPR_TIMESPAN));
  EXPECT_GT(left(with), std::chrono::seconds(200));
  grpc::ClientContext without;
  EXPECT_LE(left(without), std::chrono::seconds(10));
}

// The answer is being encoded, which takes a while, when the client's side closes.
TEST_F(StreamsTest, AStreamThatClosesGetsTheAnswersUnderWay) {
  kv::ScanPage page;
  page.rows.resize(300'000, {.key = "key", .value = "value"});
  for (int round = 0; round < 4; ++round) {
    grpc::ClientContext context;
    const auto stream = stub_->Pipeline(&context);
    v1::PipelineRequest batch;
    batch.add_requests()->mutable_scan();
    ASSERT_TRUE(stream->Write(batch));
    std::vector<FakeGateway::Open> open = gateway_.Take(1);
    GatewayAnswer answer = FakeGateway::AnswerTo(open[0], page);
    std::jthread answering([&] { open[0].sink->OnAnswers({std::move(answer)}); });
    stream->WritesDone();
    v1::PipelineResponse response;
    ASSERT_TRUE(stream->Read(&response)) << "round " << round;
    EXPECT_EQ(response.responses(0).scan().rows_size(), 300'000);
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_TRUE(stream->Finish().ok());
    answering.join();
  }
}

TEST_F(StreamsTest, AClosedStreamEndsOnceAllRequestsAreAnswered) {
  grpc::ClientContext context;
  const auto stream = stub_->Pipeline(&context);
  ASSERT_TRUE(stream->Write(Gets(1, 100)));
  ASSERT_TRUE(stream->WritesDone());
  std::vector<FakeGateway::Open> open = gateway_.Take(100);
  std::reverse(open.begin(), open.end());
  std::jthread answering([&] {
    for (const FakeGateway::Open& one : open) {
      one.sink->OnAnswers({FakeGateway::AnswerTo(one, kv::GetResult{})});
    }
  });
  std::vector<std::uint64_t> ids;
  for (v1::PipelineResponse response; stream->Read(&response);) {
    for (const v1::Response& one : response.responses()) ids.push_back(one.id());
  }
  answering.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_THAT(ids, SizeIs(100));
  EXPECT_TRUE(std::is_sorted(ids.rbegin(), ids.rend())) << "answers leave as they became ready";
}

TEST_F(StreamsTest, LargeAnswersThatAreReadyTogetherDoNotBreakTheStream) {
  grpc::ClientContext context;
  const auto stream = stub_->Pipeline(&context);
  ASSERT_TRUE(stream->Write(Gets(1, 15)));
  ASSERT_TRUE(stream->WritesDone());
  const std::vector<FakeGateway::Open> open = gateway_.Take(15);
  std::vector<GatewayAnswer> answers;
  for (const FakeGateway::Open& one : open) {
    answers.push_back(FakeGateway::AnswerTo(
        one, kv::GetResult{.found = true, .value = std::string(kv::kValueBytesMax, 'v')}));
  }
  open[0].sink->OnAnswers(std::move(answers));
  std::size_t values = 0;
  for (v1::PipelineResponse response; stream->Read(&response);) {
    for (const v1::Response& one : response.responses()) {
      EXPECT_EQ(one.get().value().size(), kv::kValueBytesMax);
      ++values;
    }
  }
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(values, 15u);
}

// Answers every read at once with a mebibyte, and knows how many the client has not read yet.
class EagerGateway final : public Gateway {
 public:
  void Submit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) override {
    for (const GatewayRequest& request : requests) {
      const std::size_t unread = ++answered - read_count;
      if (unread > unread_max) unread_max = unread;
      if (answered == kReadAfter) enough.store(true), enough.notify_all();
      sink->OnAnswers({FakeGateway::AnswerTo(
          {.request = request, .sink = nullptr},
          kv::GetResult{.found = true, .value = std::string(1 << 20, 'v')})});
    }
  }

  static constexpr std::size_t kReadAfter = 17;
  std::atomic<std::size_t> answered = 0;
  std::atomic<std::size_t> read_count = 0;
  std::atomic<std::size_t> unread_max = 0;
  std::atomic<bool> enough = false;
};

TEST(PipelineStream, AClientThatDoesNotReadItsAnswersIsNotReadFrom) {
  EagerGateway gateway;
  Served served(&gateway);
  grpc::ClientContext context;
  const auto stream = served.stub->Pipeline(&context);
  constexpr std::size_t kRequests = 300;
  std::jthread writing([&] {
    for (std::size_t i = 0; i < kRequests; ++i) {
      v1::PipelineRequest batch;
      batch.add_requests()->mutable_get()->set_key("k");
      stream->Write(batch);
    }
    stream->WritesDone();
  });
  gateway.enough.wait(false);
  for (v1::PipelineResponse response; stream->Read(&response);) {
    gateway.read_count += static_cast<std::size_t>(response.responses_size());
  }
  writing.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(gateway.read_count, kRequests);
  // 16 MiB wait in the reactor; gRPC holds the rest.
  EXPECT_LT(gateway.unread_max, 40u);
}

TEST_F(StreamsTest, AClientThatGoesAwayLeavesNothingBehind) {
  for (int round = 0; round < 20; ++round) {
    std::vector<FakeGateway::Open> open;
    {
      grpc::ClientContext context;
      const auto stream = stub_->Pipeline(&context);
      ASSERT_TRUE(stream->Write(Gets(1, 10)));
      open = gateway_.Take(10);
      open[0].sink->OnAnswers({FakeGateway::AnswerTo(open[0], kv::GetResult{})});
      context.TryCancel();
      stream->Finish();
    }
    for (std::size_t i = 1; i < open.size(); ++i) {
      open[i].sink->OnAnswers({FakeGateway::AnswerTo(open[i], kv::GetResult{})});
    }
  }
}

// Answers the next page that the scan asks for.
void AnswerPage(FakeGateway& gateway, kv::ScanPage page) {
  for (const FakeGateway::Open& one : gateway.Take(1)) {
    one.sink->OnAnswers({FakeGateway::AnswerTo(one, page)});
  }
}

TEST_F(StreamsTest, AScanAsksPageByPageUntilTheEnd) {
  grpc::ClientContext context;
  v1::ScanRequest request;
  request.set_prefix("k");
  const auto stream = stub_->Scan(&context, request);
  AnswerPage(gateway_, {.rows = {{.key = "k1"}}, .more = true, .resume_key = "k2"});
  v1::ScanResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.rows(0).key(), "k1");
  std::vector<FakeGateway::Open> second = gateway_.Take(1);
  EXPECT_EQ(std::get<ScanCall>(second[0].request.call).request.start, "k2");
  second[0].sink->OnAnswers(
      {FakeGateway::AnswerTo(second[0], kv::ScanPage{.rows = {{.key = "k2"}}})});
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.continuation_token().empty());
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamsTest, TheLimitOfAScanHoldsOverItsPages) {
  grpc::ClientContext context;
  v1::ScanRequest request;
  request.set_limit(3);
  request.set_page_size(2);
  const auto stream = stub_->Scan(&context, request);
  AnswerPage(gateway_, {.rows = {{.key = "a"}, {.key = "b"}}, .more = true, .resume_key = "c"});
  std::vector<FakeGateway::Open> second = gateway_.Take(1);
  EXPECT_EQ(std::get<ScanCall>(second[0].request.call).request.limit, 1u);
  second[0].sink->OnAnswers({FakeGateway::AnswerTo(
      second[0], kv::ScanPage{.rows = {{.key = "c"}}, .more = true, .resume_key = "d"})});
  v1::ScanResponse response;
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(gateway_.submissions(), 2u);
}

TEST_F(StreamsTest, AScanThatFailsOnItsWayEndsWithTheReason) {
  grpc::ClientContext context;
  const auto stream = stub_->Scan(&context, v1::ScanRequest());
  AnswerPage(gateway_, {.rows = {{.key = "a"}}, .more = true, .resume_key = "b"});
  for (const FakeGateway::Open& one : gateway_.Take(1)) {
    GatewayAnswer answer;
    answer.status = Error(Reason::kNoQuorum, "no leader");
    one.sink->OnAnswers({answer});
  }
  v1::ScanResponse response;
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(ReasonIn(stream->Finish()), Reason::kNoQuorum);
}

// Every page has a row and a next one.
class EndlessGateway final : public Gateway {
 public:
  void Submit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) override {
    sink->OnAnswers({FakeGateway::AnswerTo(
        {.request = requests.front(), .sink = nullptr},
        kv::ScanPage{.rows = {{.key = "a"}}, .more = true, .resume_key = "b"})});
  }
};

TEST(ScanStream, AnEndlessScanEndsWithItsClient) {
  EndlessGateway gateway;
  Served served(&gateway);
  grpc::ClientContext context;
  const auto stream = served.stub->Scan(&context, v1::ScanRequest());
  v1::ScanResponse response;
  for (int page = 0; page < 10; ++page) EXPECT_TRUE(stream->Read(&response));
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  served.server->Shutdown();  // waits for the scan
}

}  // namespace
}  // namespace flotilla
