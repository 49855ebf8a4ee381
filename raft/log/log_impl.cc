#include "raft/log/log_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/turn.h"
#include "raft/log/record_reader.h"
#include "raft/log/recovery.h"

namespace flotilla::raft {

StatusOr<std::unique_ptr<Log>> Log::Open(const LogOptions& options, World world,
                                         LogRecovery& recovery) {
  auto opened = std::make_unique<log::LogImpl>(options, std::move(world));
  RETURN_IF_ERROR(opened->Start(recovery));
  return std::unique_ptr<Log>(std::move(opened));
}

namespace log {

namespace {

// The pace of a disk that is slow but works.
constexpr std::int64_t kSlowBytesPerSecond = 32 << 20;
// Completed writes of a batch that the writer's own thread sees to.
constexpr std::size_t kWritesFollowedUp = 16;

}  // namespace

LogImpl::LogImpl(const LogOptions& options, World world)
    : options_(options),
      files_(*world.files),
      clock_(*world.clock),
      on_fatal_(std::move(world.on_fatal)),
      state_(options),
      segments_(*world.files, options.directory, options.segment_bytes,
                static_cast<std::size_t>(std::max(options.spare_segments_max, 1)),
                options.direct_io),
      alive_(std::make_shared<bool>(true)),
      strand_(std::move(world.writer)) {
  CHECK(strand_ != nullptr);
  CHECK_EQ(options_.segment_bytes % kPageBytes, 0u);
  CHECK_GE(options_.segment_bytes, 4 * kPageBytes);
}

LogImpl::~LogImpl() { alive_.reset(); }

Status LogImpl::Start(LogRecovery& recovery) {
  recovery = LogRecovery();
  ASSIGN_OR_RETURN(const RecoveredTail tail, Recover(files_, segments_, state_, recovery));
  state_.OldestIsDurable(tail.oldest_generation);
  writer_ = std::make_unique<SegmentWriter>(segments_, state_, clock_, tail);
  // The first write needs a segment; having one ready now spares it the wait. Without space the log
  // opens all the same: it can be read.
  bool ready = segments_.spares() > 0;
  const Status filled =
      ready ? absl::OkStatus() : segments_.FillStep(options_.segment_bytes, ready);
  SetFull(filled);
  return absl::OkStatus();
}

// --- Any strand
// -----------------------------------------------------------------------------------

void LogImpl::Post(void (LogImpl::*step)()) {
  strand_->Post([this, step, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) (this->*step)();
  });
}

void LogImpl::ScheduleDrain() {
  if (drain_scheduled_.exchange(true)) return;
  drain_wanted_.store(clock_.Now().time_since_epoch().count(), std::memory_order_relaxed);
  Post(&LogImpl::Drain);
}

void LogImpl::ScheduleUpkeep() {
  if (!upkeep_scheduled_.exchange(true)) Post(&LogImpl::Upkeep);
}

Status LogImpl::Append(LogWrite write, UniqueFunction<void(Status)> done) {
  bool wake = false;
  const Status status = state_.Append(std::move(write), std::move(done), wake);
  if (wake) {
    // Writes of one turn share a sync.
    GatheringTurn::AtEnd([this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) ScheduleDrain();
    });
  }
  // Perhaps there is space again.
  if (!status.ok() && ReasonOf(status) == Reason::kDiskFull) ScheduleUpkeep();
  return status;
}

Status LogImpl::CheckRoom(std::size_t bytes) {
  const Status status = state_.Admit(bytes, false);
  if (!status.ok() && ReasonOf(status) == Reason::kDiskFull) ScheduleUpkeep();
  return status;
}

std::optional<std::vector<Entry>> LogImpl::ReadCached(GroupId group, IndexRange range,
                                                      std::size_t bytes_max) {
  return state_.ReadCached(group, range, bytes_max);
}

StatusOr<std::vector<Entry>> LogImpl::Read(GroupId group, IndexRange range, std::size_t bytes_max) {
  ASSIGN_OR_RETURN(ReadPlan plan, state_.PlanRead(group, range, bytes_max));
  const std::vector<std::size_t> runs = PlanRuns(plan.located);
  std::vector<Entry> entries;
  entries.reserve(plan.located.size() + plan.cached.size());
  Status status;
  RecordReader reader;
  for (std::size_t i = 0; i < plan.located.size() && status.ok(); ++i) {
    const LocatedEntry& located = plan.located[i];
    StatusOr<Entry> entry =
        reader.Read(plan.segments.at(located.item.generation), located, runs[i]);
    if (entry.ok()) {
      entries.push_back(*std::move(entry));
    } else {
      status = entry.status();
    }
  }
  state_.EndRead(plan);
  RETURN_IF_ERROR(status);
  std::move(plan.cached.begin(), plan.cached.end(), std::back_inserter(entries));
  return entries;
}

void LogImpl::Release(GroupId group, Index index, Term term) {
  bool wake = false;
  state_.Release(group, index, term, wake);
  if (wake) ScheduleDrain();
}

void LogImpl::Remove(GroupId group) { state_.Remove(group); }

HardState LogImpl::hard_state(GroupId group) const { return state_.hard_state(group); }

LogEnd LogImpl::end(GroupId group) const { return state_.end(group); }

std::vector<GroupId> LogImpl::Pressure() { return state_.Pressure(); }

LogStats LogImpl::Stats() const {
  LogStats stats = state_.Stats();
  std::int64_t since = work_began_.load(std::memory_order_relaxed);
  if (since == 0) since = drain_wanted_.load(std::memory_order_relaxed);
  if (since != 0) {
    stats.io_under_way = std::max(Duration(0), clock_.Now().time_since_epoch() - Duration(since));
  }
  return stats;
}

void LogImpl::Stop(Closure done) {
  strand_->Post([this, done = std::move(done), alive = std::weak_ptr<bool>(alive_)]() mutable {
    if (!alive.expired()) FinishStop(std::move(done));
  });
}

// --- The writer strand
// ------------------------------------------------------------------------------

void LogImpl::Drain() {
  drain_wanted_.store(0, std::memory_order_relaxed);
  drain_scheduled_.store(false);
  if (failed_ || stopped_) return;
  AtWork at_work(*this);
  WriteOneBatch(LogState::Mode::kWrites, &at_work);
  if (failed_) return;
  if (state_.HasPending() && !retry_scheduled_) ScheduleDrain();
  ScheduleUpkeep();
}

void LogImpl::AtWork::Allow(std::size_t bytes) {
  log_.work_began_.fetch_add(static_cast<std::int64_t>(bytes) * 1'000'000'000 / kSlowBytesPerSecond,
                             std::memory_order_relaxed);
}

bool LogImpl::WriteOneBatch(LogState::Mode mode, AtWork* at_work) {
  const bool writes = mode == LogState::Mode::kWrites;
  // The header of a batch needs room too.
  if (!writes && writer_->room() < kSectorBytes && !MakeRoom(0)) return false;
  Batch batch;
  LogState::Take take = LogState::Take::kNeedsRoom;
  // Again, should more have gathered than room was made for.
  for (int tries = 0; take == LogState::Take::kNeedsRoom; ++tries) {
    if (tries > 0 && (tries > 3 || !MakeRoom(batch.bytes + LazyReserve(options_)))) return false;
    // While no spare is ready, the last room is for what may free a segment.
    const std::size_t kept = writes && segments_.spares() == 0 ? LazyReserve(options_) : 0;
    take = state_.TakeBatch(writer_->room() - std::min(writer_->room(), kept), mode, batch);
  }
  if (take != LogState::Take::kBatch) return false;
  if (at_work != nullptr) at_work->Allow(batch.bytes);
  bool synced = false;
  if (!batch.empty) {
    if (Status status = WriteBatch(batch, synced); !status.ok()) {
      Fail(status, std::move(batch.writes));
      return false;
    }
  }
  state_.Complete(batch, writer_->generation(), writer_->end(), synced);
  if (synced) state_.OldestIsDurable(batch.oldest_generation);
  if (full_) PublishRoom();
  {
    // What follows from a few writes may happen here, which wakes nobody; more of it would hold up
    // the next sync.
    const GatheringTurn gathering;
    std::optional<HurriedTurn> hurried;
    if (batch.writes.size() > kWritesFollowedUp) hurried.emplace();
    for (QueuedWrite& queued : batch.writes) {
      if (queued.done) queued.done(absl::OkStatus());
    }
  }
  return true;
}

Status LogImpl::WriteBatch(Batch& batch, bool& synced) {
  BatchBuilder& builder = writer_->Begin();
  for (const QueuedWrite& queued : batch.writes) {
    const LogWrite& write = queued.write;
    if (queued.remove) {
      builder.AddRemove(write.group);
      continue;
    }
    if (queued.bytes == 0) continue;  // lazy: below
    if (write.reset_to.has_value()) {
      builder.AddStart(RecordKind::kReset, write.group, write.reset_to->first,
                       write.reset_to->second);
    }
    for (const Entry& entry : write.entries) {
      const std::uint64_t offset = builder.AddEntry(RecordKind::kEntry, write.group, entry.term,
                                                    entry.index, entry.kind, entry.payload.view());
      batch.offsets.push_back(static_cast<std::uint32_t>(offset));
    }
    if (write.hard_state.has_value()) builder.AddHardState(write.group, *write.hard_state);
  }
  for (const LazyRecord& lazy : batch.lazy) {
    if (lazy.hard_state.has_value()) builder.AddHardState(lazy.group, *lazy.hard_state);
    if (lazy.start.has_value()) {
      builder.AddStart(RecordKind::kStart, lazy.group, lazy.start->first, lazy.start->second);
    }
  }
  return writer_->Write(batch.oldest_generation, batch.sync, synced);
}

bool LogImpl::MakeRoom(std::size_t bytes) {
  bool fatal = false;
  const Status status = writer_->Roll(bytes, fatal);
  if (status.ok()) return true;
  if (fatal) {
    Fail(status);
    return false;
  }
  SetFull(status);
  return false;
}

void LogImpl::SetFull(const Status& error) {
  full_ = !error.ok();
  full_error_ = absl::OkStatus();
  if (full_) {
    // Any failure to make a file reads as a full disk: the remedy and the way on are the same.
    full_error_ = Error(Reason::kDiskFull,
                        fmt::format("the log can get no further segment ({}); writes go on by "
                                    "themselves once it can",
                                    MessageOf(error)));
    RetryLater();
  }
  PublishRoom();
}

void LogImpl::PublishRoom() {
  const std::size_t in_spares =
      segments_.spares() * (options_.segment_bytes - kFirstBatchOffset - kBatchHeaderBytes);
  state_.SetRoom(writer_->room() + in_spares, full_, full_error_);
  state_.SetSpares(segments_.spares());
}

void LogImpl::RetryLater() {
  if (std::exchange(retry_scheduled_, true)) return;
  constexpr Duration kPause = std::chrono::milliseconds(100);
  strand_->After(kPause, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    retry_scheduled_ = false;
    Drain();
  });
}

void LogImpl::Fail(const Status& error, std::vector<QueuedWrite> lost) {
  if (std::exchange(failed_, true)) return;
  const Status status = Annotate(error, "the log's disk has failed; nothing is written any more");
  std::vector<QueuedWrite> waiting = state_.Close(status);
  std::move(waiting.begin(), waiting.end(), std::back_inserter(lost));
  for (QueuedWrite& queued : lost) {
    if (queued.done) queued.done(status);
  }
  if (on_fatal_) on_fatal_(status);
}

void LogImpl::FinishStop(Closure done) {
  if (!failed_ && !std::exchange(stopped_, true)) {
    while (WriteOneBatch(LogState::Mode::kWrites)) {
    }
    // Says that everything before it is synced, so that damage there will be seen as such.
    if (!failed_ && !writer_->untouched()) WriteOneBatch(LogState::Mode::kMark);
    const Status status = Error(Reason::kNodeStopping, "the node is stopping: ask another one");
    for (QueuedWrite& queued : state_.Close(status)) {
      if (queued.done) queued.done(status);
    }
  }
  done();
}

}  // namespace log
}  // namespace flotilla::raft
