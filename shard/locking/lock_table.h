// LockTable: which transactions hold and want which keys and ranges of one group.
//
// Purpose: strict two-phase locks (Eswaran, Gray, Lorie, Traiger: The Notions of Consistency and
// Predicate Locks in a Database System, 1976) with queues in the order of arrival, so that nobody
// starves: whoever comes later and is in conflict with somebody who waits, waits as well. A request
// takes its spans one by one, and keeps those that it has while it waits for the next. A
// transaction that holds a key to share it and wants to update it does not queue for it.
//
// Requests that pass are writes which are about to be proposed: they hold what they had to wait
// for until they are done, each by itself.
//
// Pure; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "shard/locking/lock_request.h"

namespace flotilla {

class LockTable {
 public:
  // The number of a request that waits, or passes; they grow.
  using Number = std::uint64_t;

  // Who is in the way, and where.
  struct Blocker {
    std::string key;
    LockOwner owner;
  };

  enum class Answer : std::uint8_t {
    kHeld,     // all of it, or, skipping what is locked, all that is free
    kWaits,    // by `number`; it comes back in Freed
    kRefused,  // kNoWait: `blocker` is in the way
    kFull,     // there are too many locks here
  };
  struct Outcome {
    Answer answer = Answer::kHeld;
    Number number = 0;
    Blocker blocker = {};
  };
  // What a change has brought about.
  struct Freed {
    std::vector<Number> granted;
    std::vector<Number> dropped;
  };

  explicit LockTable(std::size_t locks_max = 200'000) : locks_max_(locks_max) {}

  // For a transaction, which holds them until Release().
  Outcome Acquire(const LockOwner& owner, std::vector<LockSpan> spans, LockPatience patience,
                  MonoTime now, MonoTime until);
  // For a write: kHeld means that nobody is in its way, and that it holds nothing. Otherwise it
  // holds its spans from when it is granted until Done().
  Outcome Pass(const LockOwner& owner, std::vector<LockSpan> spans, MonoTime now);

  // All that the transaction holds or waits for.
  Freed Release(kv::TxnId txn);
  // A write that passed has taken effect, or failed.
  Freed Done(Number number) { return Drop(number); }
  // It is not wanted any more.
  Freed Drop(Number number);
  // What lies elsewhere. An empty end: there is none.
  Freed KeepOnly(std::string_view start, std::string_view end);
  // All that wait.
  std::vector<Number> Clear();

  // Those that wait, and whose time is up; they are still there.
  struct Late {
    Number number = 0;
    Blocker blocker;
    Duration waited{0};
  };
  std::vector<Late> LateAt(MonoTime now) const;

  // Whether the transaction holds this, with that strength or more.
  bool Holds(kv::TxnId txn, const LockSpan& span) const;
  // Of locks and of requests.
  std::size_t size() const { return locks_ + requests_.size(); }
  bool waits() const { return waiting_ > 0; }

  // A transaction that waits for others.
  struct Wait {
    Number number = 0;
    LockOwner owner;
    std::string key;
    MonoTime since;
    std::vector<LockOwner> for_whom;
  };
  std::vector<Wait> Waits(std::size_t count) const;

  // One that holds locks here, and since when it held the first.
  struct Holder {
    LockOwner owner;
    MonoTime since;
    bool wanted = false;  // somebody waits for it, or for somebody else
  };
  std::vector<Holder> Holders() const;

  struct Listed {
    LockSpan span;
    LockOwner owner;
    Duration held{0};
    std::uint64_t waiting = 0;
  };
  // In the order of keys, those of keys before those of ranges.
  std::vector<Listed> List(MonoTime now, std::size_t count) const;

 private:
  // Whose a lock is: a transaction's, or a passing request's.
  struct Held {
    LockOwner owner;
    Number passing = 0;
    LockStrength strength = LockStrength::kUpdate;
    MonoTime since;
  };
  struct Point {
    std::vector<Held> held;
    std::set<Number> queue;
    bool empty() const { return held.empty() && queue.empty(); }
  };
  struct Range {
    std::string start;
    std::string end;
    Held held;
  };
  struct Request {
    LockOwner owner;
    std::vector<LockSpan> spans;
    std::size_t next = 0;  // that it waits for; all: it passes
    bool passing = false;
    MonoTime since;
    MonoTime until;
  };
  struct Txn {
    LockOwner owner;
    std::set<std::string> points;
    bool ranges = false;
    std::set<Number> requests;
    MonoTime since;
  };
  using Points = std::map<std::string, Point, std::less<>>;

  static bool Covers(std::string_view start, std::string_view end, std::string_view key) {
    return key >= start && key < end;
  }
  static bool SameOwner(const Request& request, Number number, const Held& held);
  bool Conflicts(const Request& request, Number number, const LockSpan& span,
                 const Held& held) const;
  bool Conflicts(const Request& request, const LockSpan& span, Number earlier) const;
  bool HoldsKey(const Request& request, std::string_view key) const;
  std::optional<Blocker> BlockedAt(const Request& request, Number number,
                                   const LockSpan& span) const;
  std::optional<Blocker> BlockedAtKey(const Request& request, Number number,
                                      const LockSpan& span) const;
  std::optional<Blocker> BlockedAtRange(const Request& request, Number number,
                                        const LockSpan& span) const;
  void Grant(const Request& request, Number number, const LockSpan& span);
  void Enqueue(const Request& request, Number number);
  void Dequeue(const Request& request, Number number);
  // Takes what is free; false: it waits for its next span.
  bool GoOn(Request& request, Number number);
  // Takes out all locks that fit, and wakes who has waited for them.
  struct Woken {
    std::set<std::string> points;
    bool ranges = false;
  };
  void RemoveHeld(const std::string& key, kv::TxnId txn, Number passing, Woken& woken);
  void RemoveRanges(kv::TxnId txn, Number passing, Woken& woken);
  // Takes a request out of its queue, and, if it passes, its locks.
  void Forget(Number number, Woken& woken);
  void Wake(Woken woken, Freed& freed);
  void WakePoint(const std::string& key, Freed& freed);
  void TryAgain(Number number, Freed& freed);
  void EraseIfEmpty(const std::string& key);
  void ForgetTxn(kv::TxnId txn);
  void AddOwners(const Request& request, Number number, std::vector<LockOwner>& owners) const;

  const std::size_t locks_max_;
  Number next_ = 1;
  Points points_;
  std::vector<Range> ranges_;
  std::set<Number> range_queue_;
  std::map<Number, Request> requests_;
  std::map<kv::TxnId, Txn> txns_;
  std::size_t locks_ = 0;
  std::size_t waiting_ = 0;
};

}  // namespace flotilla
