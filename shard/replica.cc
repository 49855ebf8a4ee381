#include "shard/replica.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "shard/answers.h"

namespace flotilla {
namespace {

// Rounds of confirmation on their way before further reads wait for company.
constexpr std::size_t kReadRoundsInFlight = 4;
// Reads that one thread serves in one go.
constexpr std::size_t kReadPortion = 128;

}  // namespace

Replica::Replica(const raft::GroupOptions& options, const World& world,
                 std::unique_ptr<kv::Store> store, const raft::RestoredState& restored)
    : id_(options.group),
      self_(options.core.self),
      world_(world),
      store_(std::move(store)),
      local_timestamps_(world.clock) {
  raft::Group::World group_world = world_.group;
  group_world.machine = store_.get();
  group_world.listener = this;
  group_ = std::make_unique<raft::Group>(options, group_world, restored);
  configuration_ = group_->core().configuration();
  membership_ = std::make_unique<Membership>(id_, group_.get(), world_.clock);
  store_->OnUnlocked([this](kv::TxnId txn) { OnUnlocked(txn); });
}

Replica::~Replica() = default;

void Replica::Submit(std::vector<Ticket> tickets) {
  load_.Count(tickets);
  std::unique_lock lock(mutex_);
  if (stopped_) {
    lock.unlock();
    AnswerCollector answers;
    for (const Ticket& ticket : tickets) answers.Fail(ticket, Ended());
    return;
  }
  if (submitted_.empty()) {
    submitted_ = std::move(tickets);
  } else {
    for (Ticket& ticket : tickets) submitted_.push_back(std::move(ticket));
  }
  lock.unlock();
  group_->Schedule();
}

void Replica::ConfirmLeadership(const OracleAsker& asker,
                                UniqueFunction<void(StatusOr<raft::Term>)> done) {
  {
    std::unique_lock lock(mutex_);
    if (stopped_) {
      lock.unlock();
      done(StoppingError());
      return;
    }
    confirms_submitted_.push_back({.asker = asker, .done = std::move(done)});
  }
  group_->Schedule();
}

AnswerOrigin Replica::Origin() const {
  return {.group = id_, .node = self_, .timestamp = store_->last_timestamp()};
}

void Replica::ReadLocal(const std::vector<Ticket>& tickets) {
  AnswerCollector answers;
  for (const Blocked& blocked : ReadAnswers(*store_, tickets, Origin(), answers)) {
    WaitFor(blocked.obstacle, blocked.ticket);
  }
  for (const Ticket& ticket : tickets) {
    if (LockOf(ticket.request()) != nullptr) ServeLocked(ticket, answers);
  }
}

void Replica::WaitFor(const kv::Obstacle& obstacle, const Ticket& ticket) {
  if (!ticket.batch->Return(ticket.slot)) return;  // nothing has happened so far
  const kv::TxnId txn = obstacle.holder.txn;
  lock_waits_.Wait(txn, ticket);
  world_.host->OnObstacle(id_, obstacle);
  world_.host->OnLockWait();
  // It may have gone before there was anybody to be told.
  if (!store_->locks().Holds(txn) || !leads() || Stopped()) GoOn(lock_waits_.Take(txn));
}

void Replica::RefuseYounger(const kv::Obstacle& obstacle) {
  AnswerCollector answers;
  for (const Ticket& ticket : lock_waits_.TakeYounger(obstacle.holder.txn)) {
    answers.Fail(ticket, kv::Preceded(obstacle));
  }
}

void Replica::OnUnlocked(kv::TxnId txn) {
  GoOn(lock_waits_.Take(txn));
  if (!locks_.empty()) Unlock(txn);
}

void Replica::GoOn(std::vector<Ticket> tickets) {
  std::erase_if(tickets, [](const Ticket& ticket) { return ticket.batch->Answered(ticket.slot); });
  if (!tickets.empty()) Submit(std::move(tickets));
}

void Replica::OnRun() {
  std::vector<Ticket> submitted;
  std::vector<Confirm> confirms;
  std::optional<Grant> granted;
  {
    std::lock_guard lock(mutex_);
    submitted.swap(submitted_);
    confirms.swap(confirms_submitted_);
    granted.swap(granted_);
  }
  for (Confirm& confirm : confirms) confirms_.push_back(std::move(confirm));
  for (Ticket& ticket : submitted) {
    if (ticket.is_write()) {
      writes_.push_back(std::move(ticket));
    } else if (std::holds_alternative<UnlockCall>(ticket.request().call)) {
      AnswerUnlock(ticket);
    } else if (LockOf(ticket.request()) != nullptr) {
      locking_.push_back(std::move(ticket));
    } else {
      (AsOf(ticket.request()) ? reads_as_of_ : reads_).push_back(std::move(ticket));
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
  const bool waits = !transfers_.empty() || !writes_.empty() || membership_->busy();
  TakeLocks();
  if (waits || ExpiryIsNear()) group_->KeepAwake();
  if (granted) OnGranted(*granted);
  AdmitReadsAsOf();  // before the next question to the oracle
  ProposeWrites();
  ProposeExpiry();
  StartReads();
}

void Replica::Bounce() {
  if (!confirms_.empty()) {
    const Status status = NotLeaderError(id_, group_->core().leader());
    for (Confirm& confirm : std::exchange(confirms_, {})) confirm.done(status);
  }
  std::vector<Ticket> tickets = std::exchange(reads_, {});
  for (Ticket& ticket : std::exchange(reads_as_of_, {})) tickets.push_back(std::move(ticket));
  for (Ticket& ticket : std::exchange(locking_, {})) tickets.push_back(std::move(ticket));
  for (Ticket& ticket : writes_) tickets.push_back(std::move(ticket));
  writes_.clear();
  if (!tickets.empty()) {
    world_.host->OnMisrouted(id_, group_->core().leader(), std::move(tickets));
  }
}

// With this node most of the voters have spoken, if there are few.
bool Replica::ConfirmedBy(const OracleAsker& asker) const {
  const raft::Core& core = group_->core();
  const raft::Configuration& members = core.configuration();
  const bool few = members.voters.size() <= 3 || Planted(Plant::kOracleAskerSuffices);
  return asker.term == core.term() && few && !members.joint() && members.IsVoter(self_) &&
         members.IsVoter(asker.node) && asker.node != self_;
}

void Replica::ConfirmByAskers() {
  std::vector<Confirm> others;
  for (Confirm& confirm : std::exchange(confirms_, {})) {
    if (ConfirmedBy(confirm.asker)) {
      confirm.done(group_->core().term());
    } else {
      others.push_back(std::move(confirm));
    }
  }
  confirms_ = std::move(others);
}

// What a read as of a timestamp sees must stay as it was: what has been proposed at that timestamp
// or below is waited for, and what is proposed from here on has a larger one. Timestamps that are
// on their way to writes may be smaller, so that they come first.
void Replica::AdmitReadsAsOf() {
  const bool floor = !Planted(Plant::kFloorForgotten);
  if (reads_as_of_.empty() || (taking_ != 0 && floor)) return;
  for (Ticket& ticket : reads_as_of_) {
    if (floor) read_floor_ = std::max(read_floor_, AsOf(ticket.request()));
    reads_.push_back(std::move(ticket));
  }
  reads_as_of_.clear();
  if (!Planted(Plant::kAsOfNotAwaited)) read_after_ = last_proposed_;
}

void Replica::StartReads() {
  if (Planted(Plant::kOracleUnconfirmed)) {
    for (Confirm& confirm : std::exchange(confirms_, {})) confirm.done(group_->core().term());
  }
  ConfirmByAskers();
  if ((reads_.empty() && confirms_.empty()) || rounds_.size() >= kReadRoundsInFlight) return;
  const std::uint64_t context = next_read_++;
  Round& round = rounds_[context];
  round.reads.reserve(reads_.size());
  for (Ticket& ticket : reads_) {
    if (ticket.batch->Begin(ticket.slot)) round.reads.push_back(std::move(ticket));
  }
  reads_.clear();
  round.confirms.swap(confirms_);
  round.after = std::exchange(read_after_, raft::Index());
  group_->ReadIndex(context);
}

void Replica::OnReadConfirmed(const raft::ReadConfirmed& read) {
  const auto found = rounds_.find(read.context);
  if (found == rounds_.end()) return;
  Round round = std::move(found->second);
  rounds_.erase(found);
  if (!reads_.empty() || !confirms_.empty()) group_->Schedule();
  for (Confirm& confirm : round.confirms) confirm.done(group_->core().term());
  const raft::Index index = std::max(read.index, round.after);
  if (index <= group_->applied() || Planted(Plant::kReadBeforeApplied)) {
    ServeReads(std::move(round.reads));
  } else {
    reads_applying_.emplace(index, std::move(round.reads));
  }
}

void Replica::OnReadRefused(const raft::ReadRefused& read) {
  const auto found = rounds_.find(read.context);
  if (found == rounds_.end()) return;
  Round round = std::move(found->second);
  rounds_.erase(found);
  const NodeId leader = group_->core().leader();
  for (Confirm& confirm : round.confirms) confirm.done(NotLeaderError(id_, leader));
  std::vector<Ticket> tickets;
  for (Ticket& ticket : round.reads) {
    if (ticket.batch->Return(ticket.slot)) tickets.push_back(std::move(ticket));
  }
  if (!tickets.empty()) world_.host->OnMisrouted(id_, leader, std::move(tickets));
}

void Replica::ServeReads(std::vector<Ticket> tickets) {
  // In portions, for as many threads as there are.
  for (std::size_t next = 0; next < tickets.size(); next += kReadPortion) {
    const auto begin = tickets.begin() + static_cast<std::ptrdiff_t>(next);
    const auto end =
        begin + static_cast<std::ptrdiff_t>(std::min(kReadPortion, tickets.size() - next));
    world_.executor->Post(
        [this, hold = group_->Hold(),
         portion = std::vector<Ticket>(std::make_move_iterator(begin),
                                       std::make_move_iterator(end))] { ReadLocal(portion); });
  }
}

// An entry that is not committed may never be.
void Replica::GiveUncommittedReadsBack() {
  const auto first = reads_applying_.upper_bound(group_->core().commit());
  std::vector<Ticket> tickets;
  for (auto one = first; one != reads_applying_.end(); ++one) {
    for (Ticket& ticket : one->second) {
      if (ticket.batch->Return(ticket.slot)) tickets.push_back(std::move(ticket));
    }
  }
  reads_applying_.erase(first, reads_applying_.end());
  if (!tickets.empty()) {
    world_.host->OnMisrouted(id_, group_->core().leader(), std::move(tickets));
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
  // Everything that earlier leaders proposed and that survives is applied now: timestamps taken
  // from here on are above all of it.
  last_timestamp_ = store_->last_timestamp();
  local_timestamps_.Advance(last_timestamp_);
  read_floor_ = Timestamp();  // its timestamps are above what earlier leaders' reads had
  expiry_proposed_ms_ = 0;
  expiry_not_before_ = {};
  locks_.Open();
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
  taking_ = 0;  // what comes for it may be older than the writes of others
  // What a slow disk holds up here is not held up elsewhere.
  if (std::exchange(giving_away_, false) && !leading) group_->AbandonProposals();
  if (leading) {
    term_start_ = group_->core().last_index();
    last_proposed_ = raft::Index(0);
    if (group_->applied() >= term_start_) BecomeServing();
  } else {
    membership_->OnDeposed();
    GiveUncommittedReadsBack();
    GoOn(lock_waits_.TakeAll());  // to whoever leads
    GoOn(locks_.Close());
  }
  group_->PostToApply([this, leading] { store_->SetLeading(leading); });
  world_.host->OnLeader(id_, change.leader, leading);
}

void Replica::OnConfiguration(const raft::Configuration& configuration) {
  const bool settled = !group_->core().MembersChanging();
  const bool news = settled != std::exchange(members_settled_, settled);
  if (configuration == members_ && !news) return;
  membership_->OnConfiguration(configuration);
  {
    std::lock_guard lock(mutex_);
    configuration_ = configuration;
  }
  const bool same = std::exchange(members_, configuration).context == configuration.context;
  if (!same || news) world_.host->OnMembers(id_, configuration, settled);
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

Status Replica::Ended() const {
  if (absorbed_.load()) return kv::WrongShard(id_, store_->range());
  return StoppingError();
}

void Replica::Retire(Closure done) {
  absorbed_.store(store_->range().frozen);
  Stop();
  group_->Retire(std::move(done));
}

void Replica::Stop() {
  group_->Post([this] {
    std::vector<Ticket> submitted;
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      submitted.swap(submitted_);
      for (Confirm& confirm : confirms_submitted_) confirms_.push_back(std::move(confirm));
      confirms_submitted_.clear();
    }
    const Status status = Ended();
    AnswerCollector answers;
    for (const Ticket& ticket : submitted) answers.Fail(ticket, status);
    for (const Ticket& ticket : writes_) answers.Fail(ticket, status);
    for (const Ticket& ticket : reads_) answers.Fail(ticket, status);
    for (const Ticket& ticket : reads_as_of_) answers.Fail(ticket, status);
    for (const Ticket& ticket : lock_waits_.TakeAll()) answers.Fail(ticket, status);
    for (const Ticket& ticket : locks_.Close()) answers.Fail(ticket, status);
    for (const Ticket& ticket : locking_) answers.Fail(ticket, status);
    locking_.clear();
    for (auto& [context, round] : rounds_) {
      for (const Ticket& ticket : round.reads) answers.Fail(ticket, status);
      for (Confirm& confirm : round.confirms) confirm.done(status);
    }
    for (Confirm& confirm : confirms_) confirm.done(status);
    for (const auto& [index, tickets] : reads_applying_) {
      for (const Ticket& ticket : tickets) answers.Fail(ticket, status);
    }
    writes_.clear();
    reads_.clear();
    reads_as_of_.clear();
    rounds_.clear();
    confirms_.clear();
    reads_applying_.clear();
    for (TransferWait& wait : transfers_) wait.done(status);
    transfers_.clear();
    membership_->OnDeposed();
  });
  group_->Stop();
}

}  // namespace flotilla
