#include "shard/locking/lock_table.h"

#include <algorithm>
#include <utility>

namespace flotilla {
namespace {

bool IsRange(const LockSpan& span) { return !span.end.empty(); }

bool Overlap(std::string_view start, std::string_view end, const LockSpan& span) {
  if (!IsRange(span)) return span.start >= start && span.start < end;
  return start < span.end && span.start < end;
}

bool Exclude(LockStrength a, LockStrength b) {
  return a == LockStrength::kUpdate || b == LockStrength::kUpdate;
}

}  // namespace

// ---- who is in the way ------------------------------------------------------------------------

bool LockTable::SameOwner(const Request& request, Number number, const Held& held) {
  if (held.passing != 0 && held.passing == number) return true;
  return request.owner.txn && held.owner.txn == request.owner.txn;
}

bool LockTable::Conflicts(const Request& request, Number number, const LockSpan& span,
                          const Held& held) const {
  return Exclude(span.strength, held.strength) && !SameOwner(request, number, held);
}

bool LockTable::Conflicts(const Request& request, const LockSpan& span, Number earlier) const {
  const Request& other = requests_.at(earlier);
  if (request.owner.txn && other.owner.txn == request.owner.txn) return false;
  const LockSpan& wanted = other.spans[other.next];
  if (!Exclude(span.strength, wanted.strength)) return false;
  return IsRange(span) ? Overlap(span.start, span.end, wanted)
                       : !IsRange(wanted) || Covers(wanted.start, wanted.end, span.start);
}

bool LockTable::HoldsKey(const Request& request, std::string_view key) const {
  if (!request.owner.txn) return false;
  const auto own = [&](const Held& held) { return held.owner.txn == request.owner.txn; };
  const auto point = points_.find(key);
  if (point != points_.end() &&
      std::any_of(point->second.held.begin(), point->second.held.end(), own)) {
    return true;
  }
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    return Covers(range.start, range.end, key) && own(range.held);
  });
}

std::optional<LockTable::Blocker> LockTable::BlockedAt(const Request& request, Number number,
                                                       const LockSpan& span) const {
  return IsRange(span) ? BlockedAtRange(request, number, span)
                       : BlockedAtKey(request, number, span);
}

std::optional<LockTable::Blocker> LockTable::BlockedAtKey(const Request& request, Number number,
                                                          const LockSpan& span) const {
  const auto point = points_.find(span.start);
  if (point != points_.end()) {
    for (const Held& held : point->second.held) {
      if (Conflicts(request, number, span, held)) return Blocker{span.start, held.owner};
    }
  }
  for (const Range& range : ranges_) {
    if (Covers(range.start, range.end, span.start) &&
        Conflicts(request, number, span, range.held)) {
      return Blocker{span.start, range.held.owner};
    }
  }
  if (HoldsKey(request, span.start)) return std::nullopt;
  const auto behind = [&](const std::set<Number>& queue) -> std::optional<Blocker> {
    for (auto one = queue.begin(); one != queue.end() && *one < number; ++one) {
      if (Conflicts(request, span, *one)) return Blocker{span.start, requests_.at(*one).owner};
    }
    return std::nullopt;
  };
  if (point != points_.end()) {
    if (auto blocker = behind(point->second.queue)) return blocker;
  }
  return behind(range_queue_);
}

std::optional<LockTable::Blocker> LockTable::BlockedAtRange(const Request& request, Number number,
                                                            const LockSpan& span) const {
  for (auto point = points_.lower_bound(span.start);
       point != points_.end() && point->first < span.end; ++point) {
    for (const Held& held : point->second.held) {
      if (Conflicts(request, number, span, held)) return Blocker{point->first, held.owner};
    }
  }
  for (const Range& range : ranges_) {
    if (Overlap(range.start, range.end, span) && Conflicts(request, number, span, range.held)) {
      return Blocker{std::max(range.start, span.start), range.held.owner};
    }
  }
  for (auto one = range_queue_.begin(); one != range_queue_.end() && *one < number; ++one) {
    if (Conflicts(request, span, *one)) return Blocker{span.start, requests_.at(*one).owner};
  }
  return std::nullopt;
}

// ---- taking -----------------------------------------------------------------------------------

void LockTable::Grant(const Request& request, Number number, const LockSpan& span) {
  const Number passing = request.passing ? number : 0;
  const Held held{.owner = request.owner,
                  .passing = passing,
                  .strength = span.strength,
                  .since = request.since};
  const auto same = [&](const Held& other) {
    return other.passing == passing && other.owner.txn == request.owner.txn;
  };
  if (IsRange(span)) {
    for (Range& range : ranges_) {
      if (!same(range.held) || range.start > span.start || range.end < span.end) continue;
      if (range.held.strength >= span.strength) return;
    }
    ranges_.push_back({.start = span.start, .end = span.end, .held = held});
  } else {
    std::vector<Held>& all = points_[span.start].held;
    const auto own = std::find_if(all.begin(), all.end(), same);
    if (own != all.end()) {
      own->strength = std::max(own->strength, span.strength);
      return;
    }
    all.push_back(held);
  }
  ++locks_;
  if (request.passing) return;
  const auto [txn, first] = txns_.try_emplace(request.owner.txn);
  if (first || txn->second.since == MonoTime()) txn->second.since = request.since;
  txn->second.owner = request.owner;
  if (IsRange(span)) {
    txn->second.ranges = true;
  } else {
    txn->second.points.insert(span.start);
  }
}

void LockTable::Enqueue(const Request& request, Number number) {
  const LockSpan& span = request.spans[request.next];
  (IsRange(span) ? range_queue_ : points_[span.start].queue).insert(number);
}

void LockTable::Dequeue(const Request& request, Number number) {
  const LockSpan& span = request.spans[request.next];
  if (IsRange(span)) {
    range_queue_.erase(number);
  } else {
    points_[span.start].queue.erase(number);
    EraseIfEmpty(span.start);
  }
}

bool LockTable::GoOn(Request& request, Number number) {
  for (; request.next < request.spans.size(); ++request.next) {
    const LockSpan& span = request.spans[request.next];
    if (BlockedAt(request, number, span)) return false;
    Grant(request, number, span);
  }
  return true;
}

LockTable::Outcome LockTable::Acquire(const LockOwner& owner, std::vector<LockSpan> spans,
                                      LockPatience patience, MonoTime now, MonoTime until) {
  if (size() + spans.size() > locks_max_) return {.answer = Answer::kFull};
  const Number number = next_++;
  Request request{.owner = owner, .spans = std::move(spans), .since = now, .until = until};
  if (patience == LockPatience::kSkipLocked) {
    for (const LockSpan& span : request.spans) {
      if (!BlockedAt(request, number, span)) Grant(request, number, span);
    }
    return {};
  }
  if (GoOn(request, number)) return {};
  if (patience == LockPatience::kNoWait) {
    return {.answer = Answer::kRefused,
            .blocker = *BlockedAt(request, number, request.spans[request.next])};
  }
  Enqueue(request, number);
  Txn& txn = txns_[owner.txn];
  txn.owner = owner;
  txn.requests.insert(number);
  requests_.emplace(number, std::move(request));
  ++waiting_;
  return {.answer = Answer::kWaits, .number = number};
}

LockTable::Outcome LockTable::Pass(const LockOwner& owner, std::vector<LockSpan> spans,
                                   MonoTime now) {
  const Number number = next_;
  Request request{.owner = owner,
                  .spans = std::move(spans),
                  .passing = true,
                  .since = now,
                  .until = MonoTime::max()};
  const bool blocked = std::any_of(
      request.spans.begin(), request.spans.end(),
      [&](const LockSpan& span) { return BlockedAt(request, number, span).has_value(); });
  if (!blocked) return {};
  if (size() + request.spans.size() > locks_max_) return {.answer = Answer::kFull};
  ++next_;
  GoOn(request, number);
  Enqueue(request, number);
  requests_.emplace(number, std::move(request));
  ++waiting_;
  return {.answer = Answer::kWaits, .number = number};
}

// ---- letting go -------------------------------------------------------------------------------

void LockTable::EraseIfEmpty(const std::string& key) {
  const auto point = points_.find(key);
  if (point != points_.end() && point->second.empty()) points_.erase(point);
}

void LockTable::RemoveHeld(const std::string& key, kv::TxnId txn, Number passing, Woken& woken) {
  const auto point = points_.find(key);
  if (point == points_.end()) return;
  const std::size_t gone = std::erase_if(point->second.held, [&](const Held& held) {
    return held.passing == passing && held.owner.txn == txn;
  });
  if (gone == 0) return;
  locks_ -= gone;
  woken.points.insert(key);
}

void LockTable::RemoveRanges(kv::TxnId txn, Number passing, Woken& woken) {
  const std::size_t gone = std::erase_if(ranges_, [&](const Range& range) {
    return range.held.passing == passing && range.held.owner.txn == txn;
  });
  locks_ -= gone;
  woken.ranges |= gone > 0;
}

void LockTable::ForgetTxn(kv::TxnId txn) {
  const auto found = txns_.find(txn);
  if (found == txns_.end()) return;
  const Txn& one = found->second;
  if (one.points.empty() && !one.ranges && one.requests.empty()) txns_.erase(found);
}

void LockTable::Forget(Number number, Woken& woken) {
  const auto found = requests_.find(number);
  if (found == requests_.end()) return;
  const Request request = std::move(found->second);
  if (request.next < request.spans.size()) {
    Dequeue(request, number);
    --waiting_;
    const LockSpan& span = request.spans[request.next];
    if (IsRange(span)) {
      woken.ranges = true;
    } else {
      woken.points.insert(span.start);
    }
  }
  requests_.erase(found);
  if (!request.passing) {
    txns_[request.owner.txn].requests.erase(number);
    ForgetTxn(request.owner.txn);
    return;
  }
  for (std::size_t i = 0; i < request.next; ++i) {
    if (!IsRange(request.spans[i])) {
      RemoveHeld(request.spans[i].start, request.owner.txn, number, woken);
    }
  }
  RemoveRanges(request.owner.txn, number, woken);
}

void LockTable::TryAgain(Number number, Freed& freed) {
  const auto found = requests_.find(number);
  if (found == requests_.end()) return;
  Request& request = found->second;
  if (request.next == request.spans.size() ||
      BlockedAt(request, number, request.spans[request.next])) {
    return;
  }
  Dequeue(request, number);
  if (!GoOn(request, number)) {
    Enqueue(request, number);
    return;
  }
  --waiting_;
  freed.granted.push_back(number);
  if (request.passing) return;
  const kv::TxnId txn = request.owner.txn;
  requests_.erase(found);
  txns_[txn].requests.erase(number);
  ForgetTxn(txn);
}

// Behind one that waits to update, only those that hold the key already can go on.
void LockTable::WakePoint(const std::string& key, Freed& freed) {
  const auto point = points_.find(key);
  if (point == points_.end()) return;
  const std::vector<Number> queue(point->second.queue.begin(), point->second.queue.end());
  bool closed = false;
  for (const Number number : queue) {
    const Request& request = requests_.at(number);
    if (closed && !HoldsKey(request, key)) continue;
    const LockStrength strength = request.spans[request.next].strength;
    TryAgain(number, freed);
    const auto left = points_.find(key);
    if (left == points_.end()) return;
    closed |= left->second.queue.contains(number) && strength == LockStrength::kUpdate;
  }
  EraseIfEmpty(key);
}

void LockTable::Wake(Woken woken, Freed& freed) {
  for (const std::string& key : woken.points) WakePoint(key, freed);
  std::vector<Number> others;
  if (woken.ranges) {
    for (const auto& [number, request] : requests_) others.push_back(number);
  } else {
    others.assign(range_queue_.begin(), range_queue_.end());
  }
  for (const Number number : others) TryAgain(number, freed);
}

LockTable::Freed LockTable::Release(kv::TxnId txn) {
  Freed freed;
  const auto found = txns_.find(txn);
  if (found == txns_.end()) return freed;
  const Txn gone = std::move(found->second);
  found->second = Txn();
  found->second.requests = gone.requests;
  Woken woken;
  for (const std::string& key : gone.points) RemoveHeld(key, txn, 0, woken);
  if (gone.ranges) RemoveRanges(txn, 0, woken);
  for (const Number number : gone.requests) {
    Forget(number, woken);
    freed.dropped.push_back(number);
  }
  ForgetTxn(txn);
  for (const std::string& key : woken.points) EraseIfEmpty(key);
  Wake(std::move(woken), freed);
  return freed;
}

LockTable::Freed LockTable::Drop(Number number) {
  Freed freed;
  Woken woken;
  Forget(number, woken);
  for (const std::string& key : woken.points) EraseIfEmpty(key);
  Wake(std::move(woken), freed);
  return freed;
}

LockTable::Freed LockTable::KeepOnly(std::string_view start, std::string_view end) {
  const auto inside = [&](const LockSpan& span) {
    const bool begins = span.start >= start && (end.empty() || span.start < end);
    return begins && (!IsRange(span) || end.empty() || span.end <= end);
  };
  Freed freed;
  Woken woken;
  std::vector<Number> misplaced;
  for (const auto& [number, request] : requests_) {
    if (request.next == request.spans.size()) continue;
    if (!std::all_of(request.spans.begin(), request.spans.end(), inside)) {
      misplaced.push_back(number);
    }
  }
  for (const Number number : misplaced) {
    Forget(number, woken);
    freed.dropped.push_back(number);
  }
  for (auto& [txn, one] : txns_) {
    for (auto key = one.points.begin(); key != one.points.end();) {
      if (inside({.start = *key})) {
        ++key;
        continue;
      }
      RemoveHeld(*key, txn, 0, woken);
      key = one.points.erase(key);
    }
  }
  locks_ -= std::erase_if(ranges_, [&](const Range& range) {
    return range.held.passing == 0 && (range.end <= start || (!end.empty() && range.start >= end));
  });
  std::erase_if(txns_, [](const auto& txn) {
    return txn.second.points.empty() && !txn.second.ranges && txn.second.requests.empty();
  });
  for (const std::string& key : woken.points) EraseIfEmpty(key);
  Wake(std::move(woken), freed);
  return freed;
}

std::vector<LockTable::Number> LockTable::Clear() {
  std::vector<Number> waiting;
  for (const auto& [number, request] : requests_) {
    if (request.next < request.spans.size()) waiting.push_back(number);
  }
  points_.clear();
  ranges_.clear();
  range_queue_.clear();
  requests_.clear();
  txns_.clear();
  locks_ = 0;
  waiting_ = 0;
  return waiting;
}

// ---- looking ----------------------------------------------------------------------------------

std::vector<LockTable::Late> LockTable::LateAt(MonoTime now) const {
  std::vector<Late> late;
  if (waiting_ == 0) return late;
  for (const auto& [number, request] : requests_) {
    if (request.until > now || request.next == request.spans.size()) continue;
    auto blocker = BlockedAt(request, number, request.spans[request.next]);
    if (!blocker) continue;
    late.push_back(
        {.number = number, .blocker = *std::move(blocker), .waited = now - request.since});
  }
  return late;
}

bool LockTable::Holds(kv::TxnId txn, const LockSpan& span) const {
  const auto fits = [&](const Held& held) {
    return held.owner.txn == txn && held.passing == 0 && held.strength >= span.strength;
  };
  if (!IsRange(span)) {
    const auto point = points_.find(span.start);
    if (point != points_.end() &&
        std::any_of(point->second.held.begin(), point->second.held.end(), fits)) {
      return true;
    }
  }
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    if (!fits(range.held)) return false;
    return IsRange(span) ? range.start <= span.start && range.end >= span.end
                         : Covers(range.start, range.end, span.start);
  });
}

// The nearest ones: who waits to update stands for all that are ahead of it. A write that is no
// transaction's stands for nobody.
void LockTable::AddOwners(const Request& request, Number number,
                          std::vector<LockOwner>& owners) const {
  const LockSpan& span = request.spans[request.next];
  const auto add = [&](const LockOwner& owner) {
    if (!owner.txn || owner.txn == request.owner.txn) return;
    if (std::find(owners.begin(), owners.end(), owner) == owners.end()) owners.push_back(owner);
  };
  bool behind_writes = false;
  bool behind_update = false;
  const auto add_queue = [&](const std::set<Number>& queue) {
    for (auto one = queue.lower_bound(number); one != queue.begin() && !behind_update;) {
      --one;
      if (!Conflicts(request, span, *one)) continue;
      const Request& other = requests_.at(*one);
      add(other.owner);
      behind_writes |= !other.owner.txn;
      behind_update = other.owner.txn && !IsRange(span) &&
                      other.spans[other.next].strength == LockStrength::kUpdate;
    }
  };
  if (IsRange(span) || !HoldsKey(request, span.start)) add_queue(range_queue_);
  auto point = points_.lower_bound(span.start);
  const auto last = IsRange(span) ? points_.lower_bound(span.end) : points_.upper_bound(span.start);
  for (; point != last; ++point) {
    if (!IsRange(span) && !HoldsKey(request, span.start)) add_queue(point->second.queue);
    if (behind_update) break;
    for (const Held& held : point->second.held) {
      if (behind_writes || Conflicts(request, number, span, held)) add(held.owner);
    }
  }
  for (const Range& range : ranges_) {
    if (behind_update || !Overlap(range.start, range.end, span)) continue;
    if (behind_writes || Conflicts(request, number, span, range.held)) add(range.held.owner);
  }
}

std::vector<LockTable::Wait> LockTable::Waits(std::size_t count) const {
  std::vector<Wait> waits;
  if (waiting_ == 0) return waits;
  for (const auto& [number, request] : requests_) {
    if (waits.size() >= count) break;
    if (!request.owner.txn || request.next == request.spans.size()) continue;
    Wait wait{.number = number,
              .owner = request.owner,
              .key = request.spans[request.next].start,
              .since = request.since,
              .for_whom = {}};
    AddOwners(request, number, wait.for_whom);
    if (!wait.for_whom.empty()) waits.push_back(std::move(wait));
  }
  return waits;
}

std::vector<LockTable::Holder> LockTable::Holders() const {
  std::set<kv::TxnId> wanted;
  for (const auto& [number, request] : requests_) {
    if (request.next == request.spans.size()) continue;
    std::vector<LockOwner> owners;
    AddOwners(request, number, owners);
    for (const LockOwner& owner : owners) wanted.insert(owner.txn);
  }
  std::vector<Holder> holders;
  for (const auto& [txn, one] : txns_) {
    if (one.points.empty() && !one.ranges) continue;
    holders.push_back({.owner = one.owner, .since = one.since, .wanted = wanted.contains(txn)});
  }
  return holders;
}

std::vector<LockTable::Listed> LockTable::List(MonoTime now, std::size_t count) const {
  std::vector<Listed> listed;
  for (const auto& [key, point] : points_) {
    for (const Held& held : point.held) {
      if (listed.size() >= count) return listed;
      listed.push_back({.span = {.start = key, .strength = held.strength},
                        .owner = held.owner,
                        .held = now - held.since,
                        .waiting = point.queue.size()});
    }
  }
  for (const Range& range : ranges_) {
    if (listed.size() >= count) break;
    listed.push_back(
        {.span = {.start = range.start, .end = range.end, .strength = range.held.strength},
         .owner = range.held.owner,
         .held = now - range.held.since,
         .waiting = 0});
  }
  return listed;
}

}  // namespace flotilla
