#include "cmd/kvd/scan_reactor.h"

#include <algorithm>
#include <utility>

#include "cmd/kvd/rpc.h"

namespace flotilla {

// Brings one page's answer; keeps the reactor alive meanwhile.
class ScanReactor::Page final : public AnswerSink {
 public:
  explicit Page(std::shared_ptr<ScanReactor> reactor) : reactor_(std::move(reactor)) {}
  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    reactor_->OnPage(std::move(answers.front()));
  }

 private:
  const std::shared_ptr<ScanReactor> reactor_;
};

ScanReactor* ScanReactor::Start(Gateway* gateway, const v1::ScanRequest& request, MonoTime deadline,
                                RequestTimer timer) {
  const std::shared_ptr<ScanReactor> reactor(new ScanReactor(gateway, request, deadline, timer));
  reactor->self_ = reactor;
  reactor->AskForPage();
  return reactor.get();
}

ScanReactor::ScanReactor(Gateway* gateway, const v1::ScanRequest& request, MonoTime deadline,
                         RequestTimer timer)
    : gateway_(gateway),
      request_(request),
      deadline_(deadline),
      limited_(request.limit() != 0),
      rows_left_(request.limit()),
      timer_(timer) {}

void ScanReactor::AskForPage() {
  std::vector<GatewayRequest> calls(1);
  if (limited_) request_.set_limit(rows_left_);
  const Status status = DecodeRequest(request_, calls[0]);
  if (!status.ok()) {
    End(status);
    return;
  }
  scan_ = {.start = request_.start(), .end = request_.end(), .reverse = request_.reverse()};
  calls[0].deadline = deadline_;
  gateway_->Submit(std::move(calls), std::make_shared<Page>(self_));
}

void ScanReactor::OnPage(GatewayAnswer answer) {
  if (!answer.status.ok()) {
    End(answer.status);
    return;
  }
  page_.Clear();
  EncodeAnswer(answer, scan_, page_);
  rows_left_ -= std::min(rows_left_, static_cast<std::uint64_t>(page_.rows_size()));
  StartWrite(&page_);
}

void ScanReactor::OnWriteDone(bool ok) {
  if (!ok) {
    End(Error(Reason::kCancelled, "the client has gone"));
  } else if (page_.continuation_token().empty() || (limited_ && rows_left_ == 0)) {
    End(absl::OkStatus());
  } else {
    request_.set_continuation_token(page_.continuation_token());
    AskForPage();
  }
}

void ScanReactor::End(const Status& status) {
  timer_.Done(status);
  Finish(ToGrpc(status));
}

}  // namespace flotilla
