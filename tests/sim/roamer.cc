#include "tests/sim/roamer.h"

#include <utility>
#include <vector>

#include "shard/one_answer.h"

namespace flotilla::sim {

void Roamer::Start(std::function<void()> act) {
  act_ = std::move(act);
  Next();
}

void Roamer::Next() {
  const auto between = static_cast<std::int64_t>(
      random_.Below(static_cast<std::uint64_t>(options_.between_max.count()) + 1));
  After(Duration(between), [this] {
    if (ended_) return;
    act_();
    Next();
  });
}

void Roamer::After(Duration pause, Closure closure) {
  loop_->At(loop_->now() + pause, kNoProcess, options_.event, std::move(closure));
}

std::optional<int> Roamer::AnyNode() {
  const int node = static_cast<int>(random_.Below(static_cast<std::uint64_t>(cluster_->size())));
  if (!cluster_->running(node) || loop_->paused(SimCluster::IdOf(node))) return std::nullopt;
  return node;
}

MonoTime Roamer::DeadlineAt(int node) const {
  return cluster_->process(node)->Now() + options_.within;
}

template <class Answer>
UniqueFunction<void(Answer)> Roamer::WhileAlive(UniqueFunction<void(Answer)> done) const {
  return [alive = std::weak_ptr(alive_), done = std::move(done)](Answer answer) mutable {
    if (!alive.expired()) done(std::move(answer));
  };
}

void Roamer::Ask(int node, GatewayCall call, UniqueFunction<void(GatewayAnswer)> done) {
  std::vector<GatewayRequest> requests(1);
  requests[0].deadline = DeadlineAt(node);
  requests[0].call = std::move(call);
  cluster_->node(node)->gateway().Submit(std::move(requests),
                                         std::make_shared<OneAnswer>(WhileAlive(std::move(done))));
}

void Roamer::TakeTimestamps(int node, std::uint64_t count,
                            UniqueFunction<void(StatusOr<Timestamp>)> done) {
  cluster_->node(node)->TakeTimestamps(count, DeadlineAt(node), WhileAlive(std::move(done)));
}

}  // namespace flotilla::sim
