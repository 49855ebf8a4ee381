#include "tests/sim/timestamp_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kAsk = 50;
constexpr Duration kBetweenMax = std::chrono::milliseconds(20);
constexpr Duration kWithin = std::chrono::seconds(2);

}  // namespace

TimestampWatch::TimestampWatch(EventLoop* loop, SimCluster* cluster, std::uint64_t seed)
    : loop_(loop),
      roamer_({.seed = seed, .event = kAsk, .between_max = kBetweenMax, .within = kWithin}, loop,
              cluster) {}

void TimestampWatch::Ask() {
  const std::optional<int> node = roamer_.AnyNode();
  const std::uint64_t count = roamer_.random().Between(1, 4);
  if (!node) return;
  roamer_.TakeTimestamps(*node, count,
                         [this, count, before = newest_](const StatusOr<Timestamp>& first) {
                           if (!first.ok()) return;
                           ++answers_;
                           loop_->Trace(first->value());
                           Note(before, *first, count);
                         });
}

void TimestampWatch::Note(Timestamp before, Timestamp first, std::uint64_t count) {
  const Timestamp last = first + (count - 1);
  if (first <= before && failure_.empty()) {
    failure_ = fmt::format("timestamp {} was asked for when {} had been received already",
                           first.value(), before.value());
  }
  const auto next = given_.upper_bound(last);
  if (next != given_.begin() && std::prev(next)->second >= first && failure_.empty()) {
    failure_ = fmt::format("timestamps {} to {} were given twice", first.value(), last.value());
  }
  given_[first] = last;
  newest_ = std::max(newest_, last);
}

}  // namespace flotilla::sim
