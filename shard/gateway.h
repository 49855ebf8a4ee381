// Gateway: takes requests of clients on the node that they happened to ask, and answers them.
//
// Place in the picture: service adapters (cmd/kvd) and the simulator's clients call Submit(); the
// gateway finds the group, hands the request to the local replica when it leads (or when the
// consistency lets any replica answer), and forwards it to the leader's node otherwise.
//
// Batches stay batches: what is submitted together is proposed, applied, read and answered
// together wherever that is possible, and nothing waits for a batch to fill.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "base/types.h"
#include "kv/request.h"
#include "kv/txn/types.h"
#include "shard/locking/lock_request.h"

namespace flotilla {

// An atomic write, encoded by kv::EncodeCommand, or a step of a transaction, encoded by
// kv::EncodeTxnCommand; validated.
struct WriteCall {
  Bytes command;
};

// `reader` of a read without a lock: the transaction whose it is, if that has locked something. The
// read may wait for another one, and others for it: a deadlock, should they wait for each other.

struct GetCall {
  kv::KeyspaceId keyspace = kv::kDefaultKeyspace;
  kv::Consistency consistency = kv::Consistency::kLinearizable;
  std::string key;
  Timestamp as_of = {};
  LockOwner reader = {};
};

struct BatchGetCall {
  kv::KeyspaceId keyspace = kv::kDefaultKeyspace;
  kv::Consistency consistency = kv::Consistency::kLinearizable;
  std::vector<std::string> keys;
  Timestamp as_of = {};
  // Linearizable, and of the newest: the keys are locked first.
  std::optional<LockRequest> lock = {};
  LockOwner reader = {};
};

struct ScanCall {
  kv::Consistency consistency = kv::Consistency::kLinearizable;
  kv::ScanRequest request;
  // As above: what the page speaks of is locked, or, skipping what others have locked, its rows.
  std::optional<LockRequest> lock = {};
  LockOwner reader = {};
};

struct AggregateCall {
  kv::Consistency consistency = kv::Consistency::kLinearizable;
  kv::AggregateRequest request;
};

struct HistoryCall {
  kv::Consistency consistency = kv::Consistency::kLinearizable;
  kv::HistoryRequest request;
};

// What the anchor, an encoded key, has of a transaction (kv/txn).
struct TxnRecordCall {
  std::string anchor;
  kv::TxnId txn;
};
struct TxnRecordResult {
  std::optional<kv::TxnRecord> record;
};

// The transaction lets go of all locks in the group of this encoded key; the answer has no result.
struct UnlockCall {
  std::string key;
  kv::TxnId txn;
};

// Reads as of a timestamp, which the oracle must have given out before, are linearizable at the
// moment that it stands for: they see exactly what was committed at it or before, in all groups.
using GatewayCall = std::variant<WriteCall, GetCall, BatchGetCall, ScanCall, AggregateCall,
                                 TxnRecordCall, UnlockCall, HistoryCall>;

struct GatewayRequest {
  // The submitter's own; comes back with the answer.
  std::uint64_t id = 0;
  // After it the answer is DEADLINE_EXCEEDED, or OUTCOME_UNKNOWN for a write that may have
  // happened.
  MonoTime deadline;
  GatewayCall call;
};

// Who answered, and as of when.
struct AnswerOrigin {
  GroupId group;
  NodeId node;
  // Of the commit; of reads: that they were as of, or of the newest applied write.
  Timestamp timestamp;
};

struct GatewayAnswer {
  std::uint64_t id = 0;
  Status status;  // OK: `result` holds the alternative that fits the request
  std::variant<std::monostate, kv::WriteResult, kv::GetResult, std::vector<kv::GetResult>,
               kv::ScanPage, kv::AggregatePage, TxnRecordResult, kv::HistoryPage>
      result;
  AnswerOrigin origin;
};

// Gets every submitted request's answer exactly once, in any order, those that became ready
// together in one call. On any thread or strand; must not block. Results
// other than kApplied come as error statuses (CONDITION_FAILED with kActualVersionMetadata,
// SESSION_EXPIRED, TXN_CONFLICT, ...), so that `status` alone tells success.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual void OnAnswers(std::vector<GatewayAnswer> answers) = 0;
};

class Gateway {
 public:
  virtual ~Gateway() = default;

  // Any thread. Never blocks; a full queue answers OVERLOADED at once.
  virtual void Submit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) = 0;

  // The keyspace of that name ("": `default`), as this node's copy of the directory has it. Any
  // thread.
  virtual std::optional<kv::KeyspaceId> FindKeyspace(std::string_view name) const {
    if (name.empty() || name == "default") return kv::kDefaultKeyspace;
    return std::nullopt;
  }
  // Until that copy has everything that was committed before the call; `done` on any thread.
  // NO_QUORUM, DEADLINE_EXCEEDED.
  virtual void RefreshKeyspaces(MonoTime deadline, UniqueFunction<void(Status)> done) {
    (void)deadline;
    done(absl::OkStatus());
  }

  // Of the newest write that this node has applied; zero: of none. Any thread.
  virtual Timestamp Newest() const { return {}; }
};

}  // namespace flotilla
