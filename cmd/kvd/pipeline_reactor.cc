#include "cmd/kvd/pipeline_reactor.h"

#include <utility>

namespace flotilla {

PipelineReactor* PipelineReactor::Start(const PipelineSession::Options& options, Gateway* gateway,
                                        const Clock* clock, RequestMetrics* metrics) {
  auto* const reactor = new PipelineReactor(metrics);
  reactor->session_ = std::make_shared<PipelineSession>(
      options, gateway, clock,
      [reactor](v1::PipelineResponse response) { reactor->Send(std::move(response)); });
  reactor->StartRead(&reactor->request_);
  return reactor;
}

void PipelineReactor::OnReadDone(bool ok) {
  if (!ok) {
    std::lock_guard lock(mutex_);
    input_ended_ = true;
    FinishIfDrained();
    return;
  }
  metrics_->CountPipelined(static_cast<std::uint64_t>(request_.requests_size()));
  session_->OnRequests(request_);
  request_.Clear();
  StartRead(&request_);
}

void PipelineReactor::Send(v1::PipelineResponse response) {
  std::lock_guard lock(mutex_);
  if (finished_) return;
  if (gathered_.responses_size() == 0) {
    gathered_.Swap(&response);
  } else {
    for (v1::Response& one : *response.mutable_responses()) gathered_.add_responses()->Swap(&one);
  }
  if (write_under_way_) return;
  write_under_way_ = true;
  writing_.Swap(&gathered_);
  gathered_.Clear();
  StartWrite(&writing_);
}

void PipelineReactor::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  write_under_way_ = false;
  if (!ok) {
    input_ended_ = true;
    gathered_.Clear();
    if (!finished_) {
      finished_ = true;
      Finish({grpc::StatusCode::CANCELLED, "the client has gone"});
    }
    return;
  }
  if (gathered_.responses_size() > 0) {
    write_under_way_ = true;
    writing_.Swap(&gathered_);
    gathered_.Clear();
    StartWrite(&writing_);
    return;
  }
  FinishIfDrained();
}

void PipelineReactor::FinishIfDrained() {
  if (!input_ended_ || finished_ || write_under_way_ || session_->open() > 0) return;
  finished_ = true;
  Finish(grpc::Status::OK);
}

void PipelineReactor::OnDone() {
  session_->Close();
  delete this;
}

}  // namespace flotilla
