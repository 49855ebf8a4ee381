#include "shard/answers.h"

#include <gtest/gtest.h>

#include <utility>

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
  const GatewayAnswer written = AnswerOf(kv::WriteResult{});
  const GatewayAnswer got = AnswerOf(kv::GetResult{});
  const GatewayAnswer got_two = AnswerOf(std::vector<kv::GetResult>(2));
  const GatewayAnswer page = AnswerOf(kv::ScanPage{});
  const std::pair<const GatewayRequest*, const GatewayAnswer*> pairs[] = {
      {&write, &written}, {&get, &got}, {&gets, &got_two}, {&scan, &page}};
  for (const auto& [request, own] : pairs) {
    for (const auto& [other, answer] : pairs) {
      EXPECT_EQ(Fits(*request, *answer), request == other);
    }
    EXPECT_FALSE(Fits(*request, GatewayAnswer{}));
  }
  EXPECT_FALSE(Fits(gets, AnswerOf(std::vector<kv::GetResult>(1))));
}

}  // namespace
}  // namespace flotilla
