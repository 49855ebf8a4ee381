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

Admin::Stub& Admin::StubFor(const std::string& address) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<Stub>& stub = stubs_[address];
  if (!stub) stub = std::make_unique<Stub>(NewChannel(address));
  return *stub;
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
    StubFor(addresses[i])
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

template <class Request, class Response>
StatusOr<Response> Admin::AnyEndpoint(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                   const Request&, Response*),
                                      const Request& request) {
  std::string refused;
  for (const std::string& endpoint : endpoints_) {
    grpc::ClientContext context;
    context.set_deadline(In(timeout_));
    Response response;
    const grpc::Status status = (StubFor(endpoint).*method)(&context, request, &response);
    if (status.ok()) return response;
    Status error = ToStatus(status, endpoint, timeout_);
    // The next one is asked when this endpoint itself cannot be reached: a server's own error has
    // details. It may even have got the request: the changes bear repeating.
    if (ReasonOf(error) != Reason::kUnreachable || !status.error_details().empty()) return error;
    refused += (refused.empty() ? "" : "; ") + std::string(MessageOf(error));
  }
  return Error(Reason::kUnreachable, refused);
}

StatusOr<v1::ListNodesResponse> Admin::ListNodes() {
  return AnyEndpoint(&Stub::ListNodes, v1::ListNodesRequest());
}

StatusOr<v1::AddReplicaResponse> Admin::AddReplica(const v1::AddReplicaRequest& request) {
  return AnyEndpoint(&Stub::AddReplica, request);
}

StatusOr<v1::RemoveReplicaResponse> Admin::RemoveReplica(const v1::RemoveReplicaRequest& request) {
  return AnyEndpoint(&Stub::RemoveReplica, request);
}

StatusOr<v1::PromoteReplicaResponse> Admin::PromoteReplica(
    const v1::PromoteReplicaRequest& request) {
  return AnyEndpoint(&Stub::PromoteReplica, request);
}

StatusOr<v1::TransferLeadershipResponse> Admin::TransferLeadership(
    const v1::TransferLeadershipRequest& request) {
  return AnyEndpoint(&Stub::TransferLeadership, request);
}

StatusOr<v1::TriggerSnapshotResponse> Admin::TriggerSnapshot(
    const v1::TriggerSnapshotRequest& request) {
  return AnyEndpoint(&Stub::TriggerSnapshot, request);
}

}  // namespace flotilla::client
