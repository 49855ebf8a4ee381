// Roamer: asks a node at random now and then, whatever happens to the nodes: what the watches have
// in common that do so all the time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/random.h"
#include "base/types.h"
#include "shard/gateway.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

class Roamer {
 public:
  struct Options {
    std::uint64_t seed = 1;
    std::uint32_t event = 0;  // the kind, in traces
    Duration between_max{0};
    Duration within{0};  // that a node has for its answer
  };
  Roamer(const Options& options, EventLoop* loop, SimCluster* cluster)
      : options_(options), loop_(loop), cluster_(cluster), random_(options.seed) {}

  // Acts now and then, until End().
  void Start(std::function<void()> act);
  void End() { ended_ = true; }
  bool ended() const { return ended_; }
  // Once, after a while.
  void After(Duration pause, Closure closure);

  Random& random() { return random_; }
  // One that runs; nothing: the one that was drawn does not.
  std::optional<int> AnyNode();
  // Of a node that runs. What a dying node answers may come later than this lives: nobody hears it.
  void Ask(int node, GatewayCall call, UniqueFunction<void(GatewayAnswer)> done);
  void TakeTimestamps(int node, std::uint64_t count,
                      UniqueFunction<void(StatusOr<Timestamp>)> done);

 private:
  void Next();
  MonoTime DeadlineAt(int node) const;
  // The same, as long as this lives.
  template <class Answer>
  UniqueFunction<void(Answer)> WhileAlive(UniqueFunction<void(Answer)> done) const;

  const Options options_;
  EventLoop* const loop_;
  SimCluster* const cluster_;
  Random random_;
  std::function<void()> act_;
  bool ended_ = false;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace flotilla::sim
