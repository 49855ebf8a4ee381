// Transactions, as they are tied to the groups of this node.

#include <utility>

#include "base/coding.h"
#include "base/timestamp.h"
#include "shard/node_impl.h"

namespace flotilla {
namespace {

// Of one group, at each look.
constexpr std::size_t kLookedAtMax = 100;
// What a record's coordinator has for it, beyond its time.
constexpr std::uint64_t kRecordLingersMs = 2'000;

}  // namespace

void NodeImpl::MakeTransactions() {
  TxnRegistry::World world;
  world.executor = world_.executor;
  world.clock = world_.clock;
  world.calls.gateway = router_.get();
  world.calls.submit_once = [this](std::vector<GatewayRequest> requests,
                                   std::shared_ptr<AnswerSink> sink) {
    router_->SubmitOnce(std::move(requests), sink);
  };
  world.calls.directory = &map_;
  world.calls.clock = world_.clock;
  world.calls.self = [this] { return router_->self(); };
  world.timestamp = [this](MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)> done) {
    router_->FreshTimestamp(deadline, std::move(done));
  };
  world.self = [this] { return router_->self(); };
  world.held = [this](GroupId group, kv::TxnId txn) { return HeldBy(group, txn); };
  world.lingers = [this](GroupId group, const kv::Obstacle& obstacle) {
    if (const auto replica = FindReplica(group)) replica->RefuseYounger(obstacle);
  };
  world.hurry = [this](const kv::LockHolder& holder) {
    if (holder.coordinator == router_->self()) {
      transactions_->Hurry(holder.txn);
    } else if (holder.coordinator) {
      std::string body;
      AppendFixed64(body, holder.txn.value());
      calls_->Notify(holder.coordinator, raft::PeerMethod::kHurry, 0, Bytes(body));
    }
  };
  world.open_max = options_.admitted_requests_max;
  transactions_ = std::make_unique<TxnRegistry>(std::move(world));
  calls_->Handle(raft::PeerMethod::kHurry,
                 [this](NodeId, std::uint64_t, const Bytes& body, const raft::PeerCalls::Reply&) {
                   Reader reader(body.view());
                   std::uint64_t txn = 0;
                   if (reader.Fixed64(txn)) transactions_->Hurry(kv::TxnId(txn));
                 });
  router_->SetSpanningWrites(
      [this](Bytes command, MonoTime deadline, UniqueFunction<void(GatewayAnswer)> done) {
        transactions_->Write(std::move(command), deadline, std::move(done));
      });
  LockWatch::World locks;
  locks.clock = world_.clock;
  locks.strand = control_.get();
  locks.calls = calls_.get();
  locks.self = [this] { return router_->self(); };
  locks.directory_leader = [this] {
    const std::shared_ptr<Replica> replica = FindReplica(kDirectoryGroup);
    return replica ? replica->leader() : NodeId();
  };
  locks.replicas = [this] { return Replicas(); };
  locks.open = [this](const std::vector<kv::TxnId>& txns) { return transactions_->OpenOf(txns); };
  lock_watch_ = std::make_unique<LockWatch>(std::move(locks));
}

std::vector<LockInfo> NodeImpl::Locks(std::size_t count) const {
  std::vector<LockInfo> infos;
  const MonoTime now = world_.clock->Now();
  const std::uint64_t now_ms = MillisecondsOf(world_.clock->WallNow());
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (!replica->leads()) continue;
    for (LockTable::Listed& one : replica->locks().List(now, count - infos.size())) {
      const bool updates = one.span.strength == LockStrength::kUpdate;
      infos.push_back({.group = replica->id(),
                       .kind = updates ? LockInfo::Kind::kUpdate : LockInfo::Kind::kShare,
                       .span = std::move(one.span),
                       .owner = one.owner,
                       .held = one.held,
                       .waiting = one.waiting});
    }
    for (kv::Obstacle& one : replica->store().locks().Holders(count - infos.size())) {
      const bool checks = one.kind == kv::LockKind::kShared;
      const std::uint64_t since_ms = std::min(now_ms, MillisecondsOf(one.holder.prepared));
      const kv::TxnId txn = one.holder.txn;
      infos.push_back({.group = replica->id(),
                       .kind = checks ? LockInfo::Kind::kChecked : LockInfo::Kind::kIntent,
                       .span = {.start = std::move(one.key)},
                       .owner = {.txn = txn, .coordinator = {}, .since = txn},
                       .held = std::chrono::milliseconds(now_ms - since_ms)});
    }
  }
  return infos;
}

void NodeImpl::OnLockWait() { lock_watch_->OnWait(); }

std::optional<kv::ShardRange> NodeImpl::HeldBy(GroupId group, kv::TxnId txn) const {
  const std::shared_ptr<Replica> replica = FindReplica(group);
  if (!replica || !replica->leads() || !replica->store().locks().Holds(txn)) return std::nullopt;
  return replica->store().range();
}

void NodeImpl::OnObstacle(GroupId group, const kv::Obstacle& obstacle) {
  transactions_->settler().Meet(group, obstacle);
}

void NodeImpl::LookAtLocks() {
  transactions_->Expire();
  lock_watch_->Look();
  const std::uint64_t now_ms = MillisecondsOf(world_.clock->WallNow());
  for (const std::shared_ptr<Replica>& replica : Replicas()) {
    if (!replica->leads()) continue;
    const kv::Locks& locks = replica->store().locks();
    for (const kv::Obstacle& one : locks.Holders(kLookedAtMax)) {
      transactions_->settler().Meet(replica->id(), one);
    }
    for (kv::Locks::Unresolved& one :
         locks.UnresolvedBefore(now_ms - std::min(now_ms, kRecordLingersMs), kLookedAtMax)) {
      transactions_->settler().Leave(std::move(one.anchor), one.txn);
    }
  }
}

}  // namespace flotilla
