#include "shard/answers.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>

#include "shard/pending_batch.h"
#include "tests/kv/machine.h"

namespace flotilla {
namespace {

template <class Call>
GatewayRequest RequestOf(Call call) {
  GatewayRequest request;
  request.call = std::move(call);
  return request;
}

template <class Result>
GatewayAnswer AnswerOf(Result result) {
  GatewayAnswer answer;
  answer.result = std::move(result);
  return answer;
}

TEST(Answers, FitOnlyWhatTheirRequestAskedFor) {
  const GatewayRequest write = RequestOf(WriteCall{});
  const GatewayRequest get = RequestOf(GetCall{});
  const GatewayRequest gets = RequestOf(BatchGetCall{.keys = {"a", "b"}});
  const GatewayRequest scan = RequestOf(ScanCall{});
  const GatewayRequest aggregate = RequestOf(AggregateCall{});
  const GatewayAnswer written = AnswerOf(kv::WriteResult{});
  const GatewayAnswer got = AnswerOf(kv::GetResult{});
  const GatewayAnswer got_two = AnswerOf(std::vector<kv::GetResult>(2));
  const GatewayAnswer page = AnswerOf(kv::ScanPage{});
  const GatewayAnswer counted = AnswerOf(kv::AggregatePage{});
  const std::pair<const GatewayRequest*, const GatewayAnswer*> pairs[] = {
      {&write, &written}, {&get, &got}, {&gets, &got_two}, {&scan, &page}, {&aggregate, &counted}};
  for (const auto& [request, own] : pairs) {
    for (const auto& [other, answer] : pairs) {
      EXPECT_EQ(Fits(*request, *answer), request == other);
    }
    EXPECT_FALSE(Fits(*request, GatewayAnswer{}));
  }
  EXPECT_FALSE(Fits(gets, AnswerOf(std::vector<kv::GetResult>(1))));
}

class Answered final : public AnswerSink {
 public:
  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    for (GatewayAnswer& answer : answers) by_id_[answer.id] = std::move(answer);
  }
  const GatewayAnswer& at(std::uint64_t id) const { return by_id_.at(id); }

 private:
  std::map<std::uint64_t, GatewayAnswer> by_id_;
};

// Gets of several who ask are looked up together, but each for itself is sent on or answered.
TEST(Answers, AKeyThatTheGroupHasNotSpoilsNobodyElsesGet) {
  kv::Machine machine;
  machine.Write(kv::Put("a", "1"));
  machine.Write(kv::Put("b", "2"));
  machine.Control(kv::kParent, kv::SplitAt("m"));
  std::vector<GatewayRequest> requests;
  for (const char* key : {"a", "x", "b", "y"}) {
    requests.push_back(RequestOf(GetCall{.key = key}));
    requests.back().id = requests.size();
  }
  requests.push_back(RequestOf(BatchGetCall{.keys = {"a", "x"}}));
  requests.back().id = 5;
  const auto sink = std::make_shared<Answered>();
  const auto batch = std::make_shared<PendingBatch>(std::move(requests), sink);
  std::vector<Ticket> tickets;
  for (std::uint32_t slot = 0; slot < batch->size(); ++slot) tickets.push_back({batch, slot});
  {
    AnswerCollector answers;
    ReadAnswers(machine.store(), tickets, {}, answers);
  }
  EXPECT_EQ(std::get<kv::GetResult>(sink->at(1).result).value, "1");
  EXPECT_EQ(ReasonOf(sink->at(2).status), Reason::kWrongShard);
  EXPECT_EQ(std::get<kv::GetResult>(sink->at(3).result).value, "2");
  EXPECT_EQ(ReasonOf(sink->at(4).status), Reason::kWrongShard);
  EXPECT_EQ(ReasonOf(sink->at(5).status), Reason::kWrongShard);
}

// As for reads: whoever asked learns what the group holds.
TEST(Answers, AWriteToTheWrongGroupIsToldWhatTheGroupHolds) {
  kv::Machine machine;
  machine.Control(kv::kParent, kv::SplitAt("m"));
  kv::WriteResult result;
  result.outcome = kv::WriteOutcome::kWrongShard;
  const GatewayAnswer answer = WriteAnswer(result, machine.store(), kv::kParent, NodeId(1));
  EXPECT_EQ(ReasonOf(answer.status), Reason::kWrongShard);
  const ErrorMetadata metadata = MetadataOf(answer.status);
  const auto epoch = std::to_string(machine.store().range().epoch.value());
  EXPECT_EQ(metadata.at(std::string(kGroupMetadata)), std::to_string(kv::kParent.value()));
  EXPECT_EQ(metadata.at(std::string(kEpochMetadata)), epoch);
  EXPECT_EQ(metadata.count(std::string(kRangeStartMetadata)), 1u);
  EXPECT_NE(metadata.at(std::string(kRangeEndMetadata)), "");
}

}  // namespace
}  // namespace flotilla
