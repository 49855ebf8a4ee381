// KvService: flotilla.v1.KV over gRPC's callback API. Thin: everything is the gateway's.
#pragma once

#include <grpcpp/grpcpp.h>

#include "base/clock.h"
#include "cmd/kvd/metrics.h"
#include "cmd/kvd/pipeline_session.h"
#include "flotilla/v1/kv.grpc.pb.h"
#include "shard/gateway.h"

namespace flotilla {

class KvService final : public v1::KV::CallbackService {
 public:
  // All outlive the service.
  KvService(const PipelineSession::Options& options, Gateway* gateway, const Clock* clock,
            RequestMetrics* metrics);

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const v1::GetRequest* request,
                                v1::GetResponse* response) override;
  grpc::ServerUnaryReactor* BatchGet(grpc::CallbackServerContext* context,
                                     const v1::BatchGetRequest* request,
                                     v1::BatchGetResponse* response) override;
  grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* context, const v1::PutRequest* request,
                                v1::PutResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteRequest* request,
                                   v1::DeleteResponse* response) override;
  grpc::ServerUnaryReactor* DeleteRange(grpc::CallbackServerContext* context,
                                        const v1::DeleteRangeRequest* request,
                                        v1::DeleteRangeResponse* response) override;
  grpc::ServerUnaryReactor* CompareAndSet(grpc::CallbackServerContext* context,
                                          const v1::CompareAndSetRequest* request,
                                          v1::CompareAndSetResponse* response) override;
  grpc::ServerUnaryReactor* Batch(grpc::CallbackServerContext* context,
                                  const v1::BatchRequest* request,
                                  v1::BatchResponse* response) override;
  grpc::ServerUnaryReactor* Aggregate(grpc::CallbackServerContext* context,
                                      const v1::AggregateRequest* request,
                                      v1::AggregateResponse* response) override;
  grpc::ServerUnaryReactor* History(grpc::CallbackServerContext* context,
                                    const v1::HistoryRequest* request,
                                    v1::HistoryResponse* response) override;
  grpc::ServerWriteReactor<v1::ScanResponse>* Scan(grpc::CallbackServerContext* context,
                                                   const v1::ScanRequest* request) override;
  grpc::ServerBidiReactor<v1::PipelineRequest, v1::PipelineResponse>* Pipeline(
      grpc::CallbackServerContext* context) override;

 private:
  template <class Request, class Response>
  grpc::ServerUnaryReactor* Unary(Method method, grpc::CallbackServerContext* context,
                                  const Request* request, Response* response);

  const PipelineSession::Options options_;
  Gateway* const gateway_;
  const Clock* const clock_;
  RequestMetrics* const metrics_;
};

}  // namespace flotilla
