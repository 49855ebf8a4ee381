// Store: one group's state machine over RocksDB.
//
// Place in the picture: raft/group.h calls the raft::StateMachine face on the apply strand; the
// replica serves reads through Get/Scan from any thread.
//
// Layout, rules and the picture: kv/README.md. Evaluation depends on nothing but the state and the
// entry: no clock, no configuration of the node, no iteration order of a hash table.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kv/command.h"
#include "kv/control.h"
#include "kv/request.h"
#include "kv/shard_range.h"
#include "kv/txn/locks.h"
#include "kv/unflushed_bytes.h"
#include "kv/vacuum_plan.h"
#include "raft/state_machine.h"

namespace rocksdb {
class Cache;
class Env;
class RateLimiter;
class WriteBufferManager;
}  // namespace rocksdb

namespace flotilla::kv {

class Store;

inline constexpr std::uint64_t kKeepAll = UINT64_MAX;

// What a node knows of those who read as of a time: no safe point of its groups passes them. Any
// thread. Only ever a hint: a read below the safe point is refused, whatever was known of it.
struct ReaderHorizon {
  // Nobody reads as of a time before this; 0: that is not known.
  std::atomic<std::uint64_t> oldest{UINT64_MAX};
  // For so long a reader keeps what the retention does not.
  std::atomic<std::uint64_t> hold_ms_max{UINT64_MAX};
  // One who began less than this ago need not have been heard of.
  std::atomic<std::uint64_t> unheard_ms{0};
};

// What all groups of a node share.
struct StoreResources {
  // Production: the default Env. The simulator: its own file system, and background work that runs
  // when the simulator says so.
  rocksdb::Env* env = nullptr;
  std::shared_ptr<rocksdb::Cache> block_cache;
  std::shared_ptr<rocksdb::WriteBufferManager> write_buffer;
  std::shared_ptr<rocksdb::RateLimiter> rate_limiter;
  std::shared_ptr<UnflushedBytes::Total> unflushed_bytes;
  std::shared_ptr<ReaderHorizon> readers;
};

// Over all groups.
struct ResourceOptions {
  std::size_t cache_bytes = 256 << 20;
  // Memtables.
  std::size_t write_buffer_bytes = 128 << 20;
  // What flushes and compactions write, flushes first. 0: no bound.
  std::uint64_t background_bytes_per_second_max = 0;
  // As in StoreOptions.
  bool inline_background_work = false;
};

StoreResources MakeStoreResources(rocksdb::Env* env, const ResourceOptions& options);

// Follows the rows of one keyspace. On the apply strand; or, for OnAllRows, while the store is
// opened.
class RowListener {
 public:
  virtual ~RowListener() = default;
  // All rows: the store was opened, or a snapshot has replaced its state.
  virtual void OnAllRows(std::vector<RowChange> rows, Timestamp at) = 0;
  // What was applied together, each key once.
  virtual void OnRows(std::vector<RowChange> rows, Timestamp at) = 0;
};

struct StoreOptions {
  std::string directory;  // data/groups/<id>; holds db/, incoming/, checkpoints/, child/,
                          // taking/
  GroupId group;
  // Where a group is or would be on this node, on the file system of `directory`. A split makes the
  // child's directory, whole, unless there is one: it has then been made before, and what became of
  // it since is not the parent's business. So a child's directory must not disappear while its
  // parent may apply the split once more after a crash, which is until it has flushed it.
  std::function<std::string(GroupId)> directory_of;
  // The child's directory is there, and the parent holds its part alone: the child can be opened.
  // On the apply strand; again when the split is applied once more after a crash.
  std::function<void(GroupId)> on_split;
  // The node that this is on; none: whichever it is, it is a member. One that is not a member at a
  // split gives up its part, and makes no child.
  NodeId self;
  // The store of another group on this node; null: there is none. An absorption reads the right
  // group's, on the apply strand of the left; also when it is applied once more after a crash, so
  // all stores of a node have to be open before any of them applies, and the right one has to stay
  // until durable_range() of the left has reached the epoch of the absorption.
  std::function<std::shared_ptr<Store>(GroupId)> store_of;
  // The simulator's: no thread but the caller's ever works for RocksDB; flushes and compactions
  // run inside Store calls and RunBackgroundWork().
  bool inline_background_work = false;
  std::size_t memtable_bytes = 32 << 20;
  // Results kept per client beyond what it has acknowledged; sessions kept per group; replicated
  // time after which an idle session is forgotten. The same on every node of a cluster: they are
  // part of the evaluation.
  std::uint32_t session_results_max = 4096;
  std::uint32_t sessions_max = 10'000;
  std::uint64_t session_idle_ms_max = 60ull * 60 * 1000;
  // Versions that were superseded longer ago than this (replicated time) may be collected, until
  // SetRetention().
  std::uint64_t retention_ms = 10ull * 60 * 1000;
  // Follows the rows of `followed`; outlives the store. Keys that expire are not told of.
  RowListener* listener = nullptr;
  KeyspaceId followed = kDefaultKeyspace;
};

// As they were when they were looked up last.
struct StoreSizes {
  std::uint64_t keys_estimate = 0;
  std::uint64_t disk_bytes = 0;
  std::uint64_t memtable_bytes = 0;
};

// As they are.
struct StoreCounts {
  std::uint64_t versions_collected = 0;
  std::uint64_t sessions = 0;
  std::uint64_t applied_commands = 0;
  std::uint64_t locks = 0;  // of transactions
};

// Versions in a group's files, as they were when sizes were looked up last.
struct VersionStats {
  std::uint64_t versions = 0;
  // Superseded, as far as their own file tells; bytes of keys and values before compression.
  std::uint64_t dead = 0;
  std::uint64_t dead_bytes = 0;
  // Of those, and of deletions, what may go now.
  std::uint64_t due = 0;
  std::uint64_t due_bytes = 0;
  // When the first of the dead was superseded, and the last; zero: there are none.
  Timestamp dead_first;
  Timestamp dead_last;
  std::uint64_t file_bytes = 0;

  std::uint64_t live() const { return versions - dead; }
};

// One pass of the collector over a group's files, in slices (kv/vacuum_plan.h).
struct VacuumPass {
  // As in VacuumRules.
  double fraction_min = 0.05;
  bool thorough = false;
  VacuumCursor cursor;
  // What has been done so far.
  std::uint64_t slices = 0;
  std::uint64_t bytes_read = 0;  // of files
};

// A waiting write: the answers of one proposed entry, command by command.
class WriteProposal : public raft::Proposal {
 public:
  // results[i] answers command i of the entry's batch. On the apply strand.
  virtual void Complete(std::vector<WriteResult> results) = 0;
};

class Store : public raft::StateMachine {
 public:
  // Opens or creates the group's database, finishing or undoing an interrupted snapshot install.
  // DATA_DAMAGED names the file.
  static StatusOr<std::unique_ptr<Store>> Open(const StoreOptions& options,
                                               const StoreResources& resources);

  // ---- reads; any thread; see everything applied before the call -----------------------------
  // WRONG_SHARD unless the group holds what is asked for, while it is looked up.
  // TIMESTAMP_TOO_OLD when what was visible as of that time may be gone. What is to become visible
  // at that time, or before, is the caller's to wait for.
  //
  // LOCK_TIMEOUT when it depends on a transaction's outcome what is seen; `obstacle` says on whose:
  // ask again when that holds nothing here any more. Without `obstacle` such transactions have not
  // happened, and what is seen is of a moment before them.

  using InTheWay = std::optional<Obstacle>*;
  StatusOr<GetResult> Get(KeyspaceId keyspace, std::string_view key, Timestamp as_of = {},
                          InTheWay obstacle = nullptr);
  // In order of `keys`, all at one moment; or each at a moment of its own.
  struct GetRules {
    Timestamp as_of = {};
    InTheWay obstacle = nullptr;
    bool one_moment = true;
  };
  virtual StatusOr<std::vector<GetResult>> BatchGet(KeyspaceId keyspace,
                                                    const std::vector<std::string_view>& keys,
                                                    const GetRules& rules) = 0;
  StatusOr<std::vector<GetResult>> BatchGet(KeyspaceId keyspace,
                                            const std::vector<std::string_view>& keys,
                                            Timestamp as_of = {}) {
    return BatchGet(keyspace, keys, GetRules{.as_of = as_of});
  }
  // A page ends before an obstacle, if anything lies before that.
  virtual StatusOr<ScanPage> Scan(const ScanRequest& request, InTheWay obstacle = nullptr) = 0;
  // BAD_REQUEST when the sum overflows.
  virtual StatusOr<AggregatePage> Aggregate(const AggregateRequest& request,
                                            InTheWay obstacle = nullptr) = 0;
  // All versions of a key that are there.
  virtual StatusOr<HistoryPage> History(const HistoryRequest& request,
                                        InTheWay obstacle = nullptr) = 0;
  // The newest, and what transactions are about to make of it, which may yet be rolled back. Such
  // values have no version.
  virtual StatusOr<std::vector<GetResult>> ProvisionalGet(
      KeyspaceId keyspace, const std::vector<std::string_view>& keys) = 0;
  virtual StatusOr<ScanPage> ProvisionalScan(const ScanRequest& request) = 0;
  // What the anchor, an encoded key, has of a transaction.
  virtual StatusOr<std::optional<TxnRecord>> Record(std::string_view anchor, TxnId txn) = 0;

  // What the group holds, as of applied().
  virtual ShardRange range() const = 0;
  // Where to split it into halves of about as many bytes: an encoded key, a slot's start in hashed
  // keyspaces. Empty: nowhere. Reads a little of the disk.
  virtual StatusOr<std::string> MiddleKey() = 0;
  // What it would hold after a crash, before anything is applied again.
  virtual ShardRange durable_range() const = 0;

  // `listener` hears of each transaction that holds nothing here any more; on the apply strand. To
  // be set before anything is applied.
  virtual void OnUnlocked(std::function<void(TxnId)> listener) = 0;
  // Whose locks are in the way.
  virtual const Locks& locks() const = 0;

  // ---- for the leader ------------------------------------------------------------------------

  // The largest timestamp of any applied entry; replicated time. A leader allocates above it.
  virtual Timestamp last_timestamp() const = 0;
  // Replicated milliseconds at which the next key expires; 0: none. The leader then proposes an
  // empty batch (or any write) with a timestamp past it; applying it expires the keys.
  virtual std::uint64_t next_expiry_ms() const = 0;

  // Whether this replica leads: what it writes is then likely to be read here. Apply strand.
  virtual void SetLeading(bool leading) = 0;

  // ---- for tests and people --------------------------------------------------------------------

  // A hash of everything that replicas must agree on at equal applied index: the newest version of
  // every key, range, locks, sessions, last timestamp, configuration. Reads the whole store. Apply
  // strand.
  virtual StatusOr<std::uint64_t> StateHash() = 0;
  // Any thread.
  virtual StoreSizes Sizes() const = 0;
  virtual StoreCounts Counts() const = 0;
  // How long superseded versions are kept at least, from here on. Any thread.
  virtual void SetRetention(std::chrono::milliseconds retention) = 0;

  // ---- the collector; any thread unless it says otherwise ---------------------------------------

  virtual VersionStats Versions() const = 0;
  // Reads as of a time below it are refused.
  virtual Timestamp safe_point() const = 0;
  // What the collector goes by: the safe point that is on disk.
  virtual Timestamp collects_up_to() const = 0;
  // UINT64_MAX: its keyspace is not known yet.
  virtual std::uint64_t retention_ms() const = 0;
  // Compacts the next slice of the pass; false: there is none, the pass is over. SHARD_BUSY: other
  // compactions are in the way; NOT_READY, DISK_FULL: later. A blocking strand, one pass at a time.
  // Nobody waits for it but who takes the state away.
  virtual StatusOr<bool> CollectSlice(VacuumPass& pass) = 0;

  // Bytes of writes that no flush has begun with. Any thread.
  virtual std::uint64_t unflushed_bytes() const = 0;
  // Looks the sizes up again, which RocksDB holds up for as long as a flush waits for the disk. A
  // blocking strand.
  virtual void MeasureSizes() = 0;
  // inline_background_work: does what RocksDB has asked for meanwhile.
  virtual void RunBackgroundWork() = 0;
};

}  // namespace flotilla::kv
