#include "raft/group.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "base/turn.h"

namespace flotilla::raft {
namespace {

// Ticks between looks at the log's size and at refused writes.
constexpr int kHousekeepingTicks = 20;

// A compaction's answer, which is given even if the group stops before.
class Owed {
 public:
  using Answer = UniqueFunction<void(StatusOr<Index>)>;
  explicit Owed(Answer answer) : answer_(std::move(answer)) {}
  Owed(Owed&& other) noexcept : answer_(std::exchange(other.answer_, nullptr)) {}
  Owed& operator=(Owed&&) = delete;
  ~Owed() {
    if (answer_) answer_(Error(Reason::kNodeStopping, "the node is stopping"));
  }
  void Pay(StatusOr<Index> durable) { std::exchange(answer_, nullptr)(std::move(durable)); }

 private:
  Answer answer_;
};

std::uint64_t PayloadBytes(const std::vector<Entry>& entries) {
  std::uint64_t bytes = 0;
  for (const Entry& entry : entries) bytes += entry.payload.size();
  return bytes;
}

// Of a state machine that cannot write just now: not final for the replica.
bool MayPass(const Status& status) {
  const Reason reason = ReasonOf(status);
  return reason == Reason::kDiskFull || reason == Reason::kNotReady ||
         reason == Reason::kNodeStopping;
}

}  // namespace

template <class Add>
bool Group::Note(Add add) {
  std::lock_guard lock(mutex_);
  if (stopped_) return false;
  add(inbox_);
  return !std::exchange(scheduled_, true);
}

template <class Add>
void Group::Push(Add add) {
  if (Note(std::move(add))) strand_->Post([this, hold = Hold()] { Run(); });
}

template <class Add>
void Group::PushNow(Add add) {
  if (Note(std::move(add))) strand_->Dispatch([this, hold = Hold()] { Run(); });
}

Group::Group(const GroupOptions& options, const World& world, const RestoredState& recovered)
    : options_(options),
      world_(world),
      strand_(world.executor->NewStrand("raft")),
      own_hold_(std::make_shared<LastCall>(world.executor)),
      last_call_(own_hold_),
      core_(std::make_unique<Core>(options.core, recovered)),
      applied_(recovered.applied),
      held_log_(
          std::min<std::uint64_t>(options.core.inflight_bytes_max, options.compact_after_bytes)) {
  persister_ = std::make_unique<Persister>(
      options_.group, world_.log,
      Persister::Callbacks{
          .on_completion =
              [this](std::uint64_t number, Status status) {
                PushNow([&](Inbox& inbox) {
                  inbox.completions.emplace_back(number, std::move(status));
                });
              },
          .on_persisted = [this](const PersistToken& token) { core_->Persisted(token); },
          .on_release =
              [this](std::vector<OutgoingMessage> held) { sender_->Add(std::move(held)); },
          .hold = [this] { return Hold(); },
      });
  // The state machine waits for its disk now and then, which must not hold up what does not.
  pump_ = std::make_unique<ApplyPump>(
      options_.group, world_.log, world_.machine, world_.executor->NewBlockingStrand("apply"),
      ApplyPump::Callbacks{
          .on_applied =
              [this](Index index) {
                if (strand_->IsCurrent()) {
                  OnApplied(index);
                } else {
                  Push([&](Inbox& inbox) { inbox.applied = std::max(inbox.applied, index); });
                }
              },
          .on_fatal =
              [this](Status status) { Post([this, status] { world_.listener->OnFatal(status); }); },
          .hold = [this] { return Hold(); },
      });
  sender_ = std::make_unique<Sender>(
      options_.group, options_.core.self, options_.core.append_bytes_max, world_.log,
      world_.transport, world_.catch_up, [this](Closure closure) { Post(std::move(closure)); },
      [this](const Status& status) { world_.listener->OnFatal(status); },
      [this] { return Hold(); });
  for (const LoggedEntry& entry : recovered.log) log_bytes_ += entry.bytes;
  CHECK(!options_.core.leases || (world_.clock != nullptr && options_.tick > Duration(0)));
}

Group::~Group() = default;

void Group::Receive(std::vector<Message> messages) {
  PushNow([&](Inbox& inbox) {
    if (inbox.messages.empty()) {
      inbox.messages = std::move(messages);
      return;
    }
    for (Message& message : messages) inbox.messages.push_back(std::move(message));
  });
}

void Group::Tick() {
  Push([](Inbox& inbox) { ++inbox.ticks; });
}

void Group::Schedule() {
  PushNow([](Inbox&) {});
}

void Group::Post(Closure closure) {
  Push([&](Inbox& inbox) { inbox.closures.push_back(std::move(closure)); });
}

void Group::PostToApply(Closure closure) { pump_->Post(std::move(closure)); }

void Group::Run() {
  const BriefTurn brief;
  Inbox inbox;
  {
    std::lock_guard lock(mutex_);
    std::swap(inbox, inbox_);
    scheduled_ = false;
    if (stopped_) return;
  }
  for (const auto& [number, status] : inbox.completions) persister_->OnCompletion(number, status);
  OnApplied(inbox.applied);
  for (Message& message : inbox.messages) StepMessage(std::move(message));
  // With leases: ticks that waited beside a message are older than it, and must not count against
  // the leader who sent it (CoreOptions::leases allows for one).
  const bool heard = options_.core.leases && !inbox.messages.empty();
  const int ticks = heard ? std::min(inbox.ticks, 1) : inbox.ticks;
  for (int i = 0; i < ticks; ++i) OnTick();
  for (Closure& closure : inbox.closures) closure();
  Index seen = applied_;
  world_.listener->OnRun();
  CatchUpTicks();
  term_.store(core_->term().value());
  DrainReady();
  // What waits for an entry to be applied looks again, should that have happened just now.
  while (applied_ > seen) {
    seen = applied_;
    world_.listener->OnRun();
    DrainReady();
  }
  sender_->Flush();
  NoteSleep();
  LetGo();
}

void Group::OnApplied(Index index) {
  if (index <= applied_) return;
  applied_ = index;
  core_->Applied(applied_);
  world_.listener->OnApplied(applied_);
}

void Group::LetGo() {
  std::shared_ptr<LastCall> hold;
  const std::lock_guard lock(mutex_);
  if (stopped_) hold.swap(own_hold_);
}

void Group::NoteSleep() {
  const bool asleep = ended_ || core_->quiescent();
  if (asleep_.exchange(asleep, std::memory_order_relaxed) && !asleep) world_.listener->OnAwake();
}

void Group::StepMessage(Message message) {
  if (const auto* request = std::get_if<SnapshotRequest>(&message.body)) {
    // Only a snapshot that is here in full, and stays, may be announced to the core.
    if (installing_ || !world_.snapshots->Claim(options_.group, request->mark)) return;
    claimed_ = true;
  }
  core_->Step(std::move(message));
}

bool Group::TicksByClock() const {
  return options_.core.leases && core_->role() == Role::kLeader &&
         !Planted(Plant::kLeaseAcrossPause);
}

// A lease is counted in ticks, and timers of a process that was paused or starved have missed some:
// a leader goes by the clock, read after the reads that wait have come in. Not so a follower: it
// may have heard its leader after the ticks that it missed.
void Group::CatchUpTicks() {
  if (!options_.core.leases) return;
  const MonoTime now = world_.clock->Now();
  if (!TicksByClock() || core_->term() != ticked_term_) {
    ticked_term_ = core_->term();
    ticked_to_ = now;
    return;
  }
  // More than ends any lease, and any leadership without a quorum, is too much.
  const Duration enough = 4 * options_.core.election_timeout_ticks * options_.tick;
  ticked_to_ = std::max(ticked_to_, now - enough);
  for (; TicksByClock() && ticked_to_ + options_.tick <= now; ticked_to_ += options_.tick) {
    core_->Tick();
  }
}

void Group::OnTick() {
  if (!TicksByClock()) core_->Tick();
  if (--ticks_until_housekeeping_ > 0) return;
  ticks_until_housekeeping_ = kHousekeepingTicks;
  persister_->RetryIfFull();
  if (install_again_) InstallSnapshot(*std::exchange(install_again_, std::nullopt));
  if (compacting_ || log_bytes_ <= options_.compact_after_bytes / 2) return;
  const Index durable = world_.machine->durable();
  // Nothing is flushed for log that would stay all the same. What the state machine has flushed by
  // itself costs nothing to let go.
  if (log_bytes_ > options_.compact_after_bytes && MayGo(applied_) > durable) {
    Compact([](const StatusOr<Index>&) {});
  } else {
    FlushedUpTo(Planted(Plant::kReleasedBeforeFlush) ? applied_ : durable);
  }
}

void Group::DrainReady() {
  while (core_->HasReady()) CarryOut(core_->TakeReady());
  if (std::exchange(claimed_, false) && !installing_) {
    world_.snapshots->Release(options_.group);  // the core had no use for it
  }
  NoteConfiguration();
}

void Group::CarryOut(Ready ready) {
  if (ready.leadership) {
    EndSending();
    world_.listener->OnLeadership(*ready.leadership);
  }
  if (ready.overwritten) FailOverwritten(ready.overwritten->first);
  if (ready.persist) {
    // First of all: from here on the log can serve the new entries to followers and to apply.
    if (!ready.persist->entries.empty()) {
      const std::uint64_t bytes = PayloadBytes(ready.persist->entries);
      log_sizes_.emplace_back(ready.persist->entries.back().index, bytes);
      log_bytes_ += bytes;
    }
    persister_->Write(*std::move(ready.persist), std::move(ready.send_after_persist));
  } else {
    persister_->Hold(std::move(ready.send_after_persist));
  }
  sender_->Add(std::move(ready.send_now));
  if (!ready.committed.empty()) Commit(ready.committed);
  for (const ReadConfirmed& read : ready.reads_confirmed) world_.listener->OnReadConfirmed(read);
  for (const ReadRefused& read : ready.reads_refused) world_.listener->OnReadRefused(read);
  for (const NodeId node : ready.snapshot_wanted_by) SendSnapshot(node);
  if (ready.install) InstallSnapshot(*ready.install);
}

void Group::Commit(IndexRange range) {
  std::vector<PlacedProposal> placed;
  while (!proposals_.empty() && proposals_.front().placed.index < range.end) {
    PendingProposal proposal = std::move(proposals_.front());
    proposals_.pop_front();
    // Its index was committed with an entry of another term: it lost its place.
    if (core_->TermAt(proposal.placed.index) != proposal.term) {
      proposal.placed.proposal->Fail(
          Error(Reason::kNotLeader, "the leader changed before the write was accepted"));
      continue;
    }
    placed.push_back(std::move(proposal.placed));
  }
  pump_->Enqueue(range, std::move(placed));
}

void Group::FailOverwritten(Index first) {
  while (!proposals_.empty() && proposals_.back().placed.index >= first) {
    // A proposal of the present term can stand there already.
    if (core_->TermAt(proposals_.back().placed.index) == proposals_.back().term) return;
    PendingProposal proposal = std::move(proposals_.back());
    proposals_.pop_back();
    proposal.placed.proposal->Fail(
        Error(Reason::kNotLeader, "the leader changed before the write was accepted"));
  }
}

ProposeResult Group::Propose(Bytes payload, std::unique_ptr<Proposal>& proposal, EntryKind kind) {
  std::vector<Bytes> payloads;
  payloads.push_back(std::move(payload));
  const ProposeResult result = core_->Propose(std::move(payloads), kind);
  if (result.first) {
    CHECK(proposals_.empty() || proposals_.back().placed.index < *result.first);
    proposals_.push_back(
        {.term = result.term, .placed = {.index = *result.first, .proposal = std::move(proposal)}});
  }
  return result;
}

void Group::ReadIndex(std::uint64_t context) { core_->ReadIndex(context); }

MembershipRefusal Group::ProposeMembership(MembershipChange change) {
  // The core accepts none before all is applied that could have a say in it.
  if (core_->role() == Role::kLeader && world_.machine->members_fixed()) {
    return MembershipRefusal::kChangeUnderWay;
  }
  return core_->ProposeMembership(std::move(change));
}

bool Group::TransferLeadership(NodeId target) { return core_->TransferLeadership(target); }

void Group::StepDown() { core_->StepDown(); }

void Group::AbandonProposals() {
  for (PendingProposal& proposal : proposals_) {
    proposal.placed.proposal->Fail(Error(
        Reason::kOutcomeUnknown,
        "the leader's disk does not answer, and another node leads: repeat the write with the "
        "same client id and sequence number"));
  }
  proposals_.clear();
}

void Group::Wake() { core_->Wake(); }

void Group::Campaign() { core_->Campaign(); }

void Group::ReportUnreachable(NodeId node) { core_->ReportUnreachable(node); }

void Group::NoteConfiguration() {
  const Configuration& configuration = core_->configuration();
  world_.listener->OnConfiguration(configuration);
}

void Group::Compact(UniqueFunction<void(StatusOr<Index>)> done) {
  compacting_ = true;
  // On the apply strand: the request waits there while writes are stalled.
  pump_->Post([this, owed = Owed(std::move(done))]() mutable {
    world_.machine->Flush(
        [this, hold = Hold(), owed = std::move(owed)](StatusOr<Index> durable) mutable {
          Post([this, durable] {
            compacting_ = false;
            if (durable.ok()) {
              FlushedUpTo(*durable);
            } else if (!MayPass(durable.status())) {
              world_.listener->OnFatal(Annotate(durable.status(), "flushing"));
            }
          });
          owed.Pay(std::move(durable));
        });
  });
}

// Followers that are alive and a little behind catch up from the log rather than by a snapshot. A
// snapshot that is on its way is worth more log, but not more than the node is to have.
HeldLog::For Group::HoldsLogFor() const {
  if (log_bytes_ < 4 * options_.compact_after_bytes) return HeldLog::For::kEveryone;
  const std::vector<GroupId> pressed = world_.log->Pressure();
  return std::ranges::find(pressed, options_.group) == pressed.end() ? HeldLog::For::kReceivers
                                                                     : HeldLog::For::kNobody;
}

Index Group::MayGo(Index durable) {
  return held_log_.MayGo(durable, HoldsLogFor(), core_->Status());
}

void Group::FlushedUpTo(Index durable) {
  const Index target = MayGo(durable);
  if (target <= core_->Status().snapshot.index) return;
  // A snapshot may be in place in the state machine before the log has been reset to it.
  const std::optional<Term> term = core_->TermAt(target);
  if (!term || target > applied_) return;
  core_->Compacted(target);
  world_.log->Release(options_.group, target, *term);
  // Sizes are per batch: what is left is an upper bound.
  while (!log_sizes_.empty() && log_sizes_.front().first <= target) {
    log_bytes_ -= std::min(log_bytes_, log_sizes_.front().second);
    log_sizes_.pop_front();
  }
  if (log_sizes_.empty()) log_bytes_ = 0;
}

void Group::SendSnapshot(NodeId to) {
  held_log_.Sending(to, applied_);
  // It may have left the group and come back: one that is still under way would undo this one.
  std::shared_ptr<std::atomic<bool>>& newest = sending_[to];
  if (newest) newest->store(false);
  newest = std::make_shared<std::atomic<bool>>(true);
  pump_->Post([this, to, wanted = newest] {
    StatusOr<SnapshotInfo> snapshot = world_.machine->TakeSnapshot();
    if (!snapshot.ok()) {
      world_.logger->warn("group {}: no snapshot for node {}: {}", options_.group.value(),
                          to.value(), MessageOf(snapshot.status()));
      Post([this, to, wanted, status = snapshot.status()] {
        EndSnapshot(to, wanted, false, {});
        if (!MayPass(status)) world_.listener->OnFatal(Annotate(status, "taking a snapshot"));
      });
      return;
    }
    world_.snapshots->Send(
        options_.group, to, *snapshot, [wanted] { return wanted->load(); },
        [this, hold = Hold(), to, wanted, snapshot = *snapshot](Status status) {
          world_.machine->DropSnapshot(snapshot);
          Post([this, to, wanted, delivered = status.ok(), mark = snapshot.mark] {
            EndSnapshot(to, wanted, delivered, mark);
          });
        });
  });
}

void Group::EndSnapshot(NodeId to, const std::shared_ptr<std::atomic<bool>>& wanted, bool delivered,
                        const SnapshotMark& mark) {
  // Only a leader speaks in the name of its term.
  if (!wanted->load() || core_->role() != Role::kLeader) return;
  sending_.erase(to);
  held_log_.Sent(to, delivered);
  if (delivered) {
    std::vector<PeerMessage> announce;
    announce.push_back(
        {.from = options_.core.self,
         .to = to,
         .payload = GroupMessage{.group = options_.group,
                                 .message = {.from = options_.core.self,
                                             .to = to,
                                             .term = core_->term(),
                                             .body = SnapshotRequest{.mark = mark}}}});
    world_.transport->Send(std::move(announce));
  }
  core_->SnapshotSent(to, delivered, mark.index);
}

// This node does not lead any more, or anew.
void Group::EndSending() {
  for (const auto& [to, wanted] : sending_) wanted->store(false);
  sending_.clear();
  held_log_.Clear();
}

void Group::InstallSnapshot(const SnapshotMark& mark) {
  installing_ = true;
  // Proposals of an earlier leadership that the snapshot covers: applied elsewhere, or lost.
  while (!proposals_.empty() && proposals_.front().placed.index <= mark.index) {
    proposals_.front().placed.proposal->Fail(
        Error(Reason::kOutcomeUnknown,
              "leadership was lost and the outcome is not known here: repeat the write with the "
              "same client id and sequence number"));
    proposals_.pop_front();
  }
  pump_->Post([this, mark] {
    const auto directory = world_.snapshots->Received(options_.group, mark);
    Status status = directory ? world_.machine->InstallSnapshot(*directory, mark)
                              : Error(Reason::kInternal, "the received snapshot has disappeared");
    Post([this, mark, status] {
      if (ReasonOf(status) == Reason::kDiskFull) {
        install_again_ = mark;
      } else if (!status.ok()) {
        world_.listener->OnFatal(Annotate(status, "installing a snapshot"));
      } else {
        FinishInstall(mark);
      }
    });
  });
}

void Group::FinishInstall(const SnapshotMark& mark) {
  installing_ = false;
  world_.snapshots->Discard(options_.group);
  persister_->Reset(mark.index, mark.term, [this, mark] {
    log_bytes_ = 0;
    log_sizes_.clear();
    applied_ = std::max(applied_, mark.index);
    core_->SnapshotInstalled(mark.index);
    world_.listener->OnApplied(applied_);
  });
}

void Group::Abandon() {
  Inbox inbox;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    std::swap(inbox, inbox_);
  }
  pump_->Abandon();
}

void Group::Retire(Closure done) {
  if (const std::shared_ptr<LastCall> hold = last_call_.lock()) {
    hold->done = std::move(done);
    Stop();
  } else {
    world_.executor->Post(std::move(done));
  }
}

void Group::Stop() {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
  }
  // The last run: what waits is failed on the strand that owns it.
  Post([this] {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    for (PendingProposal& proposal : proposals_) {
      proposal.placed.proposal->Fail(
          Error(Reason::kOutcomeUnknown,
                "the node stopped while the write was under way: repeat it with the same client id "
                "and sequence number"));
    }
    proposals_.clear();
    pump_->Stop();
    ended_ = true;
  });
}

}  // namespace flotilla::raft
