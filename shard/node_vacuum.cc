// The collector of old versions, as it is tied to this node: who reads, here and elsewhere, and
// what is done for whom.

#include <utility>

#include "base/planted.h"
#include "shard/node_impl.h"

namespace flotilla {
namespace {

// Younger transactions end before anybody would hear of them.
constexpr Duration kWorthTelling = std::chrono::milliseconds(500);

}  // namespace

void NodeImpl::MakeVacuum() {
  kv::ReaderHorizon& readers = *resources_.readers;
  readers.oldest = 0;
  readers.hold_ms_max =
      static_cast<std::uint64_t>(options_.vacuum.hold_max / std::chrono::milliseconds(1));
  readers.unheard_ms =
      static_cast<std::uint64_t>(options_.vacuum.unheard_max / std::chrono::milliseconds(1));
  vacuum_ = std::make_unique<Vacuum>(
      options_.vacuum,
      Vacuum::World{
          .clock = world_.clock,
          .scope = flows_.get(),
          .slices = slices_.get(),
          .replicas = [this] { return Replicas(); },
          .find = [this](GroupId group) { return FindReplica(group); },
          .oldest_reader = [this] { return Timestamp(resources_.readers->oldest.load()); },
          .measure = [this](const auto& replica) { Measure({replica}, nullptr); },
          .logger = world_.logger});
  calls_->Handle(raft::PeerMethod::kReaders, [this](NodeId from, std::uint64_t, const Bytes& body,
                                                    const raft::PeerCalls::Reply&) {
    StatusOr<std::optional<OldestReader>> reader = DecodeReader(body.view(), from);
    if (!reader.ok() || Planted(Plant::kReadersUnheard)) return;
    control_->Post([this, from, reader = *std::move(reader)] {
      readers_.Note(from, reader, world_.clock->Now());
      MoveHorizon();
    });
  });
}

void NodeImpl::TellReaders() {
  const MonoTime now = world_.clock->Now();
  std::optional<OldestReader> own = transactions_->FindOldestReader(kWorthTelling);
  if (own) own->node = identity_.node;
  readers_.Note(identity_.node, own, now);
  readers_.Look(now);
  MoveHorizon();
  // Once more after the last, so that they need not wait for it to be forgotten.
  const bool told = std::exchange(told_reader_, own.has_value());
  const bool tell = own || told;
  if (!tell || !identity_.member()) return;
  const std::string body = EncodeReader(own);
  for (const NodeId node : Registered()) {
    if (node == identity_.node) continue;
    calls_->Notify(node, raft::PeerMethod::kReaders, 0, Bytes(body));
  }
}

void NodeImpl::MoveHorizon() {
  const bool known = readers_.knows(world_.clock->Now());
  const std::optional<OldestReader> oldest = readers_.Oldest();
  const std::uint64_t none = known ? UINT64_MAX : 0;
  resources_.readers->oldest.store(known && oldest ? oldest->reads_at.value() : none);
  std::lock_guard lock(mutex_);
  oldest_reader_ = oldest;
}

void NodeImpl::RunVacuum(GroupId group, MonoTime deadline,
                         UniqueFunction<void(StatusOr<VacuumReport>)> done) {
  // Whoever comes first.
  auto once = std::make_shared<UniqueFunction<void(StatusOr<VacuumReport>)>>(std::move(done));
  const auto answer = [once](StatusOr<VacuumReport> report) {
    if (*once) std::exchange(*once, nullptr)(std::move(report));
  };
  control_->Post([this, group = GroupOr(group), deadline, answer] {
    if (stopping_.load()) {
      answer(Error(Reason::kNodeStopping, "the node is stopping"));
      return;
    }
    if (const std::shared_ptr<Replica> replica = FindReplica(group)) {
      FollowPolicy(*map_.image(), *replica);
    }
    vacuum_->Run(group, answer);
    control_->After(deadline - world_.clock->Now(), [answer] {
      answer(Error(Reason::kDeadlineExceeded,
                   "the vacuum is not done yet, and goes on: see `kvctl vacuum status`"));
    });
  });
}

}  // namespace flotilla
