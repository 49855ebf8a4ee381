// TransactionsService: flotilla.v1.Transactions over gRPC's callback API.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>

#include "base/clock.h"
#include "base/executor.h"
#include "base/random.h"
#include "cmd/kvd/metrics.h"
#include "cmd/kvd/transact_session.h"
#include "flotilla/v1/transactions.grpc.pb.h"
#include "shard/node.h"

namespace flotilla {

class TransactionsService final : public v1::Transactions::CallbackService {
 public:
  // All outlive the service. `seed`: of back-offs.
  TransactionsService(const TransactSession::Options& options, Node* node, Executor* executor,
                      const Clock* clock, RequestMetrics* metrics, std::uint64_t seed);

  grpc::ServerBidiReactor<v1::TransactRequest, v1::TransactResponse>* Transact(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const v1::ExecuteRequest* request,
                                    v1::ExecuteResponse* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListTransactionsRequest* request,
                                 v1::ListTransactionsResponse* response) override;
  grpc::ServerUnaryReactor* Abort(grpc::CallbackServerContext* context,
                                  const v1::AbortTransactionRequest* request,
                                  v1::AbortTransactionResponse* response) override;
  grpc::ServerUnaryReactor* ListLocks(grpc::CallbackServerContext* context,
                                      const v1::ListLocksRequest* request,
                                      v1::ListLocksResponse* response) override;
  grpc::ServerUnaryReactor* ListDeadlocks(grpc::CallbackServerContext* context,
                                          const v1::ListDeadlocksRequest* request,
                                          v1::ListDeadlocksResponse* response) override;

 private:
  Random NextRandom();

  const TransactSession::Options options_;
  Node* const node_;
  const Clock* const clock_;
  RequestMetrics* const metrics_;
  const std::unique_ptr<Strand> timers_;
  std::mutex mutex_;
  Random random_;  // guarded by mutex_
};

}  // namespace flotilla
