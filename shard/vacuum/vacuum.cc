#include "shard/vacuum/vacuum.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/timestamp.h"

namespace flotilla {
namespace {

constexpr std::size_t kWantedMax = 1024;
// Between preparations of one group.
constexpr Duration kPrepareEvery = std::chrono::seconds(10);
// A run that others' compactions are in the way of.
constexpr int kRefusalsMax = 20;
constexpr Duration kRefusedPause = std::chrono::milliseconds(500);
constexpr Duration kPauseMax = std::chrono::seconds(10);
// How long a run waits for the group's time to come.
constexpr Duration kTimeWithin = std::chrono::seconds(3);
constexpr Duration kTimePause = std::chrono::milliseconds(20);
constexpr std::uint64_t kTimeSlackMs = 200;

Status Gone() { return Error(Reason::kGroupNotFound, "this node has no replica of the group"); }

}  // namespace

Vacuum::Vacuum(const VacuumOptions& options, World world)
    : options_(options), world_(std::move(world)), opened_(world_.clock->Now()) {}

VacuumReport Vacuum::Report(GroupId group) const {
  std::lock_guard lock(mutex_);
  const auto found = reports_.find(group);
  return found == reports_.end() ? VacuumReport() : found->second;
}

void Vacuum::Run(GroupId group, UniqueFunction<void(StatusOr<VacuumReport>)> done) {
  if (!world_.find(group)) {
    done(Gone());
  } else if (world_.scope->stopping()) {
    done(Error(Reason::kNodeStopping, "the node is stopping"));
  } else if (wanted_.size() >= kWantedMax) {
    done(Error(Reason::kOverloaded, "too many vacuums were asked for: try again later"));
  } else {
    wanted_.push_back({.group = group, .done = std::move(done)});
    Begin();
  }
}

void Vacuum::Look() {
  if (options_.automatic) Begin();
}

void Vacuum::Begin() {
  if (working_ || world_.scope->stopping()) return;
  working_ = true;
  world_.scope->Spawn(Work());
}

Task<> Vacuum::Work() {
  while (!world_.scope->stopping()) {
    if (!wanted_.empty()) {
      Wanted wanted = std::move(wanted_.front());
      wanted_.pop_front();
      std::weak_ptr<Replica> replica = world_.find(wanted.group);
      const Status status = co_await Thorough(std::move(replica));
      if (status.ok()) {
        wanted.done(Report(wanted.group));
      } else {
        wanted.done(status);
      }
      continue;
    }
    kv::VacuumPass pass;
    std::weak_ptr<Replica> chosen = Choose(pass);
    if (chosen.expired()) break;
    const Status status = co_await Pass(std::move(chosen), std::move(pass), options_.pause);
    if (!status.ok()) world_.logger->debug("a vacuum: {}", MessageOf(status));
  }
  working_ = false;
  for (Wanted& wanted : std::exchange(wanted_, {})) {
    wanted.done(Error(Reason::kNodeStopping, "the node is stopping"));
  }
}

VacuumSubject Vacuum::SubjectOf(Replica& replica) const {
  const kv::Store& store = replica.store();
  const auto last = last_run_.find(replica.id());
  return {
      .versions = store.Versions(),
      .safe_point = store.safe_point(),
      .collects_up_to = store.collects_up_to(),
      .last_timestamp = store.last_timestamp(),
      .retention_ms = store.retention_ms(),
      .oldest_reader = world_.oldest_reader(),
      .leads = replica.leads(),
      .since_last_run = world_.clock->Now() - (last == last_run_.end() ? opened_ : last->second)};
}

std::shared_ptr<Replica> Vacuum::Choose(kv::VacuumPass& pass) {
  if (!options_.automatic) return nullptr;
  const std::uint64_t now_ms = MillisecondsOf(world_.clock->WallNow());
  std::shared_ptr<Replica> chosen;
  std::uint64_t most = 0;
  for (const std::shared_ptr<Replica>& replica : world_.replicas()) {
    const VacuumSubject subject = SubjectOf(*replica);
    const VacuumStep step = NextVacuumStep(subject, options_, now_ms);
    if (step == VacuumStep::kFlush || step == VacuumStep::kMoveTime) Prepare(replica, step);
    const bool now = step == VacuumStep::kCollect || step == VacuumStep::kSweep;
    // What a run has left, another would leave as well: counts are of a moment ago.
    const bool again = subject.since_last_run < kPrepareEvery && last_run_.contains(replica->id());
    if (!now || again || subject.versions.due <= most) continue;
    chosen = replica;
    most = subject.versions.due;
    if (step == VacuumStep::kSweep) pass.fraction_min = 0;
  }
  return chosen;
}

void Vacuum::Prepare(const std::shared_ptr<Replica>& replica, VacuumStep step) {
  const MonoTime now = world_.clock->Now();
  MonoTime& last = prepared_.try_emplace(replica->id(), now - kPrepareEvery).first->second;
  if (now - last < kPrepareEvery) return;
  last = now;
  if (step == VacuumStep::kMoveTime) {
    replica->MoveTimeTo(MillisecondsOf(world_.clock->WallNow()));
    return;
  }
  // What may go then is to be known soon, though the group may be asleep.
  replica->group().Post([replica, measure = world_.measure] {
    replica->group().Compact(
        [weak = std::weak_ptr(replica), measure](const StatusOr<raft::Index>& flushed) {
          const std::shared_ptr<Replica> there = flushed.ok() ? weak.lock() : nullptr;
          if (there) measure(there);
        });
  });
}

// Everything that the retention allows by now.
Task<Status> Vacuum::Thorough(std::weak_ptr<Replica> weak) {
  std::weak_ptr<Replica> moving = weak;
  const bool moved = co_await TimeMoves(std::move(moving));
  if (const std::shared_ptr<Replica> replica = weak.lock(); !replica) {
    co_return Gone();
  } else if (!moved) {
    world_.logger->info("group {}: the vacuum goes without the last seconds",
                        replica->id().value());
  }
  const StatusOr<raft::Index> flushed =
      co_await AwaitCallback<StatusOr<raft::Index>>([&](Completion<StatusOr<raft::Index>> done) {
        const std::shared_ptr<Replica> replica = weak.lock();
        if (!replica) {
          done(Gone());
          return;
        }
        replica->group().Post([replica, done = std::move(done)]() mutable {
          replica->group().Compact(std::move(done));
        });
      });
  if (!flushed.ok()) co_return flushed.status();
  kv::VacuumPass pass;
  pass.thorough = true;
  const Status status = co_await Pass(std::move(weak), std::move(pass), /*pause=*/0);
  co_return status;
}

// The group's time has come to about now: what was superseded by then counts. False: not in time.
Task<bool> Vacuum::TimeMoves(std::weak_ptr<Replica> weak) {
  const std::uint64_t wanted_ms = MillisecondsOf(world_.clock->WallNow());
  const MonoTime until = world_.clock->Now() + kTimeWithin;
  for (;;) {
    {
      const std::shared_ptr<Replica> replica = weak.lock();
      if (!replica) co_return false;
      const std::uint64_t now_ms = MillisecondsOf(replica->store().last_timestamp());
      if (now_ms + kTimeSlackMs >= wanted_ms) co_return true;
      if (replica->leads()) replica->MoveTimeTo(wanted_ms);
    }
    if (world_.clock->Now() >= until) co_return false;
    const bool go_on = co_await SleepFor(kTimePause);
    if (!go_on) co_return false;
  }
}

Task<Status> Vacuum::Pass(std::weak_ptr<Replica> weak, kv::VacuumPass pass, double pause) {
  const MonoTime begun = world_.clock->Now();
  GroupId group;
  std::uint64_t collected = 0;
  std::uint64_t bytes = 0;
  {
    const std::shared_ptr<Replica> replica = weak.lock();
    if (!replica) co_return Gone();
    group = replica->id();
    collected = replica->store().Counts().versions_collected;
    bytes = replica->store().Versions().file_bytes;
    std::lock_guard lock(mutex_);
    reports_[group].running = true;
  }
  std::weak_ptr<Replica> sliced = weak;
  Status status = co_await TakeSlices(std::move(sliced), std::move(pass), pause);
  const std::shared_ptr<Replica> replica = weak.lock();
  last_run_[group] = world_.clock->Now();
  if (!replica) {
    last_run_.erase(group);
    prepared_.erase(group);
    std::lock_guard lock(mutex_);
    reports_.erase(group);
    co_return Gone();
  }
  std::lock_guard lock(mutex_);
  VacuumReport& report = reports_[group];
  ++report.runs;
  report.running = false;
  report.ended_at = world_.clock->WallNow();
  report.took = world_.clock->Now() - begun;
  report.took_total += report.took;
  report.versions_dropped = replica->store().Counts().versions_collected - collected;
  report.bytes_before = bytes;
  report.bytes_after = replica->store().Versions().file_bytes;
  report.failure = status;
  co_return status;
}

Task<Status> Vacuum::TakeSlices(std::weak_ptr<Replica> weak, kv::VacuumPass pass, double pause) {
  for (int refusals = 0; !world_.scope->stopping();) {
    const MonoTime begun = world_.clock->Now();
    Sliced sliced = co_await AwaitCallback<Sliced>([&](Completion<Sliced> done) {
      world_.slices->Post([weak, pass, done = std::move(done)]() mutable {
        const std::shared_ptr<Replica> replica = weak.lock();
        StatusOr<bool> more = Gone();
        if (replica) {
          more = replica->store().CollectSlice(pass);
          // Nothing more of it to do: what is left is what is to be known.
          if (!more.ok() || !*more) replica->store().MeasureSizes();
        }
        done({.pass = std::move(pass), .more = std::move(more)});
      });
    });
    Duration rest = kRefusedPause;
    if (sliced.more.ok()) {
      if (!*sliced.more) co_return absl::OkStatus();
      const double took = static_cast<double>((world_.clock->Now() - begun).count());
      rest = std::min(Duration(static_cast<std::int64_t>(pause * took)), kPauseMax);
      pass = std::move(sliced.pass);
    } else if (ReasonOf(sliced.more.status()) != Reason::kShardBusy || ++refusals > kRefusalsMax) {
      co_return sliced.more.status();
    }
    const bool go_on = co_await SleepFor(rest);
    if (!go_on) break;
  }
  co_return Error(Reason::kNodeStopping, "the node is stopping");
}

}  // namespace flotilla
