#include "cmd/kvd/pipeline_session.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace flotilla {

PipelineSession::PipelineSession(const Options& options, Gateway* gateway, const Clock* clock,
                                 Send send)
    : options_(options), gateway_(gateway), clock_(clock), send_(std::move(send)) {}

Status PipelineSession::Decode(v1::Request& request, GatewayRequest& call, Open& open) const {
  switch (request.request_case()) {
    case v1::Request::kGet:
      return DecodeRequest(*request.mutable_get(), call);
    case v1::Request::kBatchGet:
      return DecodeRequest(*request.mutable_batch_get(), call);
    case v1::Request::kPut:
      return DecodeRequest(*request.mutable_put(), call);
    case v1::Request::kDelete:
      return DecodeRequest(*request.mutable_delete_(), call);
    case v1::Request::kDeleteRange:
      return DecodeRequest(*request.mutable_delete_range(), call);
    case v1::Request::kCompareAndSet:
      return DecodeRequest(*request.mutable_compare_and_set(), call);
    case v1::Request::kBatch:
      return DecodeRequest(*request.mutable_batch(), call);
    case v1::Request::kScan: {
      v1::ScanRequest& scan = *request.mutable_scan();
      RETURN_IF_ERROR(DecodeRequest(scan, call));
      open.scan = {.start = scan.start(), .end = scan.end(), .reverse = scan.reverse()};
      return absl::OkStatus();
    }
    case v1::Request::REQUEST_NOT_SET:
      break;
  }
  return Error(Reason::kUnimplemented,
               "this version of the server does not know the request: update the server");
}

void PipelineSession::OnRequests(v1::PipelineRequest& batch) {
  if (batch.requests().empty()) {
    v1::PipelineResponse answer;
    // Never zero, which would be nothing.
    answer.set_timestamp(std::max<std::uint64_t>(gateway_->Newest().value(), 1));
    Emit(std::move(answer));
    return;
  }
  const MonoTime now = clock_->Now();
  std::vector<GatewayRequest> calls;
  calls.reserve(static_cast<std::size_t>(batch.requests_size()));
  v1::PipelineResponse refused;
  std::vector<Open> opened;
  opened.reserve(static_cast<std::size_t>(batch.requests_size()));
  for (v1::Request& request : *batch.mutable_requests()) {
    GatewayRequest call;
    Open open{.id = request.id(), .kind = request.request_case(), .scan = {}};
    const Status status = Decode(request, call, open);
    if (!status.ok()) {
      v1::Response& response = *refused.add_responses();
      response.set_id(request.id());
      EncodeError(status, *response.mutable_error());
      continue;
    }
    call.deadline = now + (request.timeout_ms() == 0
                               ? options_.default_timeout
                               : Duration(std::chrono::milliseconds(request.timeout_ms())));
    calls.push_back(std::move(call));
    opened.push_back(std::move(open));
  }
  // As many as there is room for.
  std::size_t admitted = 0;
  {
    std::lock_guard lock(mutex_);
    const std::size_t room = options_.open_max - std::min(options_.open_max, open_.size());
    for (; admitted < std::min(room, opened.size()); ++admitted) {
      calls[admitted].id = next_++;
      open_.emplace(calls[admitted].id, std::move(opened[admitted]));
    }
  }
  for (std::size_t i = admitted; i < opened.size(); ++i) {
    v1::Response& response = *refused.add_responses();
    response.set_id(opened[i].id);
    EncodeError(Error(Reason::kOverloaded,
                      "too many requests are open on this stream: wait for answers first"),
                *response.mutable_error());
  }
  calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(admitted), calls.end());
  if (refused.responses_size() > 0) Emit(std::move(refused));
  if (!calls.empty()) gateway_->Submit(std::move(calls), shared_from_this());
}

void PipelineSession::OnAnswers(std::vector<GatewayAnswer> answers) {
  std::vector<Open> opened(answers.size());
  {
    std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const auto found = open_.find(answers[i].id);
      if (found == open_.end()) continue;
      opened[i] = std::move(found->second);
      open_.erase(found);
    }
  }
  v1::PipelineResponse batch;
  batch.mutable_responses()->Reserve(static_cast<int>(answers.size()));
  for (std::size_t i = 0; i < answers.size(); ++i) {
    GatewayAnswer& answer = answers[i];
    v1::Response& response = *batch.add_responses();
    response.set_id(opened[i].id);
    if (answer.status.ok()) answer.status = CheckAnswer(answer);
    if (!answer.status.ok()) {
      EncodeError(answer.status, *response.mutable_error());
      continue;
    }
    switch (opened[i].kind) {
      case v1::Request::kGet:
        EncodeAnswer(answer, *response.mutable_get());
        break;
      case v1::Request::kBatchGet:
        EncodeAnswer(answer, *response.mutable_batch_get());
        break;
      case v1::Request::kPut:
        EncodeAnswer(answer, *response.mutable_put());
        break;
      case v1::Request::kDelete:
        EncodeAnswer(answer, *response.mutable_delete_());
        break;
      case v1::Request::kDeleteRange:
        EncodeAnswer(answer, *response.mutable_delete_range());
        break;
      case v1::Request::kCompareAndSet:
        EncodeAnswer(answer, *response.mutable_compare_and_set());
        break;
      case v1::Request::kBatch:
        EncodeAnswer(answer, *response.mutable_batch());
        break;
      case v1::Request::kScan:
        EncodeAnswer(answer, opened[i].scan, *response.mutable_scan());
        break;
      case v1::Request::REQUEST_NOT_SET:
        break;
    }
  }
  Emit(std::move(batch));
}

void PipelineSession::Emit(v1::PipelineResponse response) {
  std::lock_guard lock(send_mutex_);
  if (send_) send_(std::move(response));
}

void PipelineSession::Close() {
  std::lock_guard lock(send_mutex_);
  send_ = nullptr;
}

std::size_t PipelineSession::open() const {
  std::lock_guard lock(mutex_);
  return open_.size();
}

}  // namespace flotilla
