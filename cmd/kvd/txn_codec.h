// Between flotilla.v1.Transactions and the plain structs of shard/transactions.h.
//
// No gRPC here. What requests name in their keyspaces is looked up first: after KEYSPACE_NOT_FOUND
// a request is as it was. Otherwise keys and values are moved out of it.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "cmd/kvd/keyspace_names.h"
#include "cmd/kvd/scan_token.h"
#include "flotilla/v1/transactions.pb.h"
#include "kv/request.h"
#include "shard/directory/image.h"
#include "shard/locking/lock_info.h"
#include "shard/transactions.h"

namespace flotilla {

struct DecodedBegin {
  kv::KeyspaceId keyspace = kv::kDefaultKeyspace;  // of requests that name none
  TxnOptions options;
};
struct DecodedGet {
  kv::KeyspaceId keyspace = kv::kDefaultKeyspace;
  std::vector<std::string> keys;
  std::optional<TxnLock> lock;
};
struct DecodedScan {
  kv::ScanRequest request;
  std::optional<TxnLock> lock;
  ScanToken token;
};

// `fallback`: the transaction's keyspace. Errors: KEYSPACE_NOT_FOUND, INVALID_ARGUMENT reasons.
StatusOr<DecodedBegin> Decode(const v1::TxnBegin& begin, KeyspaceNames& names);
StatusOr<DecodedGet> Decode(v1::TxnGet& get, kv::KeyspaceId fallback, KeyspaceNames& names);
StatusOr<DecodedGet> Decode(v1::TxnBatchGet& get, kv::KeyspaceId fallback, KeyspaceNames& names);
// Its token is bound to the transaction, too.
StatusOr<DecodedScan> Decode(v1::TxnScan& scan, kv::KeyspaceId fallback, kv::TxnId txn,
                             KeyspaceNames& names);
StatusOr<TxnMutation> Decode(v1::TxnPut& put, kv::KeyspaceId fallback, KeyspaceNames& names);
StatusOr<TxnMutation> Decode(v1::TxnDelete& erase, kv::KeyspaceId fallback, KeyspaceNames& names);
// BAD_REQUEST, unless a savepoint may have this name.
Status CheckSavepoint(const std::string& name);

struct DecodedExecute {
  struct Comparison {
    DecodedGet get;  // one key
    kv::WriteOp op;  // its condition; views into the request
  };
  using Operation = std::variant<TxnMutation, DecodedGet>;
  std::vector<Comparison> compare;
  std::vector<Operation> success;
  std::vector<Operation> failure;
};
StatusOr<DecodedExecute> Decode(v1::ExecuteRequest& request, KeyspaceNames& names);
// Whether the comparison holds for what was read.
bool Holds(const kv::WriteOp& condition, const kv::GetResult& found);

// `image`: knows the names of keyspaces.
void Encode(const LockInfo& info, const DirectoryImage& image, v1::Lock& out);
void Encode(const FoundDeadlock& found, const DirectoryImage& image, v1::Deadlock& out);

// `node`: who coordinates it.
void Encode(const TransactionInfo& info, NodeId node, v1::TransactionStatus& out);

}  // namespace flotilla
