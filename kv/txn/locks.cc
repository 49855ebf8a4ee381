#include "kv/txn/locks.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "base/planted.h"
#include "kv/key_codec.h"

namespace flotilla::kv {

namespace {

std::string KeyOf(const Obstacle& obstacle) {
  KeyspaceId keyspace;
  std::string key;
  if (!DecodeKey(obstacle.key, keyspace, key)) key = obstacle.key;
  return absl::CHexEscape(key);
}

}  // namespace

Status Conflict(const Obstacle& obstacle, Timestamp version) {
  return Error(Reason::kTxnConflict,
               fmt::format("key '{}' was changed by others since the transaction began (it has "
                           "version {}): begin it anew",
                           KeyOf(obstacle), version.value()),
               {{"key", KeyOf(obstacle)},
                {std::string(kActualVersionMetadata), std::to_string(version.value())}});
}

Status Preceded(const Obstacle& obstacle) {
  return Error(
      Reason::kTxnConflict,
      fmt::format("transaction {}, which began earlier, is being committed and has key "
                  "'{}': begin this one anew",
                  obstacle.holder.txn.value(), KeyOf(obstacle)),
      {{"key", KeyOf(obstacle)}, {"transaction", std::to_string(obstacle.holder.txn.value())}});
}

Status Locked(const Obstacle& obstacle) {
  return Error(Reason::kLockTimeout,
               fmt::format("key '{}' is locked by transaction {}, whose outcome did not become "
                           "known in time: try again, or see `kvctl lock list`",
                           KeyOf(obstacle), obstacle.holder.txn.value()),
               {{"transaction", std::to_string(obstacle.holder.txn.value())}});
}

Obstacle Locks::ObstacleOf(std::string_view key, const Held& held) {
  return {.key = std::string(key), .kind = held.kind, .holder = held.holder};
}

std::optional<Obstacle> Locks::IntentOn(std::string_view key, Timestamp as_of, TxnId self) const {
  if (empty()) return std::nullopt;
  std::shared_lock lock(mutex_);
  const auto found = keys_.find(key);
  if (found == keys_.end()) return std::nullopt;
  for (const Held& held : found->second) {
    if (held.kind == LockKind::kShared || held.holder.txn == self) continue;
    if (as_of && held.holder.prepared > as_of) continue;
    return ObstacleOf(key, held);
  }
  return std::nullopt;
}

std::optional<Obstacle> Locks::IntentIn(std::string_view start, std::string_view end,
                                        Timestamp as_of) const {
  if (empty()) return std::nullopt;
  std::shared_lock lock(mutex_);
  for (auto one = keys_.lower_bound(start); one != keys_.end() && one->first < end; ++one) {
    for (const Held& held : one->second) {
      if (held.kind == LockKind::kShared) continue;
      if (as_of && held.holder.prepared > as_of) continue;
      return ObstacleOf(one->first, held);
    }
  }
  return std::nullopt;
}

std::vector<Obstacle> Locks::IntentsIn(std::string_view start, std::string_view end,
                                       Timestamp as_of) const {
  std::vector<Obstacle> intents;
  if (empty()) return intents;
  std::shared_lock lock(mutex_);
  for (auto one = keys_.lower_bound(start); one != keys_.end() && one->first < end; ++one) {
    for (const Held& held : one->second) {
      if (held.kind == LockKind::kShared || (as_of && held.holder.prepared > as_of)) continue;
      intents.push_back(ObstacleOf(one->first, held));
    }
  }
  return intents;
}

std::optional<TxnRecord> Locks::Record(std::string_view anchor, TxnId txn) const {
  std::shared_lock lock(mutex_);
  if (const auto open = Find(open_, anchor, txn); open != open_.end()) return open->second.record;
  if (const auto ended = Find(ended_, anchor, txn); ended != ended_.end()) {
    return ended->second.record;
  }
  const auto commit = commits_.find(txn);
  if (commit == commits_.end()) return std::nullopt;
  return TxnRecord{.state = TxnState::kCommitted,
                   .timestamp = commit->second.at,
                   .valid_until_ms = entries_.find(commit->second.entry)->second.valid_until_ms,
                   .resolved = true};
}

bool Locks::Holds(TxnId txn) const {
  if (empty()) return false;
  std::shared_lock lock(mutex_);
  return txns_.contains(txn);
}

Timestamp Locks::CompleteUpTo() const {
  std::uint64_t first = UINT64_MAX;
  if (empty()) return Timestamp(first);
  std::shared_lock lock(mutex_);
  for (const auto& [txn, own] : txns_) {
    first = std::min(first, own.first_intent.Previous().value());
  }
  return Timestamp(first);
}

std::vector<Locks::Unresolved> Locks::UnresolvedBefore(std::uint64_t ms, std::size_t count) const {
  std::vector<Unresolved> found;
  std::shared_lock lock(mutex_);
  for (const auto& [txn, one] : open_) {
    if (found.size() >= count) break;
    if (one.record.valid_until_ms < ms) found.push_back({.anchor = one.anchor, .txn = txn});
  }
  return found;
}

std::vector<Obstacle> Locks::Holders(std::size_t count) const {
  std::vector<Obstacle> found;
  if (empty()) return found;
  std::shared_lock lock(mutex_);
  for (const auto& [txn, own] : txns_) {
    if (found.size() >= count) break;
    Obstacle one;
    if (!own.keys.empty()) {
      const auto& held = keys_.find(*own.keys.begin())->second;
      const auto mine = std::find_if(held.begin(), held.end(),
                                     [&](const Held& each) { return each.holder.txn == txn; });
      one = ObstacleOf(*own.keys.begin(), *mine);
    } else {
      one.key = *own.ranges.begin();
      one.holder = ranges_.find({one.key, txn})->second.holder;
    }
    found.push_back(std::move(one));
  }
  return found;
}

// ---- apply strand -----------------------------------------------------------------------------

std::optional<Obstacle> Locks::AgainstWrite(std::string_view key, TxnId self) const {
  if (empty()) return std::nullopt;
  if (const auto found = keys_.find(key); found != keys_.end()) {
    for (const Held& held : found->second) {
      if (held.kind == LockKind::kShared && Planted(Plant::kReadersPassed)) continue;
      if (held.holder.txn != self && !held.leaving) return ObstacleOf(key, held);
    }
  }
  for (const auto& [place, range] : ranges_) {
    if (place.first > key || Planted(Plant::kReadersPassed)) break;
    if (range.holder.txn == self || range.leaving || key >= range.end) continue;
    return Obstacle{.key = place.first, .kind = LockKind::kShared, .holder = range.holder};
  }
  return std::nullopt;
}

std::optional<Obstacle> Locks::AgainstWriteIn(std::string_view start, std::string_view end) const {
  if (empty()) return std::nullopt;
  for (auto one = keys_.lower_bound(start); one != keys_.end() && one->first < end; ++one) {
    for (const Held& held : one->second) {
      if (!held.leaving) return ObstacleOf(one->first, held);
    }
  }
  for (const auto& [place, range] : ranges_) {
    if (place.first >= end) break;
    if (range.leaving || start >= range.end) continue;
    return Obstacle{.key = place.first, .kind = LockKind::kShared, .holder = range.holder};
  }
  return std::nullopt;
}

std::optional<Obstacle> Locks::AgainstRead(std::string_view key, TxnId self) const {
  const auto found = keys_.find(key);
  if (found == keys_.end()) return std::nullopt;
  for (const Held& held : found->second) {
    const bool intent = held.kind != LockKind::kShared && !held.leaving;
    if (intent && held.holder.txn != self) return ObstacleOf(key, held);
  }
  return std::nullopt;
}

std::optional<Obstacle> Locks::AgainstReadIn(std::string_view start, std::string_view end,
                                             TxnId self) const {
  for (auto one = keys_.lower_bound(start); one != keys_.end() && one->first < end; ++one) {
    if (auto obstacle = AgainstRead(one->first, self)) return obstacle;
  }
  return std::nullopt;
}

bool Locks::HasIntent(std::string_view key, TxnId txn) const {
  const auto found = keys_.find(key);
  return found != keys_.end() &&
         std::any_of(found->second.begin(), found->second.end(), [&](const Held& held) {
           return held.kind != LockKind::kShared && held.holder.txn == txn && !held.leaving;
         });
}

std::optional<LockHolder> Locks::PartAt(std::string_view first, TxnId txn,
                                        std::uint32_t part) const {
  if (const auto found = keys_.find(first); found != keys_.end()) {
    for (const Held& held : found->second) {
      if (held.holder.txn == txn && held.holder.part == part && !held.leaving) return held.holder;
    }
  }
  const auto range = ranges_.find({std::string(first), txn});
  if (range == ranges_.end() || range->second.leaving || range->second.holder.part != part) {
    return std::nullopt;
  }
  return range->second.holder;
}

std::optional<std::uint64_t> Locks::FenceAt(std::string_view key, TxnId txn) const {
  const auto found = fences_.find({std::string(key), txn});
  return found == fences_.end() ? std::nullopt : std::optional(found->second);
}

void Locks::AddLock(std::string_view key, LockKind kind, const LockHolder& holder) {
  std::unique_lock lock(mutex_);
  std::vector<Held>& held = keys_[std::string(key)];
  Txn& txn = txns_[holder.txn];
  if (kind != LockKind::kShared) txn.first_intent = std::min(txn.first_intent, holder.prepared);
  const auto own = std::find_if(held.begin(), held.end(),
                                [&](const Held& one) { return one.holder.txn == holder.txn; });
  if (own != held.end()) {
    *own = {.kind = kind, .holder = holder};
    return;
  }
  held.push_back({.kind = kind, .holder = holder});
  txn.keys.emplace(key);
  ++count_;
  ++added_;
}

void Locks::AddRange(std::string_view start, std::string_view end, const LockHolder& holder) {
  std::unique_lock lock(mutex_);
  const bool added = ranges_
                         .insert_or_assign(Place{std::string(start), holder.txn},
                                           Range{.end = std::string(end), .holder = holder})
                         .second;
  if (!added) return;
  txns_[holder.txn].ranges.emplace(start);
  ++count_;
}

Locks::Records::const_iterator Locks::Find(const Records& records, std::string_view anchor,
                                           TxnId txn) {
  const auto [first, last] = records.equal_range(txn);
  const auto found =
      std::find_if(first, last, [&](const auto& one) { return one.second.anchor == anchor; });
  return found == last ? records.end() : found;
}

Locks::Records::iterator Locks::Find(Records& records, std::string_view anchor, TxnId txn) {
  const auto [first, last] = records.equal_range(txn);
  const auto found =
      std::find_if(first, last, [&](const auto& one) { return one.second.anchor == anchor; });
  return found == last ? records.end() : found;
}

void Locks::DropRecord(std::string_view anchor, TxnId txn) {
  if (const auto open = Find(open_, anchor, txn); open != open_.end()) open_.erase(open);
  const auto ended = Find(ended_, anchor, txn);
  if (ended == ended_.end()) return;
  expiring_.erase(
      {ended->second.record.valid_until_ms, LockTag::kRecord, {std::string(anchor), txn}});
  ended_.erase(ended);
}

void Locks::SetRecord(std::string_view anchor, TxnId txn, TxnRecord record) {
  std::unique_lock lock(mutex_);
  DropRecord(anchor, txn);
  // Of one that was aborted nothing need be known: it is aborted anew.
  const bool ends = record.resolved || record.state == TxnState::kAborted ||
                    Planted(Plant::kRecordForgottenEarly);
  if (ends) expiring_.emplace(record.valid_until_ms, LockTag::kRecord, Place(anchor, txn));
  (ends ? ended_ : open_).emplace(txn, Recorded{std::string(anchor), std::move(record)});
}

void Locks::AddCommit(Timestamp entry, std::uint64_t valid_until_ms, TxnId txn, Timestamp at) {
  std::unique_lock lock(mutex_);
  TxnCommits& all = entries_[entry];
  all.valid_until_ms = std::max(all.valid_until_ms, valid_until_ms);
  all.commits.emplace_back(txn, at);
  commits_.insert_or_assign(txn, Commit{.at = at, .entry = entry});
}

const TxnCommits* Locks::EndCommits(Timestamp entry) {
  const auto found = entries_.find(entry);
  if (found == entries_.end()) return nullptr;
  expiring_.emplace(found->second.valid_until_ms, LockTag::kCommits,
                    Place("", TxnId(entry.value())));
  return &found->second;
}

void Locks::SetFence(std::string_view key, TxnId txn, std::uint64_t valid_until_ms) {
  RemoveFence(key, txn);
  const Place place(key, txn);
  fences_.emplace(place, valid_until_ms);
  expiring_.emplace(valid_until_ms, LockTag::kFence, place);
}

void Locks::RemoveLock(std::string_view key, TxnId txn) {
  std::unique_lock lock(mutex_);
  const auto found = keys_.find(key);
  if (found == keys_.end()) return;
  for (Held& held : found->second) {
    if (held.holder.txn != txn) continue;
    held.leaving = true;
    keys_leaving_.emplace_back(key, txn);
  }
}

void Locks::RemoveRange(std::string_view start, TxnId txn) {
  std::unique_lock lock(mutex_);
  const auto found = ranges_.find({std::string(start), txn});
  if (found == ranges_.end()) return;
  found->second.leaving = true;
  ranges_leaving_.emplace_back(start, txn);
}

void Locks::RemoveRecord(std::string_view anchor, TxnId txn) {
  std::unique_lock lock(mutex_);
  DropRecord(anchor, txn);
}

void Locks::RemoveCommits(Timestamp entry) {
  std::unique_lock lock(mutex_);
  const auto found = entries_.find(entry);
  if (found == entries_.end()) return;
  for (const auto& [txn, at] : found->second.commits) commits_.erase(txn);
  expiring_.erase(
      {found->second.valid_until_ms, LockTag::kCommits, Place("", TxnId(entry.value()))});
  entries_.erase(found);
}

void Locks::RemoveFence(std::string_view key, TxnId txn) {
  const auto found = fences_.find({std::string(key), txn});
  if (found == fences_.end()) return;
  expiring_.erase({found->second, LockTag::kFence, found->first});
  fences_.erase(found);
}

std::vector<Locks::Needless> Locks::NeedlessAt(std::uint64_t now_ms, std::size_t count) const {
  std::vector<Needless> needless;
  for (const auto& [until_ms, tag, place] : expiring_) {
    if (until_ms >= now_ms || needless.size() >= count) break;
    needless.push_back({.tag = tag, .key = place.first, .txn = place.second});
  }
  return needless;
}

Locks::Own Locks::Of(TxnId txn, std::string_view first, std::string_view last,
                     std::size_t count) const {
  Own own;
  const auto found = txns_.find(txn);
  if (found == txns_.end()) return own;
  const Txn& all = found->second;
  const auto in_span = [&](const std::string& key) { return key >= first && key <= last; };
  for (const std::string& key : all.keys) {
    if (own.keys.size() >= count) return own;
    if (!in_span(key)) continue;
    for (const Held& held : keys_.find(key)->second) {
      if (held.holder.txn == txn && !held.leaving) own.keys.emplace_back(key, held.kind);
    }
  }
  for (const std::string& start : all.ranges) {
    if (own.keys.size() + own.ranges.size() >= count) return own;
    if (in_span(start) && !ranges_.find({start, txn})->second.leaving) own.ranges.push_back(start);
  }
  return own;
}

std::vector<TxnId> Locks::Publish() {
  std::vector<TxnId> gone;
  if (keys_leaving_.empty() && ranges_leaving_.empty()) return gone;
  std::unique_lock lock(mutex_);
  const auto left = [&](TxnId txn) {
    const auto own = txns_.find(txn);
    if (!own->second.keys.empty() || !own->second.ranges.empty()) return;
    txns_.erase(own);
    gone.push_back(txn);
  };
  for (const auto& [key, txn] : std::exchange(keys_leaving_, {})) {
    const auto found = keys_.find(key);
    if (found == keys_.end()) continue;
    const std::size_t erased = std::erase_if(found->second, [&, id = txn](const Held& held) {
      return held.holder.txn == id && held.leaving;
    });
    if (erased == 0) continue;  // named twice, or locked anew
    if (found->second.empty()) keys_.erase(found);
    --count_;
    txns_[txn].keys.erase(key);
    left(txn);
  }
  for (const Place& place : std::exchange(ranges_leaving_, {})) {
    const auto found = ranges_.find(place);
    if (found == ranges_.end() || !found->second.leaving) continue;
    ranges_.erase(found);
    --count_;
    txns_[place.second].ranges.erase(place.first);
    left(place.second);
  }
  return gone;
}

void Locks::Become(Locks&& other) {
  std::unique_lock lock(mutex_);
  keys_ = std::move(other.keys_);
  ranges_ = std::move(other.ranges_);
  txns_ = std::move(other.txns_);
  open_ = std::move(other.open_);
  ended_ = std::move(other.ended_);
  commits_ = std::move(other.commits_);
  entries_ = std::move(other.entries_);
  fences_ = std::move(other.fences_);
  expiring_ = std::move(other.expiring_);
  keys_leaving_.clear();
  ranges_leaving_.clear();
  count_.store(other.count_.load());
  ++added_;
}

}  // namespace flotilla::kv
