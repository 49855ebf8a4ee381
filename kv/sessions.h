// Sessions: the results of recent writes by client, for exactly-once (Raft thesis, 6.3).
//
// All of it is replicated state: evaluation depends on it, so every bound and every order here is
// the same on all replicas. On disk a session is a row of chunks in `meta`, one per log entry that
// wrote for the client; a chunk goes once the client has acknowledged all of it. Chunks of a client
// are numbered in their order, apart from the log: a group that was split off begins a new one.
//
//   meta key:   's' ‖ client, 8 bytes big-endian ‖ number, 8 bytes big-endian
//   meta value: acknowledged_below | pruned_below | last active fixed64 | count | results
//               [| unsure until fixed64]
//   result:     sequence | u8 outcome | timestamp fixed64 | affected | failed_op | actual fixed64
//   meta 'forgotten': fixed64
//
// Sessions are forgotten in the order of their last writes, and the newest such time is kept.
// Whoever wrote after his `since`, and was forgotten, did so no later than that: a client that is
// not known is a new one if its `since` lies after that time, and else there is no telling whether
// what it sends is a repetition. No clock of a client's has a part in this.
//
// When two groups become one, a client that only one of them knows may have been forgotten by the
// other: its session is `unsure` up to the time of the last one forgotten there.
//
// Apply strand.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kv/request.h"

namespace rocksdb {
class WriteBatch;
}

namespace flotilla::kv {

class Database;

class Sessions {
 public:
  struct Options {
    std::uint32_t results_max = 4096;
    std::uint32_t sessions_max = 10'000;
    std::uint64_t idle_ms_max = 3'600'000;
  };

  explicit Sessions(const Options& options) : options_(options) {}
  const Options& options() const { return options_; }

  // Reads all sessions from the database, in place of what is here.
  Status Load(const Database& database);

  // What a write of this session is to be answered without evaluating it: its first result, or
  // kSessionExpired. Nothing: evaluate it, then Record().
  std::optional<WriteResult> Recall(const Session& session, Timestamp now) const;
  void Record(const Session& session, Timestamp now, const WriteResult& result);

  // Ends an entry: writes the clients' new chunks, drops acknowledged ones and idle sessions.
  void FinishEntry(Timestamp now, const Database& database, rocksdb::WriteBatch& batch);

  // Takes over the sessions of a group that becomes part of this one. Between entries.
  void Absorb(const Sessions& other, Timestamp now, const Database& database,
              rocksdb::WriteBatch& batch);

  void Clear() {
    clients_.clear();
    by_activity_.clear();
  }

  std::size_t size() const { return clients_.size(); }
  // Of everything that replicas must agree on.
  std::uint64_t Hash() const;

 private:
  struct Chunk {
    std::uint64_t number = 0;
    std::uint64_t last_sequence = 0;
  };
  struct Client {
    std::uint64_t acknowledged_below = 0;
    std::uint64_t pruned_below = 0;  // results below were dropped unacknowledged
    // Writes may have been answered and forgotten until then (absorbed groups only).
    Timestamp unsure_until;
    Timestamp last_active;
    std::map<std::uint64_t, WriteResult> results;
    std::deque<Chunk> chunks;
  };

  void Prune(Client& client) const;
  // Writes these results as the client's newest chunk.
  static void WriteChunk(ClientId id, Client& client, const std::vector<std::uint64_t>& sequences,
                         const Database& database, rocksdb::WriteBatch& batch);
  static void RemoveChunks(ClientId id, Client& client, const Database& database,
                           rocksdb::WriteBatch& batch);
  void ForgetIdle(Timestamp now, const Database& database, rocksdb::WriteBatch& batch);
  void WriteForgotten(const Database& database, rocksdb::WriteBatch& batch) const;

  const Options options_;
  // The last write of any client that was forgotten.
  Timestamp forgotten_;
  std::map<ClientId, Client> clients_;
  std::set<std::pair<Timestamp, ClientId>> by_activity_;
  // Clients of the entry being applied, and their new sequences.
  std::map<ClientId, std::vector<std::uint64_t>> touched_;
};

}  // namespace flotilla::kv
