// Locks: what one group holds of transactions, in memory: the rows of the `locks` column family but
// for the intents' values.
//
// Purpose: every read and write asks here whether somebody's intent or shared lock is in its way;
// most of the time there is none at all, which one load of an atomic tells.
//
// What a command adds is there at once, so that the commands behind it meet it; what it takes away
// goes for readers only when the batch is in the database: whoever finds no lock finds the version
// that it has become. A batch that did not get there is undone by loading all anew.
//
// Threads: one writer, the apply strand; any readers.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kv/txn/rows.h"
#include "kv/txn/types.h"

namespace flotilla::kv {

// What is in the way of a read or a write.
struct Obstacle {
  std::string key = {};
  LockKind kind = LockKind::kShared;
  LockHolder holder = {};
};

// LOCK_TIMEOUT, for whoever cannot wait.
Status Locked(const Obstacle& obstacle);
// TXN_CONFLICT: its key has that version, which is newer than the transaction's view; zero: it has
// none any more.
Status Conflict(const Obstacle& obstacle, Timestamp version);
// TXN_CONFLICT: an older transaction is about to commit there.
Status Preceded(const Obstacle& obstacle);

class Locks {
 public:
  // ---- any thread ------------------------------------------------------------------------------

  bool empty() const { return count_.load() == 0; }
  // Of keys and ranges.
  std::uint64_t count() const { return count_.load(); }
  // An intent of somebody else's that may be committed at `as_of` or before; zero: at any time.
  std::optional<Obstacle> IntentOn(std::string_view key, Timestamp as_of, TxnId self = {}) const;
  std::optional<Obstacle> IntentIn(std::string_view start, std::string_view end,
                                   Timestamp as_of) const;
  // All of them, in order.
  std::vector<Obstacle> IntentsIn(std::string_view start, std::string_view end,
                                  Timestamp as_of) const;
  // Also of one that was committed in one phase.
  std::optional<TxnRecord> Record(std::string_view anchor, TxnId txn) const;
  bool Holds(TxnId txn) const;
  // Of locks that were ever added: between two equal looks none was.
  std::uint64_t added() const { return added_.load(); }
  // Every transaction that may be committed up to this timestamp is no transaction with intents
  // here. UINT64_MAX: there are none.
  Timestamp CompleteUpTo() const;
  // The oldest transactions that hold locks here, each with one of its locks.
  std::vector<Obstacle> Holders(std::size_t count) const;
  // Records of transactions whose time was up before this, and of which something may be left.
  struct Unresolved {
    std::string anchor;
    TxnId txn;
  };
  std::vector<Unresolved> UnresolvedBefore(std::uint64_t ms, std::size_t count) const;

  // ---- apply strand ----------------------------------------------------------------------------

  // Any lock of somebody else's that forbids a write of the key: an intent, a shared one, a range.
  std::optional<Obstacle> AgainstWrite(std::string_view key, TxnId self) const;
  std::optional<Obstacle> AgainstWriteIn(std::string_view start, std::string_view end) const;
  // An intent of somebody else's on what is read, which must not change.
  std::optional<Obstacle> AgainstRead(std::string_view key, TxnId self) const;
  std::optional<Obstacle> AgainstReadIn(std::string_view start, std::string_view end,
                                        TxnId self) const;
  bool HasIntent(std::string_view key, TxnId txn) const;
  // The transaction's own lock that begins with this key.
  std::optional<LockHolder> PartAt(std::string_view first, TxnId txn, std::uint32_t part) const;
  std::optional<std::uint64_t> FenceAt(std::string_view key, TxnId txn) const;

  void AddLock(std::string_view key, LockKind kind, const LockHolder& holder);
  void AddRange(std::string_view start, std::string_view end, const LockHolder& holder);
  void SetRecord(std::string_view anchor, TxnId txn, TxnRecord record);
  // One of those of the log entry whose first timestamp is `entry`.
  void AddCommit(Timestamp entry, std::uint64_t valid_until_ms, TxnId txn, Timestamp at);
  // There are no more. What the entry has committed; null: nothing.
  const TxnCommits* EndCommits(Timestamp entry);
  void SetFence(std::string_view key, TxnId txn, std::uint64_t valid_until_ms);
  // They go with Publish().
  void RemoveLock(std::string_view key, TxnId txn);
  void RemoveRange(std::string_view start, TxnId txn);
  void RemoveRecord(std::string_view anchor, TxnId txn);
  void RemoveFence(std::string_view key, TxnId txn);
  void RemoveCommits(Timestamp entry);
  // Records, commits and fences that nobody needs after this time, as their rows' keys have them.
  struct Needless {
    LockTag tag;
    std::string key;
    TxnId txn;  // kCommits: the entry
  };
  std::vector<Needless> NeedlessAt(std::uint64_t now_ms, std::size_t count) const;

  // Its locks on keys in [first, last], and its ranges that begin there, up to so many.
  struct Own {
    std::vector<std::pair<std::string, LockKind>> keys;
    std::vector<std::string> ranges;
  };
  Own Of(TxnId txn, std::string_view first, std::string_view last, std::size_t count) const;

  // The batch is in the database. Transactions that hold nothing here any more.
  std::vector<TxnId> Publish();
  // What was there is forgotten; readers find the one or the other.
  void Become(Locks&& other);

 private:
  struct Held {
    LockKind kind = LockKind::kShared;
    LockHolder holder;
    bool leaving = false;
  };
  struct Range {
    std::string end;
    LockHolder holder;
    bool leaving = false;
  };
  using Place = std::pair<std::string, TxnId>;
  using Expiry = std::tuple<std::uint64_t, LockTag, Place>;
  struct Txn {
    Timestamp first_intent{UINT64_MAX};
    std::set<std::string> keys;
    std::set<std::string> ranges;
  };
  struct Recorded {
    std::string anchor;
    TxnRecord record;
  };
  using Records = std::unordered_multimap<TxnId, Recorded>;
  struct Commit {
    Timestamp at;
    Timestamp entry;
  };
  static Obstacle ObstacleOf(std::string_view key, const Held& held);
  static Records::iterator Find(Records& records, std::string_view anchor, TxnId txn);
  static Records::const_iterator Find(const Records& records, std::string_view anchor, TxnId txn);
  void DropRecord(std::string_view anchor, TxnId txn);

  mutable std::shared_mutex mutex_;
  std::map<std::string, std::vector<Held>, std::less<>> keys_;
  std::map<Place, Range> ranges_;  // by start
  std::map<TxnId, Txn> txns_;
  Records open_;   // records of transactions of which something may be left elsewhere
  Records ended_;  // others, in `expiring_`
  std::unordered_map<TxnId, Commit> commits_;
  std::map<Timestamp, TxnCommits> entries_;  // what each has committed
  std::map<Place, std::uint64_t> fences_;
  std::set<Expiry> expiring_;
  std::vector<Place> keys_leaving_;
  std::vector<Place> ranges_leaving_;
  std::atomic<std::uint64_t> count_{0};  // of locks and ranges
  std::atomic<std::uint64_t> added_{0};
};

}  // namespace flotilla::kv
