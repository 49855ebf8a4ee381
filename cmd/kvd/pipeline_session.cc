#include "cmd/kvd/pipeline_session.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace flotilla {
namespace {

Status TooManyOpen() {
  return Error(Reason::kOverloaded,
               "too many requests are open on this stream: wait for answers first");
}

}  // namespace

PipelineSession::PipelineSession(const Options& options, Gateway* gateway, const Clock* clock,
                                 Send send)
    : options_(options), gateway_(gateway), clock_(clock), send_(std::move(send)) {}

std::size_t PipelineSession::BytesOf(const v1::Response& response) {
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

Status PipelineSession::Decode(v1::Request& request, KeyspaceNames& names, GatewayRequest& call,
                               Open& open) {
  switch (request.request_case()) {
    case v1::Request::kGet:
      return DecodeRequest(*request.mutable_get(), names, call);
    case v1::Request::kBatchGet:
      return DecodeRequest(*request.mutable_batch_get(), names, call);
    case v1::Request::kPut:
      return DecodeRequest(*request.mutable_put(), names, call);
    case v1::Request::kDelete:
      return DecodeRequest(*request.mutable_delete_(), names, call);
    case v1::Request::kDeleteRange:
      return DecodeRequest(*request.mutable_delete_range(), names, call);
    case v1::Request::kCompareAndSet:
      return DecodeRequest(*request.mutable_compare_and_set(), names, call);
    case v1::Request::kBatch:
      return DecodeRequest(*request.mutable_batch(), names, call);
    case v1::Request::kScan: {
      v1::ScanRequest& scan = *request.mutable_scan();
      RETURN_IF_ERROR(DecodeRequest(scan, names, call));
      open.scan = TokenOf(scan, std::get<ScanCall>(call.call).request.keyspace);
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
  Intake intake;
  intake.calls.reserve(static_cast<std::size_t>(batch.requests_size()));
  intake.opened.reserve(static_cast<std::size_t>(batch.requests_size()));
  KeyspaceNames names(gateway_);
  for (v1::Request& request : *batch.mutable_requests()) {
    const MonoTime deadline =
        now + (request.timeout_ms() == 0
                   ? options_.default_timeout
                   : Duration(std::chrono::milliseconds(request.timeout_ms())));
    TakeIn(request, deadline, names, intake);
  }
  std::vector<Held> unknown = std::move(intake.unknown);
  Admit(std::move(intake));
  if (!unknown.empty()) Hold(std::move(unknown));
}

void PipelineSession::Refuse(std::uint64_t id, const Status& status, Intake& intake) {
  v1::Response& response = *intake.refused.add_responses();
  response.set_id(id);
  EncodeError(status, *response.mutable_error());
}

void PipelineSession::TakeIn(v1::Request& request, MonoTime deadline, KeyspaceNames& names,
                             Intake& intake) {
  GatewayRequest call;
  Open open{.id = request.id(), .kind = request.request_case(), .scan = {}};
  const Status status = Decode(request, names, call, open);
  if (ReasonOf(status) == Reason::kKeyspaceNotFound) {
    intake.unknown.push_back({std::move(request), deadline, status});
  } else if (!status.ok()) {
    Refuse(open.id, status, intake);
  } else {
    call.deadline = deadline;
    intake.calls.push_back(std::move(call));
    intake.opened.push_back(std::move(open));
  }
}

void PipelineSession::Admit(Intake intake) {
  std::vector<GatewayRequest>& calls = intake.calls;
  std::size_t admitted = 0;
  {
    std::lock_guard lock(mutex_);
    const std::size_t taken = open_.size() + held_;
    const std::size_t room = options_.open_max - std::min(options_.open_max, taken);
    for (; admitted < std::min(room, calls.size()); ++admitted) {
      calls[admitted].id = next_++;
      open_.emplace(calls[admitted].id, std::move(intake.opened[admitted]));
    }
  }
  for (std::size_t i = admitted; i < calls.size(); ++i) {
    Refuse(intake.opened[i].id, TooManyOpen(), intake);
  }
  calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(admitted), calls.end());
  if (intake.refused.responses_size() > 0) Emit(std::move(intake.refused));
  if (!calls.empty()) gateway_->Submit(std::move(calls), shared_from_this());
}

void PipelineSession::Hold(std::vector<Held> unknown) {
  std::size_t kept = 0;
  {
    std::lock_guard lock(mutex_);
    const std::size_t taken = open_.size() + held_;
    kept = std::min(options_.open_max - std::min(options_.open_max, taken), unknown.size());
    held_ += kept;
  }
  Intake refused;
  for (std::size_t i = kept; i < unknown.size(); ++i) {
    Refuse(unknown[i].request.id(), TooManyOpen(), refused);
  }
  Admit(std::move(refused));
  unknown.erase(unknown.begin() + static_cast<std::ptrdiff_t>(kept), unknown.end());
  if (unknown.empty()) return;
  MonoTime deadline = MonoTime::min();
  for (const Held& held : unknown) deadline = std::max(deadline, held.deadline);
  auto shared = std::make_shared<std::vector<Held>>(std::move(unknown));
  gateway_->RefreshKeyspaces(deadline,
                             [self = shared_from_this(), shared](const Status& refreshed) {
                               self->Release(*shared, refreshed);
                             });
}

void PipelineSession::Release(std::vector<Held>& held, const Status& refreshed) {
  {
    std::lock_guard lock(mutex_);
    held_ -= held.size();
  }
  Intake intake;
  KeyspaceNames names(gateway_);
  for (Held& one : held) {
    const std::uint64_t id = one.request.id();
    if (!refreshed.ok()) {
      Refuse(id, refreshed, intake);
    } else {
      TakeIn(one.request, one.deadline, names, intake);
    }
  }
  // There really are none of these names.
  for (Held& one : std::exchange(intake.unknown, {})) {
    Refuse(one.request.id(), one.error, intake);
  }
  Admit(std::move(intake));
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
