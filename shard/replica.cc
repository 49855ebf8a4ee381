#include "shard/replica.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "kv/command.h"
#include "shard/answers.h"

namespace flotilla {
namespace {

// Bounds of one log entry; a single larger command still fits by itself.
constexpr std::size_t kEntryBytesMax = 1 << 20;
constexpr std::size_t kEntryCommandsMax = 2048;
// Own entries on their way before small batches wait for company: what arrives while the disk works
// goes into the next entry, and a lone request finds the way free.
constexpr std::uint64_t kEntriesInFlight = 2;
// Rounds of confirmation on their way before further reads wait for company.
constexpr std::size_t kReadRoundsInFlight = 4;
// Reads that one thread serves in one go.
constexpr std::size_t kReadPortion = 128;
// How far past its key's expiry the leader lets replicated time fall behind.
constexpr std::uint64_t kExpirySlackMs = 5;

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
      answers.Add(tickets_[i], WriteAnswer(results[i], replica_->id_, replica_->self_));
    }
  }

  void Fail(const Status& status) override {
    if (ReasonOf(status) == Reason::kNotLeader) {
      // It surely did not happen: another leader may have it.
      std::vector<Ticket> tickets;
      for (Ticket& ticket : tickets_) {
        if (ticket.batch->Return(ticket.slot)) tickets.push_back(std::move(ticket));
      }
      replica_->world_.host->OnMisrouted(replica_->id_, replica_->leader(), std::move(tickets));
      return;
    }
    AnswerCollector answers;
    for (const Ticket& ticket : tickets_) answers.Fail(ticket, status);
  }

  std::vector<Ticket> Take() { return std::move(tickets_); }

 private:
  Replica* const replica_;
  std::vector<Ticket> tickets_;
};

Replica::Replica(const raft::GroupOptions& options, const World& world,
                 std::unique_ptr<kv::Store> store, const raft::RestoredState& restored)
    : id_(options.group),
      self_(options.core.self),
      world_(world),
      store_(std::move(store)),
      timestamps_(world.clock) {
  raft::Group::World group_world = world_.group;
  group_world.machine = store_.get();
  group_world.listener = this;
  group_ = std::make_unique<raft::Group>(options, group_world, restored);
  membership_ = std::make_unique<Membership>(id_, group_.get(), world_.clock);
}

Replica::~Replica() = default;

void Replica::Submit(std::vector<Ticket> tickets) {
  {
    std::lock_guard lock(mutex_);
    if (submitted_.empty()) {
      submitted_ = std::move(tickets);
    } else {
      for (Ticket& ticket : tickets) submitted_.push_back(std::move(ticket));
    }
  }
  group_->Schedule();
}

AnswerOrigin Replica::Origin() const {
  return {.group = id_, .node = self_, .timestamp = store_->last_timestamp()};
}

void Replica::ReadLocal(const std::vector<Ticket>& tickets) {
  AnswerCollector answers;
  ReadAnswers(*store_, tickets, Origin(), answers);
}

void Replica::OnRun() {
  std::vector<Ticket> submitted;
  {
    std::lock_guard lock(mutex_);
    submitted.swap(submitted_);
  }
  for (Ticket& ticket : submitted) {
    if (ticket.is_write()) {
      writes_.push_back(std::move(ticket));
    } else {
      reads_.push_back(std::move(ticket));
    }
  }
  membership_->Progress();
  SettleTransfers();
  if (group_->core().role() != raft::Role::kLeader) {
    Bounce();
    return;
  }
  if (!serving_.load(std::memory_order_relaxed)) {
    if (Planted(Plant::kReadBeforeNoop) || Planted(Plant::kReadBeforeApplied)) StartReads();
    return;
  }
  ProposeWrites();
  ProposeExpiry();
  StartReads();
}

void Replica::Bounce() {
  if (writes_.empty() && reads_.empty()) return;
  std::vector<Ticket> tickets = std::move(reads_);
  reads_.clear();
  for (Ticket& ticket : writes_) tickets.push_back(std::move(ticket));
  writes_.clear();
  world_.host->OnMisrouted(id_, group_->core().leader(), std::move(tickets));
}

void Replica::ProposeWrites() {
  if (DiskFull()) {
    AnswerCollector answers;
    for (const Ticket& ticket : writes_) {
      answers.Fail(ticket, Error(Reason::kDiskFull,
                                 fmt::format("the disk of node {}, which leads group {}, is full: "
                                             "free space there; reads go on",
                                             self_.value(), id_.value())));
    }
    writes_.clear();
    return;
  }
  while (!writes_.empty()) {
    const std::uint64_t in_flight =
        last_proposed_ > group_->core().commit() ? last_proposed_ - group_->core().commit() : 0;
    if (in_flight >= kEntriesInFlight && writes_.size() < kEntryCommandsMax) return;
    std::vector<Ticket> batch;
    std::size_t bytes = 0;
    while (!writes_.empty() && batch.size() < kEntryCommandsMax) {
      Ticket& ticket = writes_.front();
      const std::size_t size = std::get<WriteCall>(ticket.request().call).command.size();
      if (!batch.empty() && bytes + size > kEntryBytesMax) break;
      if (ticket.batch->Begin(ticket.slot)) {
        bytes += size;
        batch.push_back(std::move(ticket));
      }
      writes_.pop_front();
    }
    if (!batch.empty() && !ProposeEntry(std::move(batch))) return;
  }
}

bool Replica::ProposeEntry(std::vector<Ticket> tickets) {
  const Timestamp first = timestamps_.Allocate(std::max<std::size_t>(tickets.size(), 1));
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
    return true;
  }
  std::vector<Ticket> refused = raw->Take();
  if (result.refusal == raft::ProposeRefusal::kTooMuchInFlight) {
    AnswerCollector answers;
    for (const Ticket& ticket : refused) {
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

// Keys expire in replicated time: an empty entry moves it past an expiry that has come.
void Replica::ProposeExpiry() {
  const std::uint64_t next_ms = store_->next_expiry_ms();
  if (next_ms == 0 || expiry_proposed_ms_ >= next_ms) return;
  const auto now_ms = static_cast<std::uint64_t>(world_.clock->WallNow().count() / 1000);
  if (now_ms < next_ms + kExpirySlackMs || DiskFull()) return;
  if (last_proposed_ > group_->core().commit()) return;  // that entry moves the time as well
  expiry_proposed_ms_ = now_ms;
  ProposeEntry({});
}

void Replica::StartReads() {
  if (reads_.empty() || reads_confirming_.size() >= kReadRoundsInFlight) return;
  const std::uint64_t context = next_read_++;
  std::vector<Ticket>& waiting = reads_confirming_[context];
  waiting.reserve(reads_.size());
  for (Ticket& ticket : reads_) {
    if (ticket.batch->Begin(ticket.slot)) waiting.push_back(std::move(ticket));
  }
  reads_.clear();
  group_->ReadIndex(context);
}

void Replica::OnReadConfirmed(const raft::ReadConfirmed& read) {
  const auto found = reads_confirming_.find(read.context);
  if (found == reads_confirming_.end()) return;
  std::vector<Ticket> tickets = std::move(found->second);
  reads_confirming_.erase(found);
  if (!reads_.empty()) group_->Schedule();
  if (read.index <= group_->applied() || Planted(Plant::kReadBeforeApplied)) {
    ServeReads(std::move(tickets));
  } else {
    reads_applying_.emplace(read.index, std::move(tickets));
  }
}

void Replica::OnReadRefused(const raft::ReadRefused& read) {
  const auto found = reads_confirming_.find(read.context);
  if (found == reads_confirming_.end()) return;
  std::vector<Ticket> tickets;
  for (Ticket& ticket : found->second) {
    if (ticket.batch->Return(ticket.slot)) tickets.push_back(std::move(ticket));
  }
  reads_confirming_.erase(found);
  if (tickets.empty()) return;
  world_.host->OnMisrouted(id_, group_->core().leader(), std::move(tickets));
}

void Replica::ServeReads(std::vector<Ticket> tickets) {
  // In portions, for as many threads as there are.
  for (std::size_t next = 0; next < tickets.size(); next += kReadPortion) {
    const auto begin = tickets.begin() + static_cast<std::ptrdiff_t>(next);
    const auto end =
        begin + static_cast<std::ptrdiff_t>(std::min(kReadPortion, tickets.size() - next));
    world_.executor->Post([this, portion = std::vector<Ticket>(std::make_move_iterator(begin),
                                                               std::make_move_iterator(end))] {
      ReadLocal(portion);
    });
  }
}

void Replica::OnApplied(raft::Index index) {
  while (!reads_applying_.empty() && reads_applying_.begin()->first <= index) {
    ServeReads(std::move(reads_applying_.begin()->second));
    reads_applying_.erase(reads_applying_.begin());
  }
  if (leads() && !serving_leader() && index >= term_start_) BecomeServing();
}

void Replica::BecomeServing() {
  // Everything that earlier leaders proposed and that survives is applied now: timestamps allocated
  // from here on are above all of it.
  timestamps_.Advance(store_->last_timestamp());
  expiry_proposed_ms_ = 0;
  serving_.store(true, std::memory_order_relaxed);
}

void Replica::OnLeadership(const raft::LeadershipChange& change) {
  leader_.store(change.leader.value(), std::memory_order_relaxed);
  const bool leading = change.role == raft::Role::kLeader;
  if (leading && !leads()) {
    world_.logger->info("group {}: leading in term {}", id_.value(), change.term.value());
  } else if (!leading && leads()) {
    world_.logger->info("group {}: leads no more; term {}, leader {}", id_.value(),
                        change.term.value(), change.leader.value());
  }
  leads_.store(leading, std::memory_order_relaxed);
  serving_.store(false, std::memory_order_relaxed);
  // What a slow disk holds up here is not held up elsewhere.
  if (std::exchange(giving_away_, false) && !leading) group_->AbandonProposals();
  if (leading) {
    term_start_ = group_->core().last_index();
    last_proposed_ = raft::Index(0);
    if (group_->applied() >= term_start_) BecomeServing();
  } else {
    membership_->OnDeposed();
  }
  group_->PostToApply([this, leading] { store_->SetLeading(leading); });
  world_.host->OnLeader(id_, change.leader, leading);
}

void Replica::OnConfiguration(const raft::Configuration& configuration) {
  if (configuration.context == members_context_) return;
  members_context_ = configuration.context;
  world_.host->OnMembers(id_, configuration);
}

void Replica::OnFatal(const Status& status) { world_.host->OnReplicaFatal(id_, status); }

void Replica::TransferLeadership(NodeId target, MonoTime deadline,
                                 UniqueFunction<void(StatusOr<NodeId>)> done) {
  if (group_->core().role() != raft::Role::kLeader) {
    done(NotLeaderError(id_, leader()));
    return;
  }
  if (target == self_) {
    done(self_);
    return;
  }
  if (!group_->TransferLeadership(target)) {
    done(Error(Reason::kMembershipRefused,
               target ? fmt::format("node {} is no voter of group {}, or a transfer is under way: "
                                    "see `kvctl member list`",
                                    target.value(), id_.value())
                      : fmt::format("group {} has no other voter to lead it", id_.value())));
    return;
  }
  transfers_.push_back({.deadline = deadline, .done = std::move(done)});
}

void Replica::GiveLeadershipAway() {
  const raft::Core& core = group_->core();
  if (core.role() != raft::Role::kLeader || core.Status().transfer_target) return;
  if (!giving_away_) {
    giving_away_ = group_->TransferLeadership(NodeId());
  } else {
    group_->StepDown();  // whom it was offered did not take it
  }
}

void Replica::SettleTransfers() {
  if (transfers_.empty()) return;
  const raft::Core& core = group_->core();
  const bool moved = core.role() != raft::Role::kLeader && core.leader();
  const bool given_up = core.role() == raft::Role::kLeader && !core.Status().transfer_target;
  const MonoTime now = world_.clock->Now();
  std::vector<TransferWait> waiting;
  for (TransferWait& wait : transfers_) {
    if (moved) {
      wait.done(core.leader());
    } else if (given_up || now >= wait.deadline) {
      wait.done(Error(Reason::kNoQuorum,
                      "the transfer did not succeed in time: the target may be down or lag behind; "
                      "see `kvctl status`"));
    } else {
      waiting.push_back(std::move(wait));
    }
  }
  transfers_ = std::move(waiting);
}

void Replica::Stop() {
  group_->Post([this] {
    const Status status = Error(Reason::kNodeStopping, "the node is stopping: another one answers");
    AnswerCollector answers;
    for (const Ticket& ticket : writes_) answers.Fail(ticket, status);
    for (const Ticket& ticket : reads_) answers.Fail(ticket, status);
    for (const auto& [context, tickets] : reads_confirming_) {
      for (const Ticket& ticket : tickets) answers.Fail(ticket, status);
    }
    for (const auto& [index, tickets] : reads_applying_) {
      for (const Ticket& ticket : tickets) answers.Fail(ticket, status);
    }
    writes_.clear();
    reads_.clear();
    reads_confirming_.clear();
    reads_applying_.clear();
    for (TransferWait& wait : transfers_) wait.done(status);
    transfers_.clear();
    membership_->OnDeposed();
  });
  group_->Stop();
}

}  // namespace flotilla
