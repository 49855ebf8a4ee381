#include "tests/sim/event_loop.h"

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace flotilla::sim {

EventLoop::EventLoop(std::FILE* trace_file) : trace_file_(trace_file) {}
EventLoop::~EventLoop() = default;

void EventLoop::Trace(std::uint64_t value) {
  trace_ = (trace_ ^ value) * 0xff51afd7ed558ccdull;
  trace_ ^= trace_ >> 32;
  if (trace_file_ != nullptr) {
    std::fprintf(trace_file_, "%lld %016llx\n",
                 static_cast<long long>(now_.time_since_epoch().count()),
                 static_cast<unsigned long long>(value));
  }
}

void EventLoop::At(MonoTime time, ProcessId process, std::uint32_t what, Closure closure) {
  events_queue_.emplace(Key(std::max(time, now_), next_++),
                        Event{.process = process, .what = what, .closure = std::move(closure)});
}

void EventLoop::RunUntil(MonoTime time) {
  while (!events_queue_.empty() && events_queue_.begin()->first.first <= time) {
    auto node = events_queue_.extract(events_queue_.begin());
    now_ = node.key().first;
    Event event = std::move(node.mapped());
    if (paused_.contains(event.process)) {
      waiting_.emplace(event.process, std::move(event));
      continue;
    }
    ++events_;
    Trace(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    Trace(static_cast<std::uint64_t>(event.process) << 32 | event.what);
    charged_ = Duration(0);
    event.closure();
    event.closure = nullptr;
    charged_ = Duration(0);
  }
  now_ = std::max(now_, time);
}

void EventLoop::Purge(ProcessId process) {
  std::vector<Event> doomed;
  for (auto one = events_queue_.begin(); one != events_queue_.end();) {
    if (one->second.process == process) {
      doomed.push_back(std::move(one->second));
      one = events_queue_.erase(one);
    } else {
      ++one;
    }
  }
  const auto [first, last] = waiting_.equal_range(process);
  for (auto one = first; one != last; ++one) doomed.push_back(std::move(one->second));
  waiting_.erase(first, last);
  paused_.erase(process);
}

void EventLoop::Resume(ProcessId process, Duration jitter) {
  paused_.erase(process);
  const auto [first, last] = waiting_.equal_range(process);
  std::vector<Event> events;
  for (auto one = first; one != last; ++one) events.push_back(std::move(one->second));
  waiting_.erase(first, last);
  Random random(trace_);
  const auto draw = [&] {
    return Duration(
        static_cast<std::int64_t>(random.Below(static_cast<std::uint64_t>(jitter.count()) + 1)));
  };
  // Often before any peer.
  Duration clients = draw();
  if (clients < jitter / 2) clients = Duration(0);
  for (Event& event : events) {
    Duration wait{0};
    if (event.what >= kFirstPeerEvent && event.what < kFirstClientEvent) wait = draw();
    if (event.what >= kFirstClientEvent && event.what < kEndOfNetworkEvents) wait = clients;
    At(now_ + wait, event.process, event.what, std::move(event.closure));
  }
}

}  // namespace flotilla::sim
