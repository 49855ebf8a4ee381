// From writes that wait to entries of the log: see shard/replica.h.
//
//   writes_ ──▶ way free? ──▶ take timestamps for all that wait ──▶ entries
//
// Timestamps are asked for after the writes have come, and one question at a time is open, so that
// entries and their timestamps have one order. What comes meanwhile gathers for the next.

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/timestamp.h"
#include "kv/command.h"
#include "shard/answers.h"
#include "shard/oracle/timestamp_oracle.h"
#include "shard/replica.h"

namespace flotilla {
namespace {

// Bounds of one log entry; a single larger command still fits by itself.
constexpr std::size_t kEntryBytesMax = 1 << 20;
constexpr std::size_t kEntryCommandsMax = 2048;
// Own entries on their way before small batches wait for company: what arrives while the disk works
// goes into the next entry, and a lone request finds the way free.
constexpr std::uint64_t kEntriesInFlight = 2;
// How long writes wait for the oracle.
constexpr Duration kTimestampsWithin = std::chrono::seconds(2);
// How far past its key's expiry the leader lets replicated time fall behind.
constexpr std::uint64_t kExpirySlackMs = 5;
// From so long before a key's expiry on the leader is awake.
constexpr std::uint64_t kExpiryNearMs = 2000;
// Between looks whether the oracle's time has come to an expiry, by whose clock it has not.
constexpr std::uint64_t kExpiryPauseMsMax = 1000;

}  // namespace

// The proposal of one entry: command i of its batch answers ticket i.
class Replica::EntryProposal final : public kv::WriteProposal {
 public:
  EntryProposal(Replica* replica, std::vector<Ticket> tickets)
      : replica_(replica), tickets_(std::move(tickets)) {}

  void Complete(std::vector<kv::WriteResult> results) override {
    CHECK_EQ(results.size(), tickets_.size());
    AnswerCollector answers;
    for (std::size_t i = 0; i < results.size(); ++i) {
      const kv::WriteResult& result = results[i];
      replica_->OnWritten(tickets_[i], result.outcome == kv::WriteOutcome::kApplied);
      if (result.outcome == kv::WriteOutcome::kLocked) {
        replica_->WaitFor(*result.obstacle, tickets_[i]);
        continue;
      }
      answers.Add(tickets_[i],
                  WriteAnswer(result, replica_->store(), replica_->id_, replica_->self_));
    }
  }

  void Fail(const Status& status) override {
    for (const Ticket& ticket : tickets_) replica_->OnWritten(ticket, false);
    const bool absorbed = replica_->absorbed_.load();
    if (ReasonOf(status) == Reason::kNotLeader && !absorbed) {
      // It surely did not happen: another leader may have it.
      std::vector<Ticket> tickets;
      for (Ticket& ticket : tickets_) {
        if (ticket.batch->Return(ticket.slot)) tickets.push_back(std::move(ticket));
      }
      replica_->world_.host->OnMisrouted(replica_->id_, replica_->leader(), std::move(tickets));
      return;
    }
    const Status ended = absorbed ? replica_->Ended() : status;
    AnswerCollector answers;
    for (const Ticket& ticket : tickets_) answers.Fail(ticket, ended);
  }

  std::vector<Ticket> Take() { return std::move(tickets_); }

 private:
  Replica* const replica_;
  std::vector<Ticket> tickets_;
};

void Replica::FailWrites(const Status& status) {
  AnswerCollector answers;
  for (const Ticket& ticket : writes_) {
    OnWritten(ticket, false);
    answers.Fail(ticket, status);
  }
  writes_.clear();
  taking_ = 0;  // what comes for these is too old for others
}

bool Replica::WayIsFree() const {
  const raft::Index commit = group_->core().commit();
  const std::uint64_t in_flight = last_proposed_ > commit ? last_proposed_ - commit : 0;
  return in_flight < kEntriesInFlight || writes_.size() >= kEntryCommandsMax;
}

void Replica::ProposeWrites() {
  if (DiskFull()) {
    FailWrites(
        Error(Reason::kDiskFull, fmt::format("the disk of node {}, which leads group {}, is full: "
                                             "free space there; reads go on",
                                             self_.value(), id_.value())));
    return;
  }
  while (!writes_.empty() && taking_ == 0 && WayIsFree()) {
    const std::size_t before = writes_.size();
    TakeTimestamps(std::min<std::uint64_t>(before, kTimestampsTakenMax));
    if (writes_.size() == before) return;  // they are under way, or the group refuses for now
  }
}

void Replica::TakeTimestamps(std::uint64_t count) {
  taking_ = next_take_++;
  taking_for_writes_ = !writes_.empty();
  taking_at_ = group_->core().last_index();
  if (world_.timestamps == nullptr) {
    OnGranted({.number = taking_, .count = count, .first = local_timestamps_.Allocate(count)});
    return;
  }
  world_.timestamps->Take(
      count, world_.clock->Now() + kTimestampsWithin,
      [weak = weak_from_this(), number = taking_, count](StatusOr<Timestamp> first) {
        const std::shared_ptr<Replica> replica = weak.lock();
        if (!replica) return;
        {
          std::lock_guard lock(replica->mutex_);
          if (replica->granted_ && replica->granted_->number > number) return;
          replica->granted_ = Grant{.number = number, .count = count, .first = std::move(first)};
        }
        replica->group_->Schedule();
      });
}

void Replica::OnGranted(const Grant& grant) {
  if (grant.number != taking_) return;  // of an earlier leadership
  taking_ = 0;
  // Another kind of entry has come between, which may have brought later writes into the group.
  if (group_->core().last_index() != taking_at_) return;
  if (!grant.first.ok()) {
    FailWrites(grant.first.status());
    return;
  }
  if (*grant.first <= last_timestamp_) {
    const Status status =
        Error(Reason::kInternal,
              fmt::format("the oracle gave timestamp {} to group {}, which is at {} already",
                          grant.first->value(), id_.value(), last_timestamp_.value()));
    world_.logger->error("{}", MessageOf(status));
    FailWrites(status);
    return;
  }
  if (*grant.first <= read_floor_) return;  // that was none of the oracle's; the next will do
  if (DiskFull()) return;
  // Writes that have come since the question was asked for an expiry's sake need later ones.
  if (taking_for_writes_) {
    ProposeStamped(*grant.first, grant.count);
  } else {
    MoveTime(*grant.first);
  }
}

// All of the first `count` writes had come before the timestamps were asked for.
void Replica::ProposeStamped(Timestamp first, std::uint64_t count) {
  for (bool free = true; free && count > 0 && !writes_.empty(); free = WayIsFree()) {
    std::vector<Ticket> batch;
    std::size_t bytes = 0;
    while (!writes_.empty() && count > 0 && batch.size() < kEntryCommandsMax) {
      Ticket& ticket = writes_.front();
      if (!MayPropose(ticket)) {
        writes_.pop_front();
        --count;
        continue;
      }
      const std::size_t size = std::get<WriteCall>(ticket.request().call).command.size();
      if (!batch.empty() && bytes + size > kEntryBytesMax) break;
      if (ticket.batch->Begin(ticket.slot)) {
        bytes += size;
        batch.push_back(std::move(ticket));
      }
      writes_.pop_front();
      --count;
    }
    if (batch.empty()) return;
    const std::size_t size = batch.size();
    if (!ProposeEntry(first, std::move(batch))) return;
    first = first + size;
  }
}

bool Replica::ProposeEntry(Timestamp first, std::vector<Ticket> tickets) {
  CHECK(first > last_timestamp_);
  const Timestamp last = first + (tickets.empty() ? 0 : tickets.size() - 1);
  kv::CommandBatchWriter writer(first);
  for (const Ticket& ticket : tickets) {
    writer.Add(std::get<WriteCall>(ticket.request().call).command.view());
  }
  auto entry = std::make_unique<EntryProposal>(this, std::move(tickets));
  EntryProposal* const raw = entry.get();
  std::unique_ptr<raft::Proposal> proposal = std::move(entry);
  const raft::ProposeResult result = group_->Propose(std::move(writer).Finish(), proposal);
  if (result.first) {
    last_proposed_ = *result.first;
    last_timestamp_ = last;
    return true;
  }
  std::vector<Ticket> refused = raw->Take();
  if (result.refusal == raft::ProposeRefusal::kTooMuchInFlight) {
    AnswerCollector answers;
    for (const Ticket& ticket : refused) {
      OnWritten(ticket, false);
      answers.Fail(ticket, Error(Reason::kOverloaded,
                                 fmt::format("group {} has too many unreplicated bytes: slow down "
                                             "and try again",
                                             id_.value())));
    }
    return true;
  }
  // Leadership is moving: they wait here until it has settled.
  std::reverse(refused.begin(), refused.end());
  for (Ticket& ticket : refused) {
    if (ticket.batch->Return(ticket.slot)) writes_.push_front(std::move(ticket));
  }
  return false;
}

void Replica::MoveTimeTo(std::uint64_t ms) {
  time_wanted_ms_.store(ms);
  group_->Post([replica = shared_from_this()] { replica->group_->Wake(); });
}

std::uint64_t Replica::TimeWantedMs() const {
  const std::uint64_t expiry = store_->next_expiry_ms();
  const std::uint64_t wanted = time_wanted_ms_.load();
  // A group that is frozen stands still.
  if (wanted <= MillisecondsOf(store_->last_timestamp()) || store_->members_fixed()) return expiry;
  return expiry == 0 ? wanted : std::min(expiry, wanted);
}

bool Replica::ExpiryIsNear() const {
  const std::uint64_t next_ms = TimeWantedMs();
  if (next_ms == 0) return false;
  const std::uint64_t now_ms = MillisecondsOf(world_.clock->WallNow());
  return now_ms + kExpiryNearMs >= next_ms;
}

// Keys expire in replicated time: an empty entry moves it past an expiry that has come.
void Replica::ProposeExpiry() {
  const std::uint64_t next_ms = TimeWantedMs();
  if (next_ms == 0 || expiry_proposed_ms_ >= next_ms || taking_ != 0) return;
  const std::uint64_t now_ms = MillisecondsOf(world_.clock->WallNow());
  if (now_ms < next_ms + kExpirySlackMs || DiskFull()) return;
  if (last_proposed_ > group_->core().commit()) return;  // that entry moves the time as well
  if (world_.clock->Now() < expiry_not_before_) return;
  TakeTimestamps(1);
}

void Replica::MoveTime(Timestamp to) {
  const std::uint64_t next_ms = TimeWantedMs();
  const std::uint64_t to_ms = MillisecondsOf(to);
  if (next_ms == 0 || expiry_proposed_ms_ >= next_ms) return;
  // Somebody wants the time of now, whatever his clock says that it is.
  const bool wanted = time_wanted_ms_.exchange(0) == next_ms;
  if (to_ms < next_ms && !wanted) {
    const std::uint64_t pause_ms = std::min(next_ms - to_ms, kExpiryPauseMsMax);
    expiry_not_before_ = world_.clock->Now() + std::chrono::milliseconds(pause_ms);
    return;
  }
  expiry_proposed_ms_ = to_ms;
  ProposeEntry(to, {});
}

}  // namespace flotilla
