// Transaction: reads and writes that take effect together, or not at all.
//
//   StatusOr<Timestamp> done = client->Transact({}, [](Transaction& txn) -> Status {
//     ASSIGN_OR_RETURN(GetResult from, txn.Get("from"));
//     ...
//     return txn.Put("from", less);
//   });
//
// Client::Transact() runs a function until it has been committed; Client::Begin() gives a
// transaction to whoever wants to commit it themselves.
//
// Promises:
//
// * What Commit() returns without error has taken effect, all of it, at the timestamp it returns.
// * Perhaps is never no: a commit whose answer is lost ends with Reason::kOutcomeUnknown. Every
//   other error of a commit says that nothing has happened and never will.
// * A transaction that is destroyed before its commit is rolled back, and so is one whose node
// dies.
//
// It begins at a node with its first read, its commit or a Flush(), and not before. Writes stay
// here until then, or until there is a mebibyte of them: a transaction that only writes costs one
// message. Those of a pessimistic one are sent at once, and not waited for. What is wrong with a
// write the next Flush() says, or the commit, which then fails.
//
// Threads: one at a time. Callbacks run as those of Client (client.h), and may make calls. Calls
// take effect in the order in which they are made, so the next need not wait for the last.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/status.h"
#include "client/options.h"

namespace flotilla::client {

class Transactor;
template <class T>
using Callback = UniqueFunction<void(StatusOr<T>)>;

class Transaction {
 public:
  // Of Client::Begin().
  Transaction(std::shared_ptr<Transactor> transactor, const std::string& client_keyspace,
              const TransactionOptions& options);
  // Rolls back, if it has not ended. Waits for nothing. The client lives longer.
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // ---- reads; they see the transaction's own writes, whose version is 0
  // -------------------------- TXN_CONFLICT, TXN_ABORTED, DEADLOCK, UNREACHABLE: it has ended, and
  // nothing happened. LOCK_TIMEOUT of a read with a lock: it goes on as it was.

  StatusOr<GetResult> Get(std::string key, const TxnCallOptions& options = {});
  void GetAsync(std::string key, const TxnCallOptions& options, Callback<GetResult> done);

  // One per key, in their order. Up to 100,000 keys.
  StatusOr<std::vector<GetResult>> BatchGet(std::vector<std::string> keys,
                                            const TxnCallOptions& options = {});
  void BatchGetAsync(std::vector<std::string> keys, const TxnCallOptions& options,
                     Callback<std::vector<GetResult>> done);

  // All rows that `range` names, up to its limit; its ReadOptions mean nothing here.
  StatusOr<std::vector<Row>> Scan(const ScanOptions& range, const TxnCallOptions& options = {});
  // One page of at most min(limit, page_size) rows. `token`: that of the page before, or empty.
  StatusOr<ScanPage> GetPage(const ScanOptions& range, const std::string& token,
                             const TxnCallOptions& options = {});
  void ScanPageAsync(const ScanOptions& range, const std::string& token,
                     const TxnCallOptions& options, Callback<ScanPage> done);

  // ---- writes; OK unless the transaction has failed already, or ended
  // ----------------------------

  Status Put(std::string key, std::string value, const TxnCallOptions& options = {});
  Status Delete(std::string key, const TxnCallOptions& options = {});
  // Writes from here on can be taken back. A savepoint of the same name before it is hidden.
  Status SetSavepoint(std::string name);
  // The savepoint stays, those after it go. A transaction in which a write has failed since then is
  // whole again.
  Status RollBackTo(std::string name);

  // Sends what is here and waits until the node has taken it. The first error of a write.
  Status Flush();
  void FlushAsync(UniqueFunction<void(Status)> done);

  // ---- the end; afterwards every call is refused ------------------------------------------------

  // With the timestamp of the commit or, if nothing was written, the one that it read at.
  StatusOr<Timestamp> Commit();
  void CommitAsync(Callback<Timestamp> done);
  // Waits for nothing.
  void RollBack();

  // What `kvctl txn list` shows it as; 0 until it has begun at a node.
  std::uint64_t id() const;

 private:
  class State;
  const std::shared_ptr<State> state_;
};

}  // namespace flotilla::client
