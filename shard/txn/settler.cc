#include "shard/txn/settler.h"

#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "base/timestamp.h"
#include "kv/key_codec.h"

namespace flotilla {
namespace {

// For its coordinator to resolve what it has decided.
constexpr Duration kPatience = std::chrono::milliseconds(100);
constexpr Duration kPauseMax = std::chrono::seconds(1);
// Of transactions that are watched; others are met again.
constexpr std::size_t kWatchedMax = 10'000;
// For the settling of one that nobody waits for.
constexpr int kTriesMax = 10;

}  // namespace

void Settler::Meet(GroupId group, const kv::Obstacle& obstacle) {
  const Known known(group, obstacle.holder.txn);
  {
    std::lock_guard lock(mutex_);
    if (met_.size() >= kWatchedMax || !met_.insert(known).second) return;
  }
  world_.hurry(obstacle.holder);
  world_.scope->strand().Post([this, met = Met{group, obstacle, Now()}]() mutable {
    if (!world_.scope->stopping()) world_.scope->Spawn(Watch(std::move(met)));
  });
}

void Settler::Leave(std::string anchor, kv::TxnId txn) {
  {
    std::lock_guard lock(mutex_);
    if (met_.size() >= kWatchedMax || !met_.emplace(GroupId(), txn).second) return;
  }
  world_.scope->strand().Post([this, anchor = std::move(anchor), txn]() mutable {
    if (!world_.scope->stopping()) world_.scope->Spawn(Clear(std::move(anchor), txn));
  });
}

Task<> Settler::Watch(Met met) {
  const Known known(met.group, met.obstacle.holder.txn);
  Duration pause = kPatience;
  for (;;) {
    const bool go_on = co_await SleepFor(pause);
    if (!go_on) break;
    std::optional<kv::ShardRange> held = world_.held(met.group, known.second);
    if (!held) break;
    world_.lingers(met.group, met.obstacle);
    const bool settled = co_await Settle(met, *std::move(held));
    if (settled) break;
    pause = std::min(2 * pause, kPauseMax);
  }
  std::lock_guard lock(mutex_);
  met_.erase(known);
}

// By this node's clock, or by that of the transaction's own group: a wrong one costs a transaction
// that is slow.
bool Settler::IsUp(const Met& met) const {
  const kv::LockHolder& holder = met.obstacle.holder;
  const std::uint64_t granted_ms =
      holder.valid_until_ms - std::min(holder.valid_until_ms, MillisecondsOf(holder.prepared));
  if (Now() - met.since > std::chrono::milliseconds(granted_ms)) return true;
  return MillisecondsOf(world_.calls->world().clock->WallNow()) > holder.valid_until_ms;
}

Task<bool> Settler::Settle(Met met, kv::ShardRange held) {
  const kv::LockHolder& holder = met.obstacle.holder;
  std::string anchor = holder.anchor;
  const StatusOr<std::optional<kv::TxnRecord>> known =
      co_await world_.calls->Record(holder.txn, std::move(anchor));
  const bool up = IsUp(met);
  Timestamp commit;
  if (up && Planted(Plant::kSettledByClock)) {
    // Rolled back.
  } else if (TxnCalls::IsDropped(known.status())) {
    // Nobody is left who could say that it was committed.
    if (!up) co_return false;
  } else if (!known.ok()) {
    co_return false;
  } else if (!known->has_value()) {
    if (!up || Planted(Plant::kCoordinatorAwaited)) co_return false;
    const kv::TxnDecide abort{.valid_until_ms = holder.valid_until_ms, .if_absent = true};
    const MonoTime within = Now() + std::chrono::seconds(2);
    anchor = holder.anchor;
    const StatusOr<Timestamp> end =
        co_await world_.calls->Decide(holder.txn, std::move(anchor), abort, within);
    if (!TxnCalls::IsKnown(end)) co_return false;
    if (end.ok()) commit = *end;
  } else if ((*known)->state == kv::TxnState::kStaged) {
    if (!up || Planted(Plant::kCoordinatorAwaited)) co_return false;
    anchor = holder.anchor;
    kv::TxnRecord record = **known;
    const bool recovered = co_await Recover(holder.txn, std::move(anchor), std::move(record));
    co_return recovered;
  } else if ((*known)->state == kv::TxnState::kCommitted) {
    commit = (*known)->timestamp;
  }
  // What is here; whoever meets the rest does the same.
  kv::TxnPart span{.first = std::max(held.start, std::string(1, '\0')),
                   .last = held.end.empty() ? std::string(kv::kKeysEnd) : held.end};
  const Status resolved = co_await world_.calls->Resolve(holder.txn, std::move(span), commit);
  co_return resolved.ok();
}

Task<bool> Settler::Recover(kv::TxnId txn, std::string anchor, kv::TxnRecord record) {
  Timestamp commit;
  for (std::uint32_t number = 0; number < record.parts.size(); ++number) {
    kv::TxnPart part = record.parts[number];
    const StatusOr<Timestamp> fenced =
        co_await world_.calls->Fence(txn, std::move(part), number, record.valid_until_ms);
    if (TxnCalls::IsDropped(fenced.status())) continue;  // what was there is of no interest
    if (!TxnCalls::IsKnown(fenced)) co_return false;
    if (!fenced.ok()) {
      commit = Timestamp();
      break;
    }
    commit = std::max(commit, *fenced);
  }
  const kv::TxnDecide decide{.commit = commit, .valid_until_ms = record.valid_until_ms};
  const MonoTime within = Now() + std::chrono::seconds(2);
  std::string at = anchor;
  const StatusOr<Timestamp> end = co_await world_.calls->Decide(txn, std::move(at), decide, within);
  if (!TxnCalls::IsKnown(end)) co_return false;
  std::vector<kv::TxnPart> spans = std::move(record.parts);
  const Timestamp decided = end.ok() ? *end : Timestamp();
  const Status finished =
      co_await world_.calls->Finish(txn, std::move(anchor), std::move(spans), decided);
  co_return finished.ok();
}

Task<> Settler::Clear(std::string anchor, kv::TxnId txn) {
  Duration pause = kPatience;
  for (int i = 0; i < kTriesMax; ++i) {
    std::string at = anchor;
    const StatusOr<std::optional<kv::TxnRecord>> known =
        co_await world_.calls->Record(txn, std::move(at));
    if (known.ok()) {
      if (!known->has_value() || (*known)->resolved) break;
      kv::TxnRecord record = **known;
      at = anchor;
      if (record.state == kv::TxnState::kStaged) {
        if (Planted(Plant::kCoordinatorAwaited)) break;
        const bool recovered = co_await Recover(txn, std::move(at), std::move(record));
        if (recovered) break;
      } else {
        const Timestamp commit =
            record.state == kv::TxnState::kCommitted ? record.timestamp : Timestamp();
        const Status finished =
            co_await world_.calls->Finish(txn, std::move(at), std::move(record.parts), commit);
        if (finished.ok()) break;
      }
    }
    const bool go_on = co_await SleepFor(pause);
    if (!go_on) break;
    pause = std::min(2 * pause, kPauseMax);
  }
  std::lock_guard lock(mutex_);
  met_.erase(Known(GroupId(), txn));
}

}  // namespace flotilla
