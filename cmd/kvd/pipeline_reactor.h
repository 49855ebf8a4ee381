// PipelineReactor: the gRPC side of a PipelineSession.
//
// Answers that become ready while a write is under way go out together in the next ones, in
// messages of about a mebibyte: large answers together would exceed what one message may have. A
// client that does not read its answers is not read from either.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
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

  // About how many bytes one answer takes in a message.
  static std::size_t BytesOf(const v1::Response& response);

  void Send(v1::PipelineResponse response);
  // Without the lock.
  void WriteGathered();
  // With the lock held.
  void Add(v1::PipelineResponse& response, std::size_t bytes);
  void WriteNext();
  void FinishIfDrained();

  RequestMetrics* const metrics_;
  std::shared_ptr<PipelineSession> session_;
  v1::PipelineRequest request_;

  std::mutex mutex_;
  struct Outgoing {
    v1::PipelineResponse message;
    std::size_t bytes = 0;
  };
  std::deque<Outgoing> outgoing_;  // the front one is under way if any is
  std::size_t outgoing_bytes_ = 0;
  // Requests that were read and whose answers were not given to Send() yet.
  std::size_t unanswered_ = 0;
  bool write_under_way_ = false;
  bool gathering_ = false;   // a write begins when a turn of some thread ends
  bool read_waits_ = false;  // for the client to take its answers
  bool input_ended_ = false;
  bool finished_ = false;
};

}  // namespace flotilla
