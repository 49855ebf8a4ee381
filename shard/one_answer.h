// OneAnswer: hands the answer of a single request to a callback.
#pragma once

#include <utility>
#include <vector>

#include "base/function.h"
#include "shard/gateway.h"

namespace flotilla {

class OneAnswer final : public AnswerSink {
 public:
  explicit OneAnswer(UniqueFunction<void(GatewayAnswer)> done) : done_(std::move(done)) {}
  void OnAnswers(std::vector<GatewayAnswer> answers) override { done_(std::move(answers.front())); }

 private:
  UniqueFunction<void(GatewayAnswer)> done_;
};

}  // namespace flotilla
