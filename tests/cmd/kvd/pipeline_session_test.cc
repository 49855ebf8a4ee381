#include "cmd/kvd/pipeline_session.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "google/rpc/error_details.pb.h"
#include "kv/limits.h"
#include "tests/cmd/kvd/fake_gateway.h"
#include "tests/cmd/kvd/still_clock.h"

namespace flotilla {
namespace {

class PipelineSessionTest : public ::testing::Test {
 protected:
  explicit PipelineSessionTest(std::size_t open_max = 100) {
    PipelineSession::Options options;
    options.open_max = open_max;
    session_ = std::make_shared<PipelineSession>(
        options, &gateway_, &clock_,
        [this](v1::PipelineResponse response) { messages_.push_back(std::move(response)); });
  }

  void Send(const std::string& text) {
    v1::PipelineRequest batch;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &batch)) << text;
    session_->OnRequests(batch);
  }

  // All answers so far, by the client's id.
  std::map<std::uint64_t, v1::Response> Answers() const {
    std::map<std::uint64_t, v1::Response> answers;
    for (const v1::PipelineResponse& message : messages_) {
      for (const v1::Response& response : message.responses()) {
        EXPECT_TRUE(answers.emplace(response.id(), response).second)
            << response.id() << " was answered twice";
      }
    }
    return answers;
  }

  static std::string ReasonIn(const v1::Response& response) {
    google::rpc::ErrorInfo info;
    if (response.error().details_size() == 1) response.error().details(0).UnpackTo(&info);
    return info.reason();
  }

  FakeGateway gateway_;
  StillClock clock_;
  std::vector<v1::PipelineResponse> messages_;
  std::shared_ptr<PipelineSession> session_;
};

class SmallPipelineSessionTest : public PipelineSessionTest {
 protected:
  SmallPipelineSessionTest() : PipelineSessionTest(3) {}
};

TEST_F(PipelineSessionTest, EveryKindGetsTheAnswerOfItsKind) {
  Send(R"(
      requests { id: 1 get { key: "k" } }
      requests { id: 2 batch_get { keys: "k" } }
      requests { id: 3 put { key: "k" } }
      requests { id: 4 delete { key: "k" } }
      requests { id: 5 delete_range { start: "a" } }
      requests { id: 6 compare_and_set { key: "k" condition { absent: true } } }
      requests { id: 7 batch { operations { delete { key: "k" } } } }
      requests { id: 8 scan { start: "a" } })");
  EXPECT_EQ(gateway_.submissions(), 1u) << "what came together is submitted together";
  std::vector<GatewayAnswer> answers;
  std::vector<FakeGateway::Open> open = gateway_.Take(8);
  ASSERT_EQ(open.size(), 8u);
  for (const FakeGateway::Open& one : open) {
    if (std::holds_alternative<GetCall>(one.request.call)) {
      answers.push_back(FakeGateway::AnswerTo(one, kv::GetResult{.found = true, .value = "v"}));
    } else if (std::holds_alternative<BatchGetCall>(one.request.call)) {
      answers.push_back(FakeGateway::AnswerTo(one, std::vector<kv::GetResult>(1)));
    } else if (std::holds_alternative<ScanCall>(one.request.call)) {
      answers.push_back(FakeGateway::AnswerTo(one, kv::ScanPage{.rows = {{.key = "a"}}}));
    } else {
      answers.push_back(FakeGateway::AnswerTo(one, kv::WriteResult{.timestamp = Timestamp(5)}));
    }
  }
  open[0].sink->OnAnswers(std::move(answers));
  EXPECT_EQ(messages_.size(), 1u) << "what became ready together leaves together";
  const auto got = Answers();
  ASSERT_EQ(got.size(), 8u);
  const v1::Response::ResponseCase kinds[] = {
      v1::Response::kGet,    v1::Response::kBatchGet,    v1::Response::kPut,
      v1::Response::kDelete, v1::Response::kDeleteRange, v1::Response::kCompareAndSet,
      v1::Response::kBatch,  v1::Response::kScan};
  for (std::uint64_t id = 1; id <= 8; ++id) {
    EXPECT_EQ(got.at(id).response_case(), kinds[id - 1]) << id;
  }
  EXPECT_EQ(got.at(1).get().value(), "v");
  EXPECT_EQ(got.at(8).scan().rows(0).key(), "a");
  EXPECT_EQ(session_->open(), 0u);
}

TEST_F(PipelineSessionTest, AnswersOutOfOrderFindTheirRequests) {
  std::string batch;
  for (int id = 1; id <= 50; ++id) {
    batch += "requests { id: " + std::to_string(id * 1000) + " get { key: 'k" + std::to_string(id) +
             "' } }";
  }
  Send(batch);
  std::vector<FakeGateway::Open> open = gateway_.Take(50);
  std::reverse(open.begin(), open.end());
  std::rotate(open.begin(), open.begin() + 17, open.end());
  std::size_t left = 50;
  for (const FakeGateway::Open& one : open) {
    const std::string key = std::get<GetCall>(one.request.call).key;
    one.sink->OnAnswers(
        {FakeGateway::AnswerTo(one, kv::GetResult{.found = true, .value = "of " + key})});
    EXPECT_EQ(session_->open(), --left);
  }
  for (const auto& [id, response] : Answers()) {
    EXPECT_EQ(response.get().value(), "of k" + std::to_string(id / 1000));
  }
  EXPECT_EQ(Answers().size(), 50u);
}

TEST_F(PipelineSessionTest, AnEmptyMessageIsAnsweredWithTheNewestTimestamp) {
  Send("");
  ASSERT_EQ(messages_.size(), 1u);
  EXPECT_EQ(messages_[0].timestamp(), 1u) << "of no write, but not zero";
  EXPECT_EQ(messages_[0].responses_size(), 0);
  gateway_.newest = Timestamp(77);
  Send("");
  ASSERT_EQ(messages_.size(), 2u);
  EXPECT_EQ(messages_[1].timestamp(), 77u);
}

// The stream's own numbers, not the client's, tell its requests apart.
TEST_F(PipelineSessionTest, AClientThatRepeatsAnIdGetsAllAnswers) {
  Send("requests { id: 7 get { key: 'a' } } requests { id: 7 get { key: 'b' } }");
  std::set<std::string> values;
  for (const FakeGateway::Open& one : gateway_.Take(2)) {
    one.sink->OnAnswers({FakeGateway::AnswerTo(
        one, kv::GetResult{.found = true, .value = std::get<GetCall>(one.request.call).key})});
  }
  for (const v1::PipelineResponse& message : messages_) {
    EXPECT_EQ(message.responses(0).id(), 7u);
    values.insert(message.responses(0).get().value());
  }
  EXPECT_EQ(values, (std::set<std::string>{"a", "b"}));
}

TEST_F(PipelineSessionTest, BadRequestsAreAnsweredWithoutTheOthers) {
  Send(R"(
      requests { id: 1 get { key: "" } }
      requests { id: 2 get { key: "k" } }
      requests { id: 3 }
      requests { id: 4 scan { start: "b" end: "a" } })");
  EXPECT_EQ(gateway_.open(), 1u);
  const auto got = Answers();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(ReasonIn(got.at(1)), "BAD_REQUEST");
  EXPECT_EQ(ReasonIn(got.at(3)), "UNIMPLEMENTED");
  EXPECT_EQ(ReasonIn(got.at(4)), "BAD_RANGE");
}

TEST_F(PipelineSessionTest, ErrorsOfTheGatewayTravelWithTheirDetails) {
  Send("requests { id: 9 put { key: 'k' } }");
  for (const FakeGateway::Open& one : gateway_.Take(1)) {
    GatewayAnswer answer;
    answer.id = one.request.id;
    answer.status = Error(Reason::kOutcomeUnknown, "nobody knows");
    one.sink->OnAnswers({answer});
  }
  EXPECT_EQ(ReasonIn(Answers().at(9)), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Answers().at(9).error().code(), static_cast<int>(absl::StatusCode::kUnknown));
}

TEST_F(PipelineSessionTest, ValuesThatDoNotFitOneMessageAreRefused) {
  Send("requests { id: 1 batch_get { keys: 'k' } } requests { id: 2 batch_get { keys: 'k' } }");
  const std::string value(kv::kValueBytesMax, 'v');
  for (const FakeGateway::Open& one : gateway_.Take(2)) {
    std::vector<kv::GetResult> results(8 + one.request.id - 1);
    for (kv::GetResult& result : results) result = {.found = true, .value = value};
    one.sink->OnAnswers({FakeGateway::AnswerTo(one, std::move(results))});
  }
  EXPECT_EQ(Answers().at(1).batch_get().results_size(), 8);
  EXPECT_EQ(ReasonIn(Answers().at(2)), "BATCH_TOO_LARGE");
}

TEST_F(SmallPipelineSessionTest, BeyondTheBoundRequestsAreRefusedUntilAnswersHaveGone) {
  Send("requests { id: 1 get { key: 'k' } } requests { id: 2 get { key: 'k' } }");
  Send("requests { id: 3 get { key: 'k' } } requests { id: 4 get { key: 'k' } }");
  EXPECT_EQ(session_->open(), 3u) << "as many as there is room for";
  EXPECT_EQ(ReasonIn(Answers().at(4)), "OVERLOADED");
  Send("requests { id: 5 get { key: 'k' } }");
  EXPECT_EQ(ReasonIn(Answers().at(5)), "OVERLOADED");
  Send("requests { id: 6 get { key: 'k' } }");
  EXPECT_EQ(ReasonIn(Answers().at(6)), "OVERLOADED");
  for (const FakeGateway::Open& one : gateway_.Take(3)) {
    one.sink->OnAnswers({FakeGateway::AnswerTo(one, kv::GetResult{})});
  }
  Send("requests { id: 7 get { key: 'k' } }");
  EXPECT_EQ(gateway_.open(), 1u);
}

TEST_F(PipelineSessionTest, TimeoutsCountFromTheArrival) {
  Send("requests { id: 1 timeout_ms: 250 get { key: 'k' } } requests { id: 2 get { key: 'k' } }");
  const std::vector<FakeGateway::Open> open = gateway_.Take(2);
  EXPECT_EQ(open[0].request.deadline, clock_.Now() + std::chrono::milliseconds(250));
  EXPECT_EQ(open[1].request.deadline, clock_.Now() + std::chrono::seconds(10));
}

TEST_F(PipelineSessionTest, AnswersAfterTheCloseAreDropped) {
  Send("requests { id: 1 get { key: 'k' } } requests { id: 2 get { key: 'k' } }");
  std::vector<FakeGateway::Open> open = gateway_.Take(2);
  open[0].sink->OnAnswers({FakeGateway::AnswerTo(open[0], kv::GetResult{})});
  session_->Close();
  // What waits in the gateway keeps the session alive, and nothing else.
  const std::weak_ptr<PipelineSession> alive = std::exchange(session_, nullptr);
  open[1].sink->OnAnswers({FakeGateway::AnswerTo(open[1], kv::GetResult{})});
  EXPECT_EQ(messages_.size(), 1u);
  EXPECT_FALSE(alive.expired());
  open.clear();
  EXPECT_TRUE(alive.expired());
}

TEST_F(PipelineSessionTest, AScanGoesOnByTheTokenOfItsPage) {
  Send("requests { id: 1 scan { prefix: 'ab' limit: 2 } }");
  for (const FakeGateway::Open& one : gateway_.Take(1)) {
    one.sink->OnAnswers({FakeGateway::AnswerTo(
        one, kv::ScanPage{.rows = {{.key = "ab1"}}, .more = true, .resume_key = "ab2"})});
  }
  v1::PipelineRequest next;
  v1::ScanRequest& scan = *next.add_requests()->mutable_scan();
  scan.set_prefix("ab");
  scan.set_continuation_token(Answers().at(1).scan().continuation_token());
  session_->OnRequests(next);
  const std::vector<FakeGateway::Open> open = gateway_.Take(1);
  EXPECT_EQ(std::get<ScanCall>(open[0].request.call).request.start, "ab2");
}

// ---- keyspaces that this node has not heard of yet ---------------------------------------------

TEST_F(PipelineSessionTest, AnUnknownKeyspaceIsLookedForOnceMore) {
  Send(R"(
      requests { id: 1 get { header { keyspace: "new" } key: "k" } }
      requests { id: 2 get { key: "k" } }
      requests { id: 3 scan { header { keyspace: "new" } start: "a" } timeout_ms: 60000 })");
  EXPECT_EQ(gateway_.open(), 1u) << "others do not wait for it";
  ASSERT_EQ(gateway_.refreshes(), 1u) << "one look for all that came together";
  gateway_.AddKeyspace("new", 7);
  FakeGateway::Refresh refresh = gateway_.TakeRefresh();
  EXPECT_EQ(refresh.deadline, clock_.Now() + std::chrono::seconds(60));
  EXPECT_TRUE(messages_.empty());
  refresh.done(absl::OkStatus());
  const std::vector<FakeGateway::Open> open = gateway_.Take(3);
  EXPECT_EQ(std::get<GetCall>(open[1].request.call).keyspace, kv::KeyspaceId(7));
  EXPECT_EQ(std::get<GetCall>(open[1].request.call).key, "k");
  EXPECT_EQ(open[1].request.deadline, clock_.Now() + std::chrono::seconds(10));
  EXPECT_EQ(std::get<ScanCall>(open[2].request.call).request.keyspace, kv::KeyspaceId(7));
  open[1].sink->OnAnswers({FakeGateway::AnswerTo(open[1], kv::GetResult{})});
  EXPECT_TRUE(Answers().at(1).has_get());
}

TEST_F(PipelineSessionTest, AKeyspaceThatDoesNotExistIsNotFound) {
  Send(R"(requests { id: 1 put { header { keyspace: "none" } key: "k" } })");
  gateway_.TakeRefresh().done(absl::OkStatus());
  EXPECT_EQ(ReasonIn(Answers().at(1)), "KEYSPACE_NOT_FOUND");
  EXPECT_EQ(gateway_.refreshes(), 0u) << "once";
  EXPECT_EQ(gateway_.open(), 0u);
}

TEST_F(PipelineSessionTest, ADirectoryThatCannotBeReadIsNotAMissingKeyspace) {
  Send(R"(requests { id: 1 put { header { keyspace: "new" } key: "k" } })");
  gateway_.TakeRefresh().done(Error(Reason::kNoQuorum, "the directory has no leader"));
  EXPECT_EQ(ReasonIn(Answers().at(1)), "NO_QUORUM");
}

TEST_F(SmallPipelineSessionTest, HeldRequestsCountAsOpen) {
  Send(R"(
      requests { id: 1 get { header { keyspace: "new" } key: "k" } }
      requests { id: 2 get { header { keyspace: "new" } key: "k" } }
      requests { id: 3 get { key: "k" } }
      requests { id: 4 get { header { keyspace: "new" } key: "k" } })");
  EXPECT_EQ(ReasonIn(Answers().at(4)), "OVERLOADED");
  Send(R"(requests { id: 5 get { key: "k" } })");
  EXPECT_EQ(ReasonIn(Answers().at(5)), "OVERLOADED");
  gateway_.TakeRefresh().done(absl::OkStatus());
  EXPECT_EQ(ReasonIn(Answers().at(1)), "KEYSPACE_NOT_FOUND");
  Send(R"(requests { id: 6 get { key: "k" } })");
  EXPECT_EQ(gateway_.open(), 2u);
}

TEST_F(PipelineSessionTest, AStreamMayEndWhileItLooks) {
  Send(R"(requests { id: 1 get { header { keyspace: "new" } key: "k" } })");
  FakeGateway::Refresh refresh = gateway_.TakeRefresh();
  session_->Close();
  session_ = nullptr;
  refresh.done(absl::OkStatus());
  EXPECT_TRUE(messages_.empty());
}

}  // namespace
}  // namespace flotilla
