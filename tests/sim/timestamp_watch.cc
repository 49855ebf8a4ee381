#include "tests/sim/timestamp_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kAsk = 50;
constexpr Duration kBetweenMax = std::chrono::milliseconds(20);
constexpr Duration kWithin = std::chrono::seconds(2);

}  // namespace

void TimestampWatch::Next() {
  const auto between = static_cast<std::int64_t>(
      random_.Below(static_cast<std::uint64_t>(Duration(kBetweenMax).count()) + 1));
  loop_->At(loop_->now() + Duration(between), kNoProcess, kAsk, [this] {
    if (ended_) return;
    Ask();
    Next();
  });
}

void TimestampWatch::Ask() {
  const int node = static_cast<int>(random_.Below(static_cast<std::uint64_t>(cluster_->size())));
  const std::uint64_t count = random_.Between(1, 4);
  if (!cluster_->running(node) || loop_->paused(SimCluster::IdOf(node))) return;
  cluster_->node(node)->TakeTimestamps(
      count, cluster_->process(node)->Now() + kWithin,
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
