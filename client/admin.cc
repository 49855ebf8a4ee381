#include "client/admin.h"

#include <fmt/format.h>
#include <grpc/support/time.h>
#include <grpcpp/grpcpp.h>

#include <latch>

#include "client/errors.h"
#include "client/grpc_connector.h"

namespace flotilla::client {
namespace {

gpr_timespec In(Duration timeout) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN));
}

Status ToStatus(const grpc::Status& status, const std::string& address, Duration timeout) {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
      status.error_details().empty()) {
    return Error(Reason::kDeadlineExceeded,
                 fmt::format("{} gave no answer within {:g} s", address,
                             std::chrono::duration<double>(timeout).count()));
  }
  return FromGrpc(static_cast<int>(status.error_code()), status.error_message(),
                  status.error_details(), address);
}

}  // namespace

Admin::Admin(std::vector<std::string> endpoints, Duration timeout)
    : endpoints_(std::move(endpoints)), timeout_(timeout) {}

Admin::~Admin() = default;

Admin::Stubs& Admin::StubsFor(const std::string& address) {
  std::lock_guard lock(mutex_);
  Stubs& stubs = stubs_[address];
  if (!stubs.cluster) {
    const auto channel = NewChannel(address);
    stubs.cluster = std::make_unique<v1::Cluster::Stub>(channel);
    stubs.directory = std::make_unique<v1::Directory::Stub>(channel);
    stubs.kv = std::make_unique<v1::KV::Stub>(channel);
    stubs.transactions = std::make_unique<v1::Transactions::Stub>(channel);
  }
  return stubs;
}

std::vector<StatusOr<v1::StatusResponse>> Admin::StatusOf(
    const std::vector<std::string>& addresses) {
  struct Question {
    grpc::ClientContext context;
    v1::StatusRequest request;
    v1::StatusResponse response;
    grpc::Status status;
  };
  std::vector<Question> questions(addresses.size());
  std::latch answered(static_cast<std::ptrdiff_t>(addresses.size()));
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    Question& question = questions[i];
    question.context.set_deadline(In(timeout_));
    StubFor<v1::Cluster::Stub>(addresses[i])
        .async()
        ->Status(&question.context, &question.request, &question.response,
                 [&question, &answered](grpc::Status status) {
                   question.status = std::move(status);
                   answered.count_down();
                 });
  }
  answered.wait();
  std::vector<StatusOr<v1::StatusResponse>> results;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (questions[i].status.ok()) {
      results.emplace_back(std::move(questions[i].response));
    } else {
      results.emplace_back(ToStatus(questions[i].status, addresses[i], timeout_));
    }
  }
  return results;
}

Status Admin::Each(
    const std::function<grpc::Status(const std::string&, grpc::ClientContext&)>& attempt) const {
  std::string refused;
  Status referred;
  for (const std::string& endpoint : endpoints_) {
    grpc::ClientContext context;
    context.set_deadline(In(timeout_));
    const grpc::Status status = attempt(endpoint, context);
    if (status.ok()) return absl::OkStatus();
    Status error = ToStatus(status, endpoint, timeout_);
    // The next one is asked when this endpoint itself cannot be reached (a server's own error has
    // details) or refers to others. It may even have got the request: the changes bear repeating.
    const Reason reason = ReasonOf(error);
    const bool refers = reason == Reason::kNodeStopping || reason == Reason::kNotReady;
    const bool reached = reason != Reason::kUnreachable || !status.error_details().empty();
    if (reached && !refers) return error;
    if (reached) referred = error;
    refused += (refused.empty() ? "" : "; ") + std::string(MessageOf(error));
  }
  return referred.ok() ? Error(Reason::kUnreachable, refused) : referred;
}

Status Admin::WatchJobs(const v1::WatchJobsRequest& request,
                        const std::function<bool(const v1::WatchJobsResponse&)>& news) {
  return Each([&](const std::string& endpoint, grpc::ClientContext& bounded) {
    (void)bounded;  // a job may take longer
    grpc::ClientContext context;
    const auto reader = StubFor<v1::Directory::Stub>(endpoint).WatchJobs(&context, request);
    v1::WatchJobsResponse message;
    while (reader->Read(&message)) {
      if (news(message)) continue;
      context.TryCancel();
      reader->Finish();
      return grpc::Status::OK;
    }
    return reader->Finish();
  });
}

StatusOr<v1::ListNodesResponse> Admin::ListNodes() {
  return AnyEndpoint(&v1::Cluster::Stub::ListNodes, v1::ListNodesRequest());
}

StatusOr<v1::AddReplicaResponse> Admin::AddReplica(const v1::AddReplicaRequest& request) {
  return AnyEndpoint(&v1::Cluster::Stub::AddReplica, request);
}

StatusOr<v1::RemoveReplicaResponse> Admin::RemoveReplica(const v1::RemoveReplicaRequest& request) {
  return AnyEndpoint(&v1::Cluster::Stub::RemoveReplica, request);
}

StatusOr<v1::PromoteReplicaResponse> Admin::PromoteReplica(
    const v1::PromoteReplicaRequest& request) {
  return AnyEndpoint(&v1::Cluster::Stub::PromoteReplica, request);
}

StatusOr<v1::TransferLeadershipResponse> Admin::TransferLeadership(
    const v1::TransferLeadershipRequest& request) {
  return AnyEndpoint(&v1::Cluster::Stub::TransferLeadership, request);
}

StatusOr<v1::TriggerSnapshotResponse> Admin::TriggerSnapshot(
    const v1::TriggerSnapshotRequest& request) {
  return AnyEndpoint(&v1::Cluster::Stub::TriggerSnapshot, request);
}

StatusOr<v1::DrainNodeResponse> Admin::DrainNode(const v1::DrainNodeRequest& request) {
  return AnyEndpoint(&v1::Cluster::Stub::DrainNode, request);
}

StatusOr<v1::DecommissionNodeResponse> Admin::DecommissionNode(
    const v1::DecommissionNodeRequest& request) {
  return AnyEndpoint(&v1::Cluster::Stub::DecommissionNode, request);
}

template <class Stub, class Request, class Response>
StatusOr<Response> Admin::At(const std::string& address,
                             grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                          Response*),
                             const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(In(timeout_));
  Response response;
  const grpc::Status status = (StubFor<Stub>(address).*method)(&context, request, &response);
  if (!status.ok()) return ToStatus(status, address, timeout_);
  return response;
}

StatusOr<v1::ListTransactionsResponse> Admin::ListTransactions(const std::string& address) {
  return At(address, &v1::Transactions::Stub::List, v1::ListTransactionsRequest());
}

StatusOr<v1::ListLocksResponse> Admin::ListLocks(const std::string& address) {
  return At(address, &v1::Transactions::Stub::ListLocks, v1::ListLocksRequest());
}

StatusOr<v1::ListDeadlocksResponse> Admin::ListDeadlocks(const std::string& address) {
  return At(address, &v1::Transactions::Stub::ListDeadlocks, v1::ListDeadlocksRequest());
}

Status Admin::AbortTransaction(const std::string& address, std::uint64_t transaction_id) {
  v1::AbortTransactionRequest request;
  request.set_transaction_id(transaction_id);
  return At(address, &v1::Transactions::Stub::Abort, request).status();
}

StatusOr<v1::VacuumStatusResponse> Admin::VacuumStatus(const std::string& address) {
  return At(address, &v1::Cluster::Stub::VacuumStatus, v1::VacuumStatusRequest());
}

StatusOr<v1::VacuumRunResponse> Admin::VacuumRun(const std::string& address,
                                                 std::uint64_t group_id) {
  v1::VacuumRunRequest request;
  request.set_group_id(group_id);
  return At(address, &v1::Cluster::Stub::VacuumRun, request);
}

StatusOr<v1::HistoryResponse> Admin::History(const v1::HistoryRequest& request) {
  return AnyEndpoint(&v1::KV::Stub::History, request);
}

StatusOr<v1::AggregateResponse> Admin::Aggregate(const v1::AggregateRequest& request) {
  return AnyEndpoint(&v1::KV::Stub::Aggregate, request);
}

}  // namespace flotilla::client
