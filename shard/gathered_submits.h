// GatheredSubmits: requests that the turns of threads (base/turn.h) submit piece by piece go on
// together when a turn ends, as if one caller had submitted them all.
//
// A batch is proposed, forwarded, read and answered together, and transactions submit what they do
// one by one. What comes outside of a turn, or is large, goes on at once.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "shard/gateway.h"

namespace flotilla {

class GatheredSubmits {
 public:
  using Submit = std::function<void(std::vector<GatewayRequest>, std::shared_ptr<AnswerSink>)>;
  explicit GatheredSubmits(Submit submit) : submit_(std::move(submit)) {}

  // Any thread; the caller holds no lock that an answer wants.
  void Add(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink);

 private:
  class Sink;
  // Who has submitted a request, by which number.
  struct Owner {
    std::shared_ptr<AnswerSink> sink;
    std::uint64_t id = 0;
  };
  void Flush();

  const Submit submit_;
  std::mutex mutex_;
  std::vector<GatewayRequest> requests_;
  std::vector<Owner> owners_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace flotilla
