#include "cmd/kvd/kv_service.h"

#include <utility>

#include "cmd/kvd/batch_reactor.h"
#include "cmd/kvd/rpc.h"
#include "cmd/kvd/scan_reactor.h"

namespace flotilla {
namespace {

// Finishes one unary call with its one answer.
template <class Response>
class UnarySink final : public AnswerSink {
 public:
  UnarySink(grpc::ServerUnaryReactor* reactor, Response* response, RequestTimer timer)
      : reactor_(reactor), response_(response), timer_(timer) {}

  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    GatewayAnswer& answer = answers.front();
    if (answer.status.ok()) answer.status = CheckAnswer(answer);
    timer_.Done(answer.status);
    if (answer.status.ok()) EncodeAnswer(answer, *response_);
    reactor_->Finish(ToGrpc(answer.status));
  }

 private:
  grpc::ServerUnaryReactor* const reactor_;
  Response* const response_;
  RequestTimer timer_;
};

// Finishes a call of Aggregate, page by page: each goes to whoever holds what comes next.
class Aggregation final : public AnswerSink, public std::enable_shared_from_this<Aggregation> {
 public:
  Aggregation(Gateway* gateway, grpc::ServerUnaryReactor* reactor, v1::AggregateResponse* response,
              RequestTimer timer)
      : gateway_(gateway), reactor_(reactor), response_(response), timer_(timer) {}

  void Ask(GatewayRequest request) {
    request_ = std::move(request);
    gateway_->Submit({request_}, shared_from_this());
  }

  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    const GatewayAnswer& answer = answers.front();
    if (!answer.status.ok()) return End(answer.status);
    const auto& page = std::get<kv::AggregatePage>(answer.result);
    if (const Status added = kv::AddPage(page, total_); !added.ok()) return End(added);
    if (page.more) {
      std::get<AggregateCall>(request_.call).request.resume = page.resume;
      gateway_->Submit({request_}, shared_from_this());
      return;
    }
    EncodeAnswer(answer.origin, total_, *response_);
    End(absl::OkStatus());
  }

 private:
  void End(const Status& status) {
    timer_.Done(status);
    reactor_->Finish(ToGrpc(status));
  }

  Gateway* const gateway_;
  grpc::ServerUnaryReactor* const reactor_;
  v1::AggregateResponse* const response_;
  const RequestTimer timer_;
  GatewayRequest request_;
  kv::AggregatePage total_;
};

}  // namespace

KvService::KvService(const PipelineSession::Options& options, Gateway* gateway, const Clock* clock,
                     RequestMetrics* metrics)
    : options_(options), gateway_(gateway), clock_(clock), metrics_(metrics) {}

template <class Request, class Response>
grpc::ServerUnaryReactor* KvService::Unary(Method method, grpc::CallbackServerContext* context,
                                           const Request* request, Response* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const RequestTimer timer(metrics_, method, clock_);
  const MonoTime deadline = DeadlineOf(*context, *clock_, options_.default_timeout);
  auto calls = std::make_shared<std::vector<GatewayRequest>>(1);
  calls->front().deadline = deadline;
  const auto decode = [this, request, calls] {
    KeyspaceNames names(gateway_);
    // The message is this call's own and nobody reads it again: its strings are moved out.
    return DecodeRequest(*const_cast<Request*>(request), names, calls->front());
  };
  DecodeOrRefresh(
      *gateway_, deadline, decode, [this, calls, reactor, response, timer](const Status& status) {
        if (status.ok()) {
          gateway_->Submit(std::move(*calls),
                           std::make_shared<UnarySink<Response>>(reactor, response, timer));
        } else {
          timer.Done(status);
          reactor->Finish(ToGrpc(status));
        }
      });
  return reactor;
}

grpc::ServerUnaryReactor* KvService::Get(grpc::CallbackServerContext* context,
                                         const v1::GetRequest* request, v1::GetResponse* response) {
  return Unary(Method::kGet, context, request, response);
}

grpc::ServerUnaryReactor* KvService::BatchGet(grpc::CallbackServerContext* context,
                                              const v1::BatchGetRequest* request,
                                              v1::BatchGetResponse* response) {
  return Unary(Method::kBatchGet, context, request, response);
}

grpc::ServerUnaryReactor* KvService::Put(grpc::CallbackServerContext* context,
                                         const v1::PutRequest* request, v1::PutResponse* response) {
  return Unary(Method::kPut, context, request, response);
}

grpc::ServerUnaryReactor* KvService::Delete(grpc::CallbackServerContext* context,
                                            const v1::DeleteRequest* request,
                                            v1::DeleteResponse* response) {
  return Unary(Method::kDelete, context, request, response);
}

grpc::ServerUnaryReactor* KvService::DeleteRange(grpc::CallbackServerContext* context,
                                                 const v1::DeleteRangeRequest* request,
                                                 v1::DeleteRangeResponse* response) {
  return Unary(Method::kDeleteRange, context, request, response);
}

grpc::ServerUnaryReactor* KvService::CompareAndSet(grpc::CallbackServerContext* context,
                                                   const v1::CompareAndSetRequest* request,
                                                   v1::CompareAndSetResponse* response) {
  return Unary(Method::kCompareAndSet, context, request, response);
}

grpc::ServerUnaryReactor* KvService::Batch(grpc::CallbackServerContext* context,
                                           const v1::BatchRequest* request,
                                           v1::BatchResponse* response) {
  return Unary(Method::kBatch, context, request, response);
}

grpc::ServerUnaryReactor* KvService::History(grpc::CallbackServerContext* context,
                                             const v1::HistoryRequest* request,
                                             v1::HistoryResponse* response) {
  return Unary(Method::kHistory, context, request, response);
}

grpc::ServerUnaryReactor* KvService::Aggregate(grpc::CallbackServerContext* context,
                                               const v1::AggregateRequest* request,
                                               v1::AggregateResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const RequestTimer timer(metrics_, Method::kAggregate, clock_);
  auto call = std::make_shared<GatewayRequest>();
  call->deadline = DeadlineOf(*context, *clock_, options_.default_timeout);
  const auto decode = [this, request, call] {
    KeyspaceNames names(gateway_);
    return DecodeRequest(*const_cast<v1::AggregateRequest*>(request), names, *call);
  };
  DecodeOrRefresh(
      *gateway_, call->deadline, decode,
      [this, call, reactor, response, timer](const Status& status) {
        if (status.ok()) {
          std::make_shared<Aggregation>(gateway_, reactor, response, timer)->Ask(std::move(*call));
        } else {
          timer.Done(status);
          reactor->Finish(ToGrpc(status));
        }
      });
  return reactor;
}

grpc::ServerWriteReactor<v1::ScanResponse>* KvService::Scan(grpc::CallbackServerContext* context,
                                                            const v1::ScanRequest* request) {
  return ScanReactor::Start(gateway_, *request,
                            DeadlineOf(*context, *clock_, options_.default_timeout),
                            RequestTimer(metrics_, Method::kScan, clock_));
}

grpc::ServerBidiReactor<v1::PipelineRequest, v1::PipelineResponse>* KvService::Pipeline(
    grpc::CallbackServerContext*) {
  return BatchReactor<PipelineSession>::Start(metrics_, [this](PipelineSession::Send send) {
    return std::make_shared<PipelineSession>(options_, gateway_, clock_, std::move(send));
  });
}

}  // namespace flotilla
