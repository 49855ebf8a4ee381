// Unary calls by gRPC's callback API, spread over several connections.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/grpc_connector.h"
#include "tests/bench/system.h"

namespace flotilla::bench {

// Stubs of one service, each on a connection of its own, taken in turn.
template <class Service>
class Stubs {
 public:
  Stubs(const std::vector<std::string>& addresses, int connections_each) {
    for (int i = 0; i < connections_each; ++i) {
      for (const std::string& address : addresses) {
        stubs_.push_back(Service::NewStub(client::NewChannel(address)));
      }
    }
  }

  // The callback face of one of them.
  typename Service::StubInterface::async_interface* Next() {
    return stubs_[next_.fetch_add(1, std::memory_order_relaxed) % stubs_.size()]->async();
  }

 private:
  std::vector<std::unique_ptr<typename Service::Stub>> stubs_;
  std::atomic<std::size_t> next_ = 0;
};

// One call: its messages live until its answer has been looked at.
template <class Request, class Response>
struct UnaryCall {
  grpc::ClientContext context;
  Request request;
  Response response;
};

// Makes the call by `method`, a member of the stub's async interface, and gives the answer to
// `completion`: failed, or what `version_of` makes of the response (0 too is a success; a negative
// number a failure).
template <class Async, class Request, class Response, class VersionOf>
void Call(Async* async,
          void (Async::*method)(grpc::ClientContext*, const Request*, Response*,
                                std::function<void(grpc::Status)>),
          std::unique_ptr<UnaryCall<Request, Response>> call, Completion* completion,
          VersionOf version_of) {
  auto* raw = call.release();
  (async->*method)(&raw->context, &raw->request, &raw->response,
                   [raw, completion, version_of](const grpc::Status& status) {
                     const std::unique_ptr<UnaryCall<Request, Response>> owned(raw);
                     const std::int64_t version =
                         status.ok() ? static_cast<std::int64_t>(version_of(raw->response)) : -1;
                     completion->Done(version >= 0, version < 0 ? 0 : version);
                   });
}

// The first of `endpoints` for which `leads` says so, asked for up to ten seconds.
template <class Leads>
StatusOr<std::string> FindLeader(const std::vector<std::string>& endpoints, Leads leads) {
  std::string last = "none asked";
  for (const std::string& endpoint : endpoints) {
    const auto channel = client::NewChannel(endpoint);
    if (!channel->WaitForConnected(
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(5, GPR_TIMESPAN)))) {
      last = endpoint + " cannot be reached";
      continue;
    }
    if (leads(channel, endpoint)) return endpoint;
    last = endpoint + " does not lead";
  }
  return Error(Reason::kNoQuorum, "no leader found: " + last);
}

}  // namespace flotilla::bench
