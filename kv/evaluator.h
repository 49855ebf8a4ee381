// Evaluator: what commands do, given the state and the log alone.
//
// One object per call of Store::Apply. It reads the database as it was before the call and its own
// effects on top, and gathers everything into one WriteBatch. Unconditional puts read nothing.
// Apply strand.
#pragma once

#include <rocksdb/iterator.h>
#include <rocksdb/write_batch.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/timestamp.h"
#include "kv/change_table.h"
#include "kv/command.h"
#include "kv/database.h"
#include "kv/followed_rows.h"
#include "kv/range_cache.h"
#include "kv/row_cache.h"
#include "kv/sessions.h"
#include "kv/shard_range.h"
#include "kv/txn/command.h"
#include "kv/txn/locks.h"
#include "kv/version_codec.h"

namespace flotilla::kv {

class Evaluator {
 public:
  // What a reader may find of what was read before.
  struct Caches {
    RowCache& rows;
    RangeCache& ranges;
    ChangeTable& changes;
  };
  // A command some of whose keys are not in `range` is refused as a whole, and leaves no trace.
  // `followed`: null when nobody listens.
  Evaluator(const Database& database, const Caches& caches, const ShardRange& range,
            Sessions& sessions, Locks& locks, FollowedRows* followed);
  ~Evaluator();

  // Reserves memory for an entry's payload; a hint.
  void Reserve(std::size_t bytes);

  // True when this entry would read what the batch wrote without keeping track of it: the caller
  // then commits the batch and goes on with a fresh evaluator. `next_expiry_ms` as the store has
  // it.
  StatusOr<bool> MustStartAfresh(std::string_view payload, std::uint64_t next_expiry_ms);

  // Its commands are puts without a condition, and it finds no key whose time has come: it reads
  // nothing.
  static bool ReadsNothing(std::string_view payload, std::uint64_t next_expiry_ms);

  // All commands of an entry, in order; results as WriteProposal::Complete() takes them. Call
  // MustStartAfresh() for the entry before.
  Status ApplyBatch(std::string_view payload, std::vector<WriteResult>& results,
                    Timestamp& last_timestamp);

  // The same where the group is frozen: all are refused, and nothing changes, not even the time.
  static Status RefuseBatch(std::string_view payload, std::vector<WriteResult>& results);

  // After the last entry, once, while the entries' payloads are still there. The caches know what
  // is about to become visible from then on: tell them how it ended.
  Status Finish();
  // All that is to be written; the versions only after Finish().
  rocksdb::WriteBatch& batch() { return batch_; }
  // The earliest expiry among the keys written; 0: none had one.
  std::uint64_t earliest_expiry_ms() const { return earliest_expiry_ms_; }
  bool expired_some() const { return expired_some_; }

  // ---- for the steps of transactions (kv/txn/steps.h) ------------------------------------------

  // Whether the key has a version from `at` on, be it a tombstone.
  bool HasVersionFrom(const std::string& encoded, Timestamp at) {
    return !changes_.IsUnchangedAfter(encoded, at.Previous()) &&
           Read(encoded, false).timestamp >= at;
  }
  // When the key last changed; zero: never, as far as is known. A key that has expired has changed
  // then: whether that has been written down yet differs between replicas.
  // `limit`: of a change before, or at that time, no more is said than that.
  Timestamp LastChange(const std::string& encoded, Timestamp limit, Timestamp now) {
    if (IsUnchangedAfter(encoded, limit, now)) return limit;
    return Read(encoded, false).ChangedAt(MillisecondsOf(now));
  }
  // Zero: there is nothing at that time.
  Timestamp VersionAt(const std::string& encoded, Timestamp now) {
    const Newest newest = Read(encoded, false);
    return newest.Exists(MillisecondsOf(now)) ? newest.timestamp : Timestamp();
  }
  // The first key of [start, end) that has changed after the limit, and when it did last.
  std::optional<std::pair<std::string, Timestamp>> ChangeAfter(Timestamp limit,
                                                               std::string_view start,
                                                               std::string_view end, Timestamp now);
  // What a transaction wrote, as a version of the key. The value stays until Finish().
  void WriteVersion(const TxnWrite& write, const std::string& encoded, Timestamp commit, TxnId txn);
  // Keeps it until then.
  std::string_view Own(std::string value) { return owned_.emplace_back(std::move(value)); }
  void WriteLock(const std::string& row_key, std::string row);
  void RemoveLock(const std::string& row_key);
  // False: there is none.
  bool ReadLock(const std::string& row_key, std::string& row);
  void Damaged(std::string_view what) { Check(rocksdb::Status::Corruption(std::string(what)), ""); }

 private:
  // The newest version of a key: in the batch, or else in the database.
  struct Newest {
    bool present = false;  // any version at all
    Timestamp timestamp;
    bool tombstone = false;
    std::uint64_t expires_at_ms = 0;
    std::string value;

    bool Exists(std::uint64_t now_ms) const {
      return present && !tombstone && (expires_at_ms == 0 || expires_at_ms > now_ms);
    }
    Timestamp ChangedAt(std::uint64_t now_ms) const {
      const bool expired = expires_at_ms != 0 && expires_at_ms <= now_ms;
      return expired ? Timestamp(expires_at_ms << kTimestampCounterBits) : timestamp;
    }
  };

  // A version to be written. They are sorted before they go into the batch: neighbours in a
  // memtable are found from each other faster than from its head.
  struct Row {
    std::uint32_t key_offset = 0;  // in keys_
    std::uint32_t key_size = 0;
    std::uint32_t header_offset = 0;  // in headers_
    std::uint32_t header_size = 0;
    std::string_view value;  // in the entry's payload
  };

  // False: perhaps it has. Keys that expire do so without being written.
  bool IsUnchangedAfter(const std::string& encoded, Timestamp limit, Timestamp now);
  // Keys whose time has come by `now` become tombstones of that timestamp; a bounded slice per
  // entry. Readers hide the rest by themselves.
  Status ExpireDue(Timestamp now);
  // How many of the keys and ranges of the command are the group's.
  enum class Share : std::uint8_t { kNone, kSome, kAll };
  Share ShareOf(const CommandView& command);
  Share ShareOf(KeyspaceId keyspace, const WriteOp& op);
  // Answers a command that is not all ours.
  WriteResult Refuse(const CommandView& command, Share share, Timestamp timestamp) const;
  WriteResult Evaluate(const CommandView& command, Timestamp timestamp);
  bool ConditionHolds(const WriteOp& op, const Newest& newest, std::uint64_t now_ms) const;
  void Put(const CommandView& command, const WriteOp& op, Timestamp timestamp);
  // `expired_at_ms`: of a key that is gone since then; 0: it is deleted now.
  void Tombstone(const std::string& encoded, Timestamp timestamp, TxnId txn = {},
                 std::uint64_t expired_at_ms = 0);
  std::uint64_t DeleteRange(const CommandView& command, const WriteOp& op, Timestamp timestamp);
  Newest Read(const std::string& encoded, bool want_value);
  void ReadAt(rocksdb::Iterator& rows, Newest& newest, bool want_value);
  void Take(Timestamp timestamp, std::string_view stored, Newest& newest, bool want_value);
  // Over all rows, and over the versions of one key at a time, which looks into fewer files.
  rocksdb::Iterator& Rows();
  rocksdb::Iterator& Points();
  void AddRow(std::string_view encoded_key, Timestamp timestamp, std::string_view header,
              std::string_view value);
  void Check(const rocksdb::Status& status, std::string_view what);
  // A command some of whose keys somebody has locked.
  std::optional<Obstacle> ObstacleTo(const CommandView& command) const;
  // A key gets a value, or loses it.
  void AddPut(const std::string& encoded, Timestamp timestamp, std::uint64_t expires_at_ms,
              TxnId txn, std::string_view value);

  const Database& database_;
  RowCache& cache_;
  RangeCache& ranges_;
  ChangeTable& changes_;
  const ShardRange& range_;
  FollowedRows* const followed_;
  Sessions& sessions_;
  Locks& locks_;
  rocksdb::WriteBatch batch_;
  std::vector<Row> rows_to_write_;
  std::vector<RangeCache::Write> range_writes_;
  std::string keys_;
  std::string headers_;
  std::unique_ptr<rocksdb::Iterator> rows_;
  std::unique_ptr<rocksdb::Iterator> points_;
  // What this batch has written, by encoded key; kept only once something reads (`tracking_`).
  std::map<std::string, Newest, std::less<>> written_;
  bool tracking_ = false;
  bool expiry_due_ = false;
  std::uint64_t next_expiry_ms_ = 0;  // before the entry
  std::uint64_t earliest_expiry_ms_ = 0;
  bool expired_some_ = false;
  Status failure_;
  std::string key_;  // reused
  CommandView command_;
  TxnCommand txn_command_;
  std::deque<std::string> owned_;
  std::map<std::string, std::string> written_locks_;
};

// The key of a row of the expiry index: 'x' ‖ milliseconds, 8 bytes big-endian ‖ encoded key.
// Its value is the timestamp of the version that expires.
std::string ExpiryKey(std::uint64_t expires_at_ms, std::string_view encoded_key);
inline constexpr char kExpiryPrefix = 'x';

}  // namespace flotilla::kv
