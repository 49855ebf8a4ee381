// Client: reads and writes of a Flotilla cluster, for C++ programs.
//
// Purpose: one object per process serves all threads. It finds the leader, keeps connections,
// retries what may be retried, and sends concurrent calls together, so that many calls at once cost
// little each. Every call comes in two faces:
//
//   blocking       StatusOr<PutResult> r = client->Put("k", "v");
//   asynchronous   client->PutAsync("k", "v", {}, [](StatusOr<PutResult> r) { ... });
//
// Promises, for both:
//
// * Exactly once. A write carries the client's id and a number; however often it is repeated on the
//   way, it takes effect at most once, and its answer is that of the one time.
// * Perhaps is never no. A write that was sent and whose answer is not known at its deadline ends
//   with Reason::kOutcomeUnknown: it may happen, now or later. Every other error of a write means
//   that it had no effect and never will.
// * Every call ends, at its deadline at the latest.
// * Bounded. Beyond ClientOptions::outstanding_max calls, asynchronous ones end at once with
//   Reason::kOverloaded.
//
// Errors are absl::Status with a typed reason (base/status.h): ReasonOf(status) tells what
// happened, the message says where, and what to do.
//
// Threads: every method may be called from any thread. Callbacks run on a thread of the network,
// one batch of answers at a time (or within the call, if it is refused at once): they must be
// short, must not block, and so must not use the blocking face; they may make asynchronous calls.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/status.h"
#include "client/options.h"
#include "client/scanner.h"
#include "client/transaction.h"

namespace flotilla::client {

class Dispatcher;
struct OwnWorld;
struct ClientWorld;

class Client {
 public:
  // A client over gRPC with threads of its own. Does not connect yet: the first call does. An error
  // when the options make no sense.
  static StatusOr<std::unique_ptr<Client>> Create(const ClientOptions& options);

  // A client in somebody else's world, which outlives it: the simulator's and the tests' way.
  // The options must make sense (ValidateOptions).
  Client(const ClientOptions& options, const ClientWorld& world);

  // Shutdown().
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Ends all calls: CANCELLED, or OUTCOME_UNKNOWN for writes on their way. After it has returned no
  // callback runs any more, and later calls end at once. Not from a callback.
  void Shutdown();

  // ---- reads -----------------------------------------------------------------------------------

  // A missing key is not an error: `found` is false.
  StatusOr<GetResult> Get(std::string key, const ReadOptions& options = {});
  void GetAsync(std::string key, const ReadOptions& options, Callback<GetResult> done);

  // One result per key, in their order, each as of some moment during the call. Up to 100,000 keys.
  StatusOr<std::vector<GetResult>> BatchGet(std::vector<std::string> keys,
                                            const ReadOptions& options = {});
  void BatchGetAsync(std::vector<std::string> keys, const ReadOptions& options,
                     Callback<std::vector<GetResult>> done);

  // Rows in order, fetched page by page as the scanner advances. The client outlives the scanner.
  Scanner Scan(ScanOptions options);
  // One page of at most min(limit, page_size) rows. `token`: that of the page before, or empty.
  void ScanPageAsync(const ScanOptions& options, const std::string& token, Callback<ScanPage> done);
  StatusOr<ScanPage> GetPage(const ScanOptions& options, const std::string& token);

  // ---- writes ----------------------------------------------------------------------------------

  StatusOr<PutResult> Put(std::string key, std::string value, const WriteOptions& options = {});
  void PutAsync(std::string key, std::string value, const WriteOptions& options,
                Callback<PutResult> done);

  // Deleting a missing key succeeds; `existed` tells.
  StatusOr<DeleteResult> Delete(std::string key, const WriteOptions& options = {});
  void DeleteAsync(std::string key, const WriteOptions& options, Callback<DeleteResult> done);

  // All keys of [start, end) in one atomic step; empty ends stand for the keyspace's. Over several
  // shards up to 100,000 keys.
  StatusOr<DeleteRangeResult> DeleteRange(std::string start, std::string end,
                                          const WriteOptions& options = {});
  void DeleteRangeAsync(std::string start, std::string end, const WriteOptions& options,
                        Callback<DeleteRangeResult> done);

  // Writes `value`, or deletes the key when there is none, if the condition holds. Otherwise
  // Reason::kConditionFailed, whose metadata has the actual version (kActualVersionMetadata; 0: the
  // key is absent).
  StatusOr<CompareAndSetResult> CompareAndSet(std::string key, Condition condition,
                                              std::optional<std::string> value,
                                              const WriteOptions& options = {});
  void CompareAndSetAsync(std::string key, Condition condition, std::optional<std::string> value,
                          const WriteOptions& options, Callback<CompareAndSetResult> done);

  // All or nothing, over any shards. Up to 100,000 operations and 64 MiB; WriteOptions::ttl does
  // not apply.
  StatusOr<BatchResult> Write(const WriteBatch& batch, const WriteOptions& options = {});
  void WriteAsync(const WriteBatch& batch, const WriteOptions& options, Callback<BatchResult> done);

  // ---- transactions (transaction.h) ------------------------------------------------------------

  // Runs `body` with a transaction and commits it; anew, after a back-off, if that ended with an
  // error of which `MayRunAgain` (retry.h) is sure that it had no effect and may go away: a
  // conflict, a node that could not be reached. Until the deadline; then the last error, or the one
  // before if that says only that the time is up. So `body` may run many times, and does nothing
  // that lasts but through the transaction. An error of `body`'s own rolls back and is the answer.
  // A commit whose outcome is not known is never repeated: OUTCOME_UNKNOWN. With the timestamp of
  // the commit. Not from a callback.
  StatusOr<Timestamp> Transact(const TransactOptions& options,
                               const std::function<Status(Transaction&)>& body);
  // Waits for nothing: the node is asked with the first read, or the commit. The client lives
  // longer than its transactions.
  std::unique_ptr<Transaction> Begin(const TransactionOptions& options = {});

  // The client's half of its writes' identity. A new one is drawn when the servers have forgotten
  // it, after an hour without writes.
  std::uint64_t client_id() const;

 private:
  // Declared first: destroyed last. Null when the world is somebody else's.
  std::unique_ptr<OwnWorld> own_world_;
  const std::string keyspace_;
  std::shared_ptr<Dispatcher> dispatcher_;
  std::shared_ptr<Transactor> transactor_;
};

// BAD_REQUEST with every mistake: no endpoints, one without a port, bounds of zero.
Status ValidateOptions(const ClientOptions& options);

}  // namespace flotilla::client
