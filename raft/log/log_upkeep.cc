// LogImpl's upkeep: free segments, spare ones, rewriting. All on the writer strand.
#include <optional>
#include <utility>

#include "base/check.h"
#include "raft/log/log_impl.h"
#include "raft/log/record_reader.h"

namespace flotilla::raft::log {
namespace {

constexpr std::size_t kFillSliceBytes = 1 << 20;
constexpr std::size_t kRewriteSliceBytes = 1 << 20;

}  // namespace

void LogImpl::Upkeep() {
  upkeep_scheduled_.store(false);
  if (failed_ || stopped_) return;
  const AtWork at_work(*this);
  // In this order: a segment that is freed is a spare that need not be made.
  const bool more = FreeOldest() || WriteSummary() || RewriteSlice() || MakeSpare();
  if (failed_ || !more) return;
  // One step, then whoever waits for the disk.
  ScheduleUpkeep();
}

bool LogImpl::FreeOldest() {
  // One batch makes releases durable, and another can then say that the segment is not needed.
  for (int i = 0; i < 2 && state_.FreeingNeedsBatch(); ++i) {
    if (!WriteOneBatch(LogState::Mode::kReleases)) break;
  }
  if (failed_) return false;
  std::optional<Segment> free = state_.TakeFree();
  if (!free.has_value()) return false;
  Status status = segments_.Retire(free->generation, free->bytes, std::move(free->file));
  if (!status.ok()) {
    Fail(status);
    return false;
  }
  SetFull(absl::OkStatus());
  if (state_.HasPending()) ScheduleDrain();
  return true;
}

bool LogImpl::WriteSummary() {
  std::optional<SegmentWriter::Sealed> sealed = writer_->TakeSealed();
  if (!sealed.has_value()) return false;
  // Freed meanwhile? And one that cannot be written only makes the next start slower.
  if (state_.HasSegment(sealed->generation)) {
    segments_.WriteSummary(sealed->generation, sealed->summary).IgnoreError();
  }
  return true;
}

bool LogImpl::MakeSpare() {
  if (segments_.spares() > 0) {
    if (full_) SetFull(absl::OkStatus());
    return false;
  }
  bool ready = false;
  if (Status status = segments_.FillStep(kFillSliceBytes, ready); !status.ok()) {
    SetFull(status);
    return false;
  }
  if (ready) {
    SetFull(absl::OkStatus());
    if (state_.HasPending()) ScheduleDrain();
  }
  return true;
}

bool LogImpl::RewriteSlice() {
  const std::optional<RewritePlan> plan = state_.PlanRewrite(kRewriteSliceBytes);
  if (!plan.has_value()) return false;
  if (plan->entries.empty() && plan->anchors.empty()) return true;
  if (writer_->room() < plan->bytes && !MakeRoom(plan->bytes)) return false;
  std::vector<std::uint32_t> offsets;
  if (Status status = CopyRecords(*plan, offsets); !status.ok()) {
    Fail(status);
    return false;
  }
  state_.CompleteRewrite(*plan, offsets, writer_->generation(), writer_->end());
  return true;
}

Status LogImpl::CopyRecords(const RewritePlan& plan, std::vector<std::uint32_t>& offsets) {
  BatchBuilder& builder = writer_->Begin();
  const std::vector<std::size_t> runs = PlanRuns(plan.entries);
  RecordReader reader;
  for (std::size_t i = 0; i < plan.entries.size(); ++i) {
    const LocatedEntry& located = plan.entries[i];
    ASSIGN_OR_RETURN(const Entry entry, reader.Read(plan.segment, located, runs[i]));
    offsets.push_back(static_cast<std::uint32_t>(
        builder.AddEntry(RecordKind::kRewrittenEntry, located.group, entry.term, entry.index,
                         entry.kind, entry.payload.view())));
  }
  for (const LazyRecord& anchor : plan.anchors) {
    if (anchor.hard_state.has_value()) {
      builder.AddHardState(anchor.group, *anchor.hard_state);
    } else {
      builder.AddStart(RecordKind::kStart, anchor.group, anchor.start->first, anchor.start->second);
    }
  }
  const std::uint64_t oldest = state_.OldestNeeded();
  bool synced = false;
  RETURN_IF_ERROR(writer_->Write(oldest, true, synced));
  state_.OldestIsDurable(oldest);
  return absl::OkStatus();
}

}  // namespace flotilla::raft::log
