#include "raft/apply_pump.h"

#include <optional>
#include <utility>

#include "base/check.h"
#include "base/turn.h"

namespace flotilla::raft {
namespace {

// Payload bytes of one atomic step of the state machine.
constexpr std::size_t kApplyBytesMax = 4 << 20;
// More than so much takes longer than another thread costs.
constexpr std::size_t kAtOnceBytesMax = 16 << 10;
// Between two looks for space on a full disk.
constexpr Duration kSpacePause = std::chrono::milliseconds(200);

void FailAll(std::vector<PlacedProposal>& proposals, const Status& status) {
  for (PlacedProposal& placed : proposals) {
    if (placed.proposal) placed.proposal->Fail(status);  // else it was answered
  }
  proposals.clear();
}

Status Stopping() {
  return Error(Reason::kOutcomeUnknown,
               "the node stopped while the write was under way: repeat it with the same client id "
               "and sequence number");
}

}  // namespace

ApplyPump::ApplyPump(GroupId group, Log* log, StateMachine* machine, std::unique_ptr<Strand> strand,
                     Callbacks callbacks)
    : group_(group),
      log_(log),
      machine_(machine),
      callbacks_(std::move(callbacks)),
      strand_(std::move(strand)) {}

void ApplyPump::Enqueue(IndexRange range, std::vector<PlacedProposal> proposals) {
  CHECK(!range.empty());
  Push({.range = range, .proposals = std::move(proposals), .closure = nullptr, .taken = 0});
}

void ApplyPump::Post(Closure closure) {
  Push({.range = {}, .proposals = {}, .closure = std::move(closure), .taken = 0});
}

void ApplyPump::Push(Work work) {
  {
    std::unique_lock lock(mutex_);
    if (!stopped_) {
      const bool entries = !work.closure;
      queue_.push_back(std::move(work));
      if (std::exchange(scheduled_, true)) return;
      lock.unlock();
      if (entries) {
        strand_->Dispatch([this, hold = callbacks_.hold()] { RunAtOnce(); });
      } else {
        strand_->Post([this, hold = callbacks_.hold()] { Run(); });
      }
      return;
    }
  }
  FailAll(work.proposals, Stopping());
}

void ApplyPump::RunAtOnce() {
  if (!TakeQueue() || retry_scheduled_) return;
  if (AtOnce()) {
    Drain();
  } else {
    strand_->Post([this, hold = callbacks_.hold()] { Run(); });
  }
}

bool ApplyPump::AtOnce() const {
  if (failed_ || backlog_.size() != 1 || backlog_.front().closure) return false;
  const IndexRange range = backlog_.front().range;
  const auto entries = log_->ReadCached(group_, range, kAtOnceBytesMax);
  if (!entries || entries->back().index.Next() != range.end) return false;
  std::size_t bytes = 0;
  for (const Entry& entry : *entries) bytes += entry.payload.size();
  return bytes <= kAtOnceBytesMax && machine_->AppliesAtOnce(*entries);
}

void ApplyPump::Run() {
  if (TakeQueue() && !retry_scheduled_) Drain();
}

bool ApplyPump::TakeQueue() {
  std::vector<Work> queue;
  {
    std::lock_guard lock(mutex_);
    scheduled_ = false;
    queue.swap(queue_);
    if (stopped_) {
      // Nothing is left but what waits for space.
      for (Work& work : backlog_) FailAll(work.proposals, Stopping());
      backlog_.clear();
      return false;
    }
  }
  // Neighbouring ranges become one, so that they share a step of the state machine.
  for (Work& work : queue) {
    if (!work.closure && !backlog_.empty() && !backlog_.back().closure) {
      Work& last = backlog_.back();
      CHECK_EQ(last.range.end, work.range.first);
      last.range.end = work.range.end;
      for (PlacedProposal& placed : work.proposals) last.proposals.push_back(std::move(placed));
    } else {
      backlog_.push_back(std::move(work));
    }
  }
  return true;
}

void ApplyPump::Drain() {
  while (!backlog_.empty()) {
    Work& work = backlog_.front();
    if (work.closure) {
      work.closure();
    } else if (failed_) {
      FailAll(work.proposals, Stopping());
    } else if (Status status = ApplyRange(work); !status.ok()) {
      if (ReasonOf(status) == Reason::kDiskFull) {
        out_of_space_.store(true);
        retry_scheduled_ = true;
        strand_->After(kSpacePause, [this] {
          retry_scheduled_ = false;
          Run();
        });
        return;
      }
      failed_ = true;
      FailAll(work.proposals, Stopping());
      callbacks_.on_fatal(status);
    }
    backlog_.pop_front();
  }
  out_of_space_.store(false);
}

Status ApplyPump::ApplyRange(Work& work) {
  while (!work.range.empty()) {
    std::optional<std::vector<Entry>> entries =
        log_->ReadCached(group_, work.range, kApplyBytesMax);
    if (!entries) {
      ASSIGN_OR_RETURN(auto read, log_->Read(group_, work.range, kApplyBytesMax));
      entries = std::move(read);
    }
    CHECK(!entries->empty());
    CHECK_EQ(entries->front().index, work.range.first);
    std::vector<AppliedEntry> batch;
    batch.reserve(entries->size());
    for (Entry& entry : *entries) {
      AppliedEntry& one = batch.emplace_back();
      if (work.taken < work.proposals.size() && work.proposals[work.taken].index == entry.index) {
        one.proposal = std::move(work.proposals[work.taken++].proposal);
      }
      one.entry = std::move(entry);
    }
    Index end = batch.back().entry.index.Next();
    const Status status = machine_->Apply(batch);
    if (!status.ok() && !batch.empty()) {
      end = batch.front().entry.index;
      for (auto left = batch.rbegin(); left != batch.rend(); ++left) {
        if (left->proposal) work.proposals[--work.taken].proposal = std::move(left->proposal);
      }
    }
    if (end > work.range.first) {
      // What follows from the last of it may take this thread.
      std::optional<BriefTurn> brief;
      if (end == work.range.end && backlog_.size() == 1) brief.emplace();
      callbacks_.on_applied(end.Previous());
    }
    work.range.first = end;
    RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

void ApplyPump::Abandon() {
  std::vector<Work> queue;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    queue.swap(queue_);
  }
  const auto backlog = std::exchange(backlog_, {});
}

void ApplyPump::Stop() {
  std::vector<Work> queue;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    queue.swap(queue_);
  }
  for (Work& work : queue) FailAll(work.proposals, Stopping());
  strand_->Post([this, hold = callbacks_.hold()] { Run(); });
}

}  // namespace flotilla::raft
