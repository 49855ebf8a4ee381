#include "shard/gathered_submits.h"

#include <algorithm>
#include <utility>

#include "base/turn.h"

namespace flotilla {
namespace {

// What is larger stays by itself: the requests of a batch are kept until the last is answered.
constexpr std::size_t kGatheredBytesMax = 16 << 10;

bool IsLarge(const std::vector<GatewayRequest>& requests) {
  std::size_t bytes = 0;
  for (const GatewayRequest& request : requests) {
    if (const auto* write = std::get_if<WriteCall>(&request.call)) bytes += write->command.size();
    if (const auto* gets = std::get_if<BatchGetCall>(&request.call))
      bytes += 64 * gets->keys.size();
  }
  return bytes > kGatheredBytesMax;
}

}  // namespace

// Hands answers to those who have submitted their requests.
class GatheredSubmits::Sink final : public AnswerSink {
 public:
  explicit Sink(std::vector<Owner> owners) : owners_(std::move(owners)) {}

  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    const GatheringTurn gathering;
    std::shared_ptr<AnswerSink> sink;
    std::vector<GatewayAnswer> own;
    for (GatewayAnswer& answer : answers) {
      // Each has one answer: nobody else touches this owner.
      Owner& owner = owners_[answer.id];
      if (owner.sink != sink) {
        if (sink) sink->OnAnswers(std::exchange(own, {}));
        sink = owner.sink;
      }
      owner.sink = nullptr;
      answer.id = owner.id;
      own.push_back(std::move(answer));
    }
    if (sink) sink->OnAnswers(std::move(own));
  }

 private:
  std::vector<Owner> owners_;
};

void GatheredSubmits::Add(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) {
  if (!GatheringTurn::Active() || IsLarge(requests)) {
    submit_(std::move(requests), std::move(sink));
    return;
  }
  bool first = false;
  {
    std::lock_guard lock(mutex_);
    first = requests_.empty();
    for (GatewayRequest& request : requests) {
      owners_.push_back({.sink = sink, .id = std::exchange(request.id, owners_.size())});
      requests_.push_back(std::move(request));
    }
  }
  if (!first) return;
  GatheringTurn::AtEnd([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Flush();
  });
}

void GatheredSubmits::Flush() {
  std::vector<GatewayRequest> requests;
  std::vector<Owner> owners;
  {
    std::lock_guard lock(mutex_);
    requests = std::exchange(requests_, {});
    owners = std::exchange(owners_, {});
  }
  if (requests.empty()) return;
  const std::shared_ptr<AnswerSink> first = owners.front().sink;
  const bool alone = std::all_of(owners.begin(), owners.end(),
                                 [&](const Owner& owner) { return owner.sink == first; });
  if (!alone) {
    submit_(std::move(requests), std::make_shared<Sink>(std::move(owners)));
    return;
  }
  for (std::size_t i = 0; i < owners.size(); ++i) requests[i].id = owners[i].id;
  submit_(std::move(requests), first);
}

}  // namespace flotilla
