#include "raft/apply_pump.h"

#include <optional>
#include <utility>

#include "base/check.h"

namespace flotilla::raft {
namespace {

// Payload bytes of one atomic step of the state machine.
constexpr std::size_t kApplyBytesMax = 4 << 20;

void FailAll(std::vector<PlacedProposal>& proposals, const Status& status) {
  for (PlacedProposal& placed : proposals) placed.proposal->Fail(status);
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
  Push({.range = range, .proposals = std::move(proposals), .closure = nullptr});
}

void ApplyPump::Post(Closure closure) {
  Push({.range = {}, .proposals = {}, .closure = std::move(closure)});
}

void ApplyPump::Push(Work work) {
  {
    std::lock_guard lock(mutex_);
    if (!stopped_) {
      queue_.push_back(std::move(work));
      if (!std::exchange(scheduled_, true)) strand_->Post([this] { Run(); });
      return;
    }
  }
  FailAll(work.proposals, Stopping());
}

void ApplyPump::Run() {
  std::vector<Work> queue;
  {
    std::lock_guard lock(mutex_);
    queue.swap(queue_);
    scheduled_ = false;
  }
  // Neighbouring ranges become one, so that they share a step of the state machine.
  std::vector<Work> merged;
  for (Work& work : queue) {
    if (!work.closure && !merged.empty() && !merged.back().closure) {
      Work& last = merged.back();
      CHECK_EQ(last.range.end, work.range.first);
      last.range.end = work.range.end;
      for (PlacedProposal& placed : work.proposals) last.proposals.push_back(std::move(placed));
    } else {
      merged.push_back(std::move(work));
    }
  }
  for (Work& work : merged) {
    if (work.closure) {
      work.closure();
      continue;
    }
    if (failed_) {
      FailAll(work.proposals, Stopping());
      continue;
    }
    if (Status status = ApplyRange(work); !status.ok()) {
      failed_ = true;
      FailAll(work.proposals, Stopping());
      callbacks_.on_fatal(status);
    }
  }
}

Status ApplyPump::ApplyRange(Work& work) {
  auto proposal = work.proposals.begin();
  IndexRange rest = work.range;
  while (!rest.empty()) {
    std::optional<std::vector<Entry>> entries = log_->ReadCached(group_, rest, kApplyBytesMax);
    if (!entries) {
      ASSIGN_OR_RETURN(auto read, log_->Read(group_, rest, kApplyBytesMax));
      entries = std::move(read);
    }
    CHECK(!entries->empty());
    CHECK_EQ(entries->front().index, rest.first);
    std::vector<AppliedEntry> applied;
    applied.reserve(entries->size());
    for (Entry& entry : *entries) {
      AppliedEntry& one = applied.emplace_back();
      if (proposal != work.proposals.end() && proposal->index == entry.index) {
        one.proposal = std::move(proposal->proposal);
        ++proposal;
      }
      one.entry = std::move(entry);
    }
    const Index last = applied.back().entry.index;
    RETURN_IF_ERROR(machine_->Apply(std::move(applied)));
    callbacks_.on_applied(last);
    rest.first = last.Next();
  }
  work.proposals.clear();
  return absl::OkStatus();
}

void ApplyPump::Stop() {
  std::vector<Work> queue;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    queue.swap(queue_);
  }
  for (Work& work : queue) FailAll(work.proposals, Stopping());
}

}  // namespace flotilla::raft
