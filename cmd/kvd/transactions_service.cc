#include "cmd/kvd/transactions_service.h"

#include <algorithm>
#include <utility>

#include "cmd/kvd/api_codec.h"
#include "cmd/kvd/batch_reactor.h"
#include "cmd/kvd/execution.h"
#include "cmd/kvd/rpc.h"

namespace flotilla {
namespace {

constexpr std::size_t kLocksMax = 1'000;

}  // namespace

TransactionsService::TransactionsService(const TransactSession::Options& options, Node* node,
                                         Executor* executor, const Clock* clock,
                                         RequestMetrics* metrics, std::uint64_t seed)
    : options_(options),
      node_(node),
      clock_(clock),
      metrics_(metrics),
      timers_(executor->NewStrand("transactions api")),
      random_(seed) {}

Random TransactionsService::NextRandom() {
  std::lock_guard lock(mutex_);
  return random_.Fork();
}

grpc::ServerBidiReactor<v1::TransactRequest, v1::TransactResponse>* TransactionsService::Transact(
    grpc::CallbackServerContext*) {
  return BatchReactor<TransactSession>::Start(metrics_, [this](TransactSession::Send send) {
    return std::make_shared<TransactSession>(options_, &node_->transactions(), &node_->gateway(),
                                             clock_, std::move(send));
  });
}

grpc::ServerUnaryReactor* TransactionsService::Execute(grpc::CallbackServerContext* context,
                                                       const v1::ExecuteRequest* request,
                                                       v1::ExecuteResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const RequestTimer timer(metrics_, Method::kExecute, clock_);
  const MonoTime deadline = DeadlineOf(*context, *clock_, options_.default_timeout);
  auto plan = std::make_shared<DecodedExecute>();
  const auto decode = [this, request, plan]() -> Status {
    KeyspaceNames names(&node_->gateway());
    // The message is this call's own and nobody reads it again: its strings are moved out.
    ASSIGN_OR_RETURN(*plan, Decode(*const_cast<v1::ExecuteRequest*>(request), names));
    return absl::OkStatus();
  };
  const auto answer = [reactor, response, timer](StatusOr<Execution::Result> result) {
    timer.Done(result.status());
    if (result.ok()) {
      response->set_succeeded(result->succeeded);
      response->set_timestamp(result->timestamp.value());
      for (kv::GetResult& one : result->results) EncodeResult(one, *response->add_results());
    }
    reactor->Finish(ToGrpc(result.status()));
  };
  DecodeOrRefresh(
      node_->gateway(), deadline, decode, [this, plan, deadline, answer](const Status& status) {
        if (!status.ok()) return answer(status);
        Execution::Start(
            {.transactions = &node_->transactions(), .timers = timers_.get(), .clock = clock_},
            std::move(*plan), deadline, NextRandom(), answer);
      });
  return reactor;
}

grpc::ServerUnaryReactor* TransactionsService::List(grpc::CallbackServerContext* context,
                                                    const v1::ListTransactionsRequest*,
                                                    v1::ListTransactionsResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  node_->Info([this, response, reactor](const NodeInfo& info) {
    std::vector<TransactionInfo> open = node_->transactions().List();
    // Ids are the moments of their beginnings.
    std::sort(open.begin(), open.end(),
              [](const TransactionInfo& a, const TransactionInfo& b) { return a.id < b.id; });
    response->set_node_id(info.node.value());
    for (const TransactionInfo& one : open) Encode(one, info.node, *response->add_transactions());
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* TransactionsService::Abort(grpc::CallbackServerContext* context,
                                                     const v1::AbortTransactionRequest* request,
                                                     v1::AbortTransactionResponse*) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(node_->transactions().Abort(kv::TxnId(request->transaction_id()))));
  return reactor;
}

grpc::ServerUnaryReactor* TransactionsService::ListLocks(grpc::CallbackServerContext* context,
                                                         const v1::ListLocksRequest* request,
                                                         v1::ListLocksResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const std::size_t limit =
      request->limit() == 0 ? kLocksMax : std::min<std::size_t>(request->limit(), kLocksMax);
  node_->Info([this, limit, response, reactor](const NodeInfo& info) {
    std::vector<LockInfo> locks = node_->Locks(limit + 1);
    response->set_node_id(info.node.value());
    response->set_more(locks.size() > limit);
    locks.resize(std::min(locks.size(), limit));
    const auto image = node_->DirectoryView();
    for (const LockInfo& one : locks) Encode(one, *image, *response->add_locks());
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* TransactionsService::ListDeadlocks(grpc::CallbackServerContext* context,
                                                             const v1::ListDeadlocksRequest*,
                                                             v1::ListDeadlocksResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  node_->Info([this, response, reactor](const NodeInfo& info) {
    std::vector<FoundDeadlock> found = node_->Deadlocks();
    std::reverse(found.begin(), found.end());
    response->set_node_id(info.node.value());
    const auto image = node_->DirectoryView();
    for (const FoundDeadlock& one : found) Encode(one, *image, *response->add_deadlocks());
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

}  // namespace flotilla
