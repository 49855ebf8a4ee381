#include "shard/vacuum/trigger.h"

#include <algorithm>

#include "base/timestamp.h"

namespace flotilla {
namespace {

// Time that is so far behind is moved.
constexpr std::uint64_t kBehindMs = 1'000;

std::uint64_t Milliseconds(Duration time) {
  return static_cast<std::uint64_t>(time / std::chrono::milliseconds(1));
}

}  // namespace

VacuumStep NextVacuumStep(const VacuumSubject& subject, const VacuumOptions& options,
                          std::uint64_t now_ms) {
  const kv::VersionStats& versions = subject.versions;
  const auto enough = [&](std::uint64_t count) {
    const double wanted = static_cast<double>(options.versions_min) +
                          options.fraction_min * static_cast<double>(versions.live());
    return count > 0 && static_cast<double>(count) >= wanted;
  };
  if (enough(versions.due)) return VacuumStep::kCollect;
  const bool old = subject.since_last_run >= options.age_max;
  if (versions.due > 0 && old) return VacuumStep::kSweep;
  // What is dead, and not yet due.
  const auto due_at = [&](Timestamp safe_point) {
    const kv::Spread dead{.count = versions.dead,
                          .first = versions.dead_first.value(),
                          .last = versions.dead_last.value()};
    const std::uint64_t due = dead.Until(safe_point);
    return enough(due) || (old && due > 0);
  };
  if (subject.safe_point > subject.collects_up_to && due_at(subject.safe_point)) {
    return VacuumStep::kFlush;
  }
  const std::uint64_t kept_ms = std::max(subject.retention_ms, Milliseconds(options.unheard_max));
  if (!subject.leads || kept_ms >= now_ms ||
      MillisecondsOf(subject.last_timestamp) + kBehindMs > now_ms) {
    return VacuumStep::kNothing;
  }
  const auto at = [&](std::uint64_t ms_ago) {
    return Timestamp((now_ms - std::min(now_ms, ms_ago)) << kTimestampCounterBits);
  };
  const Timestamp held = std::max(subject.oldest_reader, at(Milliseconds(options.hold_max)));
  const Timestamp reachable = std::min(at(kept_ms), held);
  const bool helps = reachable > subject.safe_point && due_at(reachable);
  return helps ? VacuumStep::kMoveTime : VacuumStep::kNothing;
}

}  // namespace flotilla
