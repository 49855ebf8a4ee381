// TimestampWatch: takes timestamps from nodes all the time, whatever happens to them, and knows
// what must not come: one that was given before, or one that is not above all that anybody had
// received when it was asked for. The commits of writes are held to the same.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/types.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/roamer.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

class TimestampWatch {
 public:
  TimestampWatch(EventLoop* loop, SimCluster* cluster, std::uint64_t seed);

  void Start() {
    roamer_.Start([this] { Ask(); });
  }
  void End() { roamer_.End(); }

  // The newest that anybody has received.
  Timestamp newest() const { return newest_; }
  // These were given, to somebody who asked when newest() was `before`.
  void Note(Timestamp before, Timestamp first, std::uint64_t count);

  // How often a node has answered.
  std::uint64_t answers() const { return answers_; }
  const std::string& failure() const { return failure_; }

 private:
  void Ask();

  EventLoop* const loop_;
  Roamer roamer_;
  Timestamp newest_;
  std::map<Timestamp, Timestamp> given_;  // first -> last
  std::uint64_t answers_ = 0;
  std::string failure_;
};

}  // namespace flotilla::sim
