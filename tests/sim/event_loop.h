// EventLoop: virtual time. All nodes and clients of a simulation run on it, in one thread.
//
// Events run in the order of their time, then of their making, so that a run repeats exactly. Each
// event belongs to a process; the events of a killed process never run.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/function.h"

namespace flotilla::sim {

using ProcessId = std::uint32_t;
// Of events that belong to the world: they always run.
inline constexpr ProcessId kNoProcess = 0;

// Kinds of events: of peers' messages, which may overtake each other, and of clients' connections,
// which keep their order.
constexpr std::uint32_t kFirstPeerEvent = 10;
constexpr std::uint32_t kFirstClientEvent = 20;
constexpr std::uint32_t kEndOfNetworkEvents = 30;

class EventLoop {
 public:
  // Writes a line per event and per traced value, to find where two runs part. Null: none.
  explicit EventLoop(std::FILE* trace_file = nullptr);
  ~EventLoop();

  MonoTime now() const { return now_; }

  // `what` names the kind of event in the trace hash.
  void At(MonoTime time, ProcessId process, std::uint32_t what, Closure closure);

  // Runs all events up to `time`, which is then now.
  void RunUntil(MonoTime time);
  void RunFor(Duration time) { RunUntil(now_ + time); }

  // Destroys all events of the process.
  void Purge(ProcessId process);
  // A paused process's events wait until it is resumed.
  void Pause(ProcessId process) { paused_.insert(process); }
  // What waited runs now, but what came from the network within `jitter`: the connections of a
  // process are served in any order.
  void Resume(ProcessId process, Duration jitter);
  bool paused(ProcessId process) const { return paused_.contains(process); }

  // Virtual time that the running event takes (a slow disk): what it posts happens later by that.
  void Charge(Duration time) {
    if (charging_) charged_ += time;
  }
  void SetCharging(bool charging) { charging_ = charging; }
  Duration charged() const { return charged_; }

  // Of everything that happened: equal seeds, equal hashes.
  std::uint64_t trace_hash() const { return trace_; }
  void Trace(std::uint64_t value);
  std::uint64_t events() const { return events_; }
  std::FILE* trace_file() const { return trace_file_; }

 private:
  struct Event {
    ProcessId process = 0;
    std::uint32_t what = 0;
    Closure closure;
  };
  using Key = std::pair<MonoTime, std::uint64_t>;

  std::FILE* const trace_file_;
  MonoTime now_{};
  Duration charged_{0};
  bool charging_ = true;
  std::uint64_t next_ = 1;
  std::map<Key, Event> events_queue_;
  std::multimap<ProcessId, Event> waiting_;  // of paused processes
  std::set<ProcessId> paused_;
  std::uint64_t trace_ = 0x9e3779b97f4a7c15ull;
  std::uint64_t events_ = 0;
};

}  // namespace flotilla::sim
