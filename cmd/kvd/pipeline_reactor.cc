#include "cmd/kvd/pipeline_reactor.h"

#include <utility>

#include "base/turn.h"

namespace flotilla {
namespace {

// A message stops growing here; a single larger answer still goes.
constexpr std::size_t kMessageBytesMax = 1 << 20;
// With more than this unwritten, no further requests are read.
constexpr std::size_t kOutgoingBytesMax = 16 << 20;

}  // namespace

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
  {
    std::lock_guard lock(mutex_);
    if (!ok) {
      input_ended_ = true;
      FinishIfDrained();
      return;
    }
    unanswered_ += static_cast<std::size_t>(request_.requests_size());
  }
  const GatheringTurn gathering;
  metrics_->CountPipelined(static_cast<std::uint64_t>(request_.requests_size()));
  session_->OnRequests(request_);
  request_.Clear();
  std::lock_guard lock(mutex_);
  read_waits_ = outgoing_bytes_ > kOutgoingBytesMax;
  if (!read_waits_) StartRead(&request_);
}

std::size_t PipelineReactor::BytesOf(const v1::Response& response) {
  constexpr std::size_t kSmall = 64;
  switch (response.response_case()) {
    case v1::Response::kGet:
      return kSmall + response.get().value().size();
    case v1::Response::kBatchGet:
    case v1::Response::kScan:
    case v1::Response::kError:
      return response.ByteSizeLong();
    default:
      return kSmall;
  }
}

void PipelineReactor::Send(v1::PipelineResponse response) {
  std::size_t bytes = 0;
  for (const v1::Response& one : response.responses()) bytes += BytesOf(one);
  std::unique_lock lock(mutex_);
  unanswered_ -= static_cast<std::size_t>(response.responses_size());
  if (finished_) return;
  if (bytes <= kMessageBytesMax || response.responses_size() == 1) {
    Add(response, bytes);
  } else {
    for (v1::Response& one : *response.mutable_responses()) {
      v1::PipelineResponse alone;
      bytes = BytesOf(one);
      alone.add_responses()->Swap(&one);
      Add(alone, bytes);
    }
  }
  if (write_under_way_ || std::exchange(gathering_, true)) return;
  lock.unlock();
  GatheringTurn::AtEnd([this] { WriteGathered(); });
}

// This object is there still: it does not finish while it gathers.
void PipelineReactor::WriteGathered() {
  std::lock_guard lock(mutex_);
  gathering_ = false;
  if (!write_under_way_) WriteNext();
}

void PipelineReactor::Add(v1::PipelineResponse& response, std::size_t bytes) {
  outgoing_bytes_ += bytes;
  // The front one belongs to gRPC while it is under way.
  const bool open = outgoing_.size() > (write_under_way_ ? 1 : 0);
  if (!open || outgoing_.back().bytes + bytes > kMessageBytesMax) {
    Outgoing& next = outgoing_.emplace_back();
    next.message.Swap(&response);
    next.bytes = bytes;
    return;
  }
  Outgoing& last = outgoing_.back();
  last.bytes += bytes;
  if (response.timestamp() != 0) last.message.set_timestamp(response.timestamp());
  for (v1::Response& one : *response.mutable_responses()) {
    last.message.add_responses()->Swap(&one);
  }
}

void PipelineReactor::WriteNext() {
  if (outgoing_.empty()) {
    FinishIfDrained();
    return;
  }
  write_under_way_ = true;
  StartWrite(&outgoing_.front().message);
}

void PipelineReactor::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  write_under_way_ = false;
  if (!ok) {
    input_ended_ = true;
    outgoing_.clear();
    if (!finished_) {
      finished_ = true;
      Finish({grpc::StatusCode::CANCELLED, "the client has gone"});
    }
    return;
  }
  outgoing_bytes_ -= outgoing_.front().bytes;
  outgoing_.pop_front();
  if (read_waits_ && outgoing_bytes_ <= kOutgoingBytesMax) {
    read_waits_ = false;
    StartRead(&request_);
  }
  WriteNext();
}

void PipelineReactor::FinishIfDrained() {
  if (!input_ended_ || finished_ || write_under_way_ || gathering_ || unanswered_ > 0) return;
  finished_ = true;
  Finish(grpc::Status::OK);
}

void PipelineReactor::OnDone() {
  {
    const std::lock_guard wait(mutex_);  // for whoever has finished it
  }
  session_->Close();
  delete this;
}

}  // namespace flotilla
