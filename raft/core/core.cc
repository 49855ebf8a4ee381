#include "raft/core/core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "raft/core/impl.h"

namespace flotilla::raft {

Core::Impl::Impl(const CoreOptions& options, RestoredState restored)
    : options_(options),
      random_(options.seed),
      log_(restored.snapshot.index, restored.snapshot.term),
      configurations_(restored.snapshot.index, std::move(restored.snapshot.configuration),
                      std::move(restored.configurations)),
      disk_(restored.snapshot.index + restored.log.size(), restored.hard_state),
      term_(restored.hard_state.term),
      vote_(Planted(Plant::kVoteForgotten) ? NodeId{} : restored.hard_state.vote),
      forgotten_(restored.hard_state.forgotten),
      forwarded_(random_.Next()) {
  CHECK(options_.self) << "a core needs a node id";
  CHECK_GT(options_.election_timeout_ticks, options_.heartbeat_ticks);
  CHECK_GT(options_.heartbeat_ticks, 0);
  CHECK_GT(options_.inflight_requests_max, std::size_t{0});
  for (const LoggedEntry& entry : restored.log) log_.Append(entry.term, entry.bytes);

  commit_ = std::max({restored.hard_state.commit, restored.snapshot.index, restored.applied});
  CHECK_LE(commit_, log_.last()) << "the log ends before its own commit index";
  CHECK_GE(term_, log_.last_term());
  applied_ = given_ = std::max(restored.applied, restored.snapshot.index);

  announced_.term = term_;
  ResetElectionTimer();
  // A node that has just started may have promised a leader its lease before it stopped.
  timer_.since_leader = options_.leases ? 0 : options_.election_timeout_ticks;
}

Core::Core(const CoreOptions& options, RestoredState restored)
    : impl_(std::make_unique<Impl>(options, std::move(restored))) {}
Core::~Core() = default;

void Core::Tick() { impl_->Tick(); }
void Core::Step(Message message) { impl_->Step(std::move(message)); }
ProposeResult Core::Propose(std::vector<Bytes> payloads, EntryKind kind) {
  return impl_->Propose(std::move(payloads), kind);
}
MembershipRefusal Core::ProposeMembership(MembershipChange change) {
  return impl_->ProposeMembership(std::move(change));
}
void Core::ReadIndex(std::uint64_t context) { impl_->ReadIndex(context); }
bool Core::TransferLeadership(NodeId target) { return impl_->TransferLeadership(target); }
void Core::Persisted(const PersistToken& token) { impl_->Persisted(token); }
void Core::Applied(Index index) { impl_->Applied(index); }
void Core::Compacted(Index index) { impl_->Compacted(index); }
void Core::SnapshotSent(NodeId to, bool delivered, Index mark_index) {
  impl_->SnapshotSent(to, delivered, mark_index);
}
void Core::SnapshotInstalled(Index index) { impl_->SnapshotInstalled(index); }
void Core::Wake() { impl_->Wake(); }
void Core::KeepAwake() { impl_->KeepAwake(); }
void Core::ReportUnreachable(NodeId node) { impl_->ReportUnreachable(node); }
void Core::Campaign() { impl_->CampaignUnled(); }
void Core::StepDown() { impl_->StepDown(); }

bool Core::HasReady() const { return impl_->HasReady(); }
Ready Core::TakeReady() { return impl_->TakeReady(); }

Role Core::role() const { return impl_->role(); }
Term Core::term() const { return impl_->term(); }
NodeId Core::leader() const { return impl_->leader(); }
Index Core::commit() const { return impl_->commit(); }
Index Core::last_index() const { return impl_->log().last(); }
const Configuration& Core::configuration() const { return impl_->configuration(); }
bool Core::MembersChanging() const { return impl_->MembersChanging(); }
bool Core::quiescent() const { return impl_->quiescent(); }
std::optional<Term> Core::TermAt(Index index) const { return impl_->log().TermAt(index); }
CoreStatus Core::Status() const { return impl_->Status(); }

}  // namespace flotilla::raft
