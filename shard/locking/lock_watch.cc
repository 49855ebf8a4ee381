#include "shard/locking/lock_watch.h"

#include <algorithm>
#include <utility>

#include "shard/replica.h"

namespace flotilla {
namespace {

constexpr Duration kPeriod = std::chrono::milliseconds(50);
// What lasts shorter is no deadlock.
constexpr Duration kReportedAfter = std::chrono::milliseconds(20);
constexpr Duration kCallTimeout = std::chrono::milliseconds(300);
// Locks that somebody waits for are asked after every so many ticks, when they are that old.
constexpr int kTicksBetweenQuestions = 20;
constexpr Duration kHeldLong = std::chrono::seconds(1);
// Others at every so many looks.
constexpr int kLooksBetweenQuestions = 10;
constexpr Duration kHeldVeryLong = std::chrono::seconds(5);
// A coordinator that does not answer for so long is taken for dead: its transactions' commits will
// find out.
constexpr Duration kSilenceMax = std::chrono::seconds(5);
constexpr std::size_t kAskedMax = 10'000;
constexpr std::size_t kFoundMax = 100;

}  // namespace

LockWatch::LockWatch(World world) : world_(std::move(world)) {
  world_.calls->Handle(raft::PeerMethod::kWaits, [this, alive = std::weak_ptr<bool>(alive_)](
                                                     NodeId from, std::uint64_t, const Bytes& body,
                                                     raft::PeerCalls::Reply reply) {
    StatusOr<std::vector<ReportedWait>> waits = DecodeWaits(body.view());
    if (!waits.ok()) return;
    world_.strand->Post(
        [this, alive, from, waits = *std::move(waits), reply = std::move(reply)]() mutable {
          if (!alive.expired()) reply(Bytes(EncodeDeadlocks(Judge(from, waits))));
        });
  });
  world_.calls->Handle(
      raft::PeerMethod::kOpenTxns,
      [open = world_.open](NodeId, std::uint64_t, const Bytes& body, raft::PeerCalls::Reply reply) {
        const StatusOr<std::vector<kv::TxnId>> asked = DecodeTxnIds(body.view());
        if (asked.ok()) reply(Bytes(EncodeTxnIds(open(*asked))));
      });
}

void LockWatch::OnWait() {
  if (armed_.exchange(true)) return;
  world_.strand->After(kPeriod, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Tick();
  });
}

void LockWatch::Tick() {
  armed_.store(false);
  const MonoTime now = world_.clock->Now();
  std::vector<ReportedWait> waits;
  bool some_wait = false;
  for (const std::shared_ptr<Replica>& replica : world_.replicas()) {
    if (!replica->leads()) continue;
    replica->TendLocks(now);
    some_wait |= replica->locks().waits();
    for (ReportedWait& wait :
         replica->TxnWaits(now, kReportedAfter, kReportedWaitsMax - waits.size())) {
      waits.push_back(std::move(wait));
    }
  }
  some_wait |= !waits.empty();
  if (some_wait || std::exchange(told_, false)) Report(std::move(waits));
  if (++ticks_ % kTicksBetweenQuestions == 0) AskForHolders(kHeldLong, /*wanted=*/true);
  if (some_wait) OnWait();
}

void LockWatch::Report(std::vector<ReportedWait> waits) {
  const NodeId leader = world_.directory_leader();
  if (!leader) return;
  told_ = !waits.empty();
  if (leader == world_.self()) {
    Break(Judge(leader, waits));
    return;
  }
  world_.calls->Call(leader, raft::PeerMethod::kWaits, Bytes(EncodeWaits(waits)), kCallTimeout, {},
                     [this, alive = std::weak_ptr<bool>(alive_)](const StatusOr<Bytes>& answer) {
                       if (alive.expired() || !answer.ok()) return;
                       StatusOr<std::vector<Deadlock>> found = DecodeDeadlocks(answer->view());
                       if (!found.ok() || found->empty()) return;
                       world_.strand->Post([this, alive, found = *std::move(found)] {
                         if (!alive.expired()) Break(found);
                       });
                     });
}

std::vector<Deadlock> LockWatch::Judge(NodeId node, const std::vector<ReportedWait>& waits) {
  return detector_.Report(node, waits, world_.clock->Now());
}

void LockWatch::Break(const std::vector<Deadlock>& deadlocks) {
  for (const Deadlock& deadlock : deadlocks) {
    const Status status = DeadlockError(deadlock);
    bool waited = false;
    for (const std::shared_ptr<Replica>& replica : world_.replicas()) {
      waited |= replica->RefuseWaits(deadlock.victim, status);
    }
    if (!waited) continue;
    std::lock_guard lock(mutex_);
    found_.push_back({.at = world_.clock->WallNow(), .deadlock = deadlock});
    if (found_.size() > kFoundMax) found_.pop_front();
  }
}

std::vector<FoundDeadlock> LockWatch::Deadlocks() const {
  std::lock_guard lock(mutex_);
  return {found_.begin(), found_.end()};
}

void LockWatch::Look() {
  if (++looks_ % kLooksBetweenQuestions == 0) AskForHolders(kHeldVeryLong, /*wanted=*/false);
}

void LockWatch::AskForHolders(Duration held, bool wanted) {
  const MonoTime now = world_.clock->Now();
  std::map<NodeId, std::set<kv::TxnId>> by_node;
  for (const std::shared_ptr<Replica>& replica : world_.replicas()) {
    if (replica->locks().empty()) continue;
    for (const LockTable::Holder& holder : replica->locks().Holders()) {
      if (now - holder.since < held || (wanted && !holder.wanted)) continue;
      std::set<kv::TxnId>& asked = by_node[holder.owner.coordinator];
      if (asked.size() < kAskedMax) asked.insert(holder.owner.txn);
    }
  }
  for (const auto& [node, txns] : by_node) {
    std::vector<kv::TxnId> asked(txns.begin(), txns.end());
    if (node == world_.self()) {
      OnOpen(node, asked, world_.open(asked));
      continue;
    }
    if (!asking_.insert(node).second) continue;
    Bytes question(EncodeTxnIds(asked));
    world_.calls->Call(node, raft::PeerMethod::kOpenTxns, std::move(question), kCallTimeout, {},
                       [this, alive = std::weak_ptr<bool>(alive_), node,
                        asked = std::move(asked)](const StatusOr<Bytes>& answer) mutable {
                         if (alive.expired()) return;
                         StatusOr<std::vector<kv::TxnId>> open =
                             answer.ok() ? DecodeTxnIds(answer->view())
                                         : StatusOr<std::vector<kv::TxnId>>(answer.status());
                         world_.strand->Post([this, alive, node, asked = std::move(asked),
                                              open = std::move(open)]() mutable {
                           if (alive.expired()) return;
                           asking_.erase(node);
                           OnOpen(node, std::move(asked), open);
                         });
                       });
  }
}

void LockWatch::OnOpen(NodeId coordinator, std::vector<kv::TxnId> asked,
                       const StatusOr<std::vector<kv::TxnId>>& open) {
  if (!open.ok()) {
    const MonoTime now = world_.clock->Now();
    const auto [silent, first] = silent_since_.try_emplace(coordinator, now);
    if (now - silent->second >= kSilenceMax) LetGo(asked);
    return;
  }
  silent_since_.erase(coordinator);
  const std::set<kv::TxnId> goes_on(open->begin(), open->end());
  std::erase_if(asked, [&](kv::TxnId txn) { return goes_on.contains(txn); });
  LetGo(asked);
}

void LockWatch::LetGo(const std::vector<kv::TxnId>& txns) {
  if (txns.empty()) return;
  for (const std::shared_ptr<Replica>& replica : world_.replicas()) {
    if (replica->locks().empty()) continue;
    for (const kv::TxnId txn : txns) replica->Unlock(txn);
  }
}

}  // namespace flotilla
