// PipelineReactor: the gRPC side of a PipelineSession.
//
// Answers that become ready while a write is under way go out together in the next one.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>

#include "cmd/kvd/metrics.h"
#include "cmd/kvd/pipeline_session.h"

namespace flotilla {

class PipelineReactor final
    : public grpc::ServerBidiReactor<v1::PipelineRequest, v1::PipelineResponse> {
 public:
  // Lives until gRPC is done with it.
  static PipelineReactor* Start(const PipelineSession::Options& options, Gateway* gateway,
                                const Clock* clock, RequestMetrics* metrics);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  explicit PipelineReactor(RequestMetrics* metrics) : metrics_(metrics) {}

  void Send(v1::PipelineResponse response);
  // With the lock held.
  void FinishIfDrained();

  RequestMetrics* const metrics_;
  std::shared_ptr<PipelineSession> session_;
  v1::PipelineRequest request_;

  std::mutex mutex_;
  v1::PipelineResponse gathered_;
  v1::PipelineResponse writing_;
  bool write_under_way_ = false;
  bool input_ended_ = false;
  bool finished_ = false;
};

}  // namespace flotilla
