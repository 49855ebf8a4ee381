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
  if (limited_) request_.set_limit(rows_left_);
  auto calls = std::make_shared<std::vector<GatewayRequest>>(1);
  calls->front().deadline = deadline_;
  const auto decode = [this, calls] {
    KeyspaceNames names(gateway_);
    return DecodeRequest(request_, names, calls->front());
  };
  DecodeOrRefresh(*gateway_, deadline_, decode, [self = self_, calls](const Status& status) {
    if (!status.ok()) {
      self->End(status);
      return;
    }
    const kv::KeyspaceId keyspace = std::get<ScanCall>(calls->front().call).request.keyspace;
    self->scan_ = TokenOf(self->request_, keyspace);
    self->gateway_->Submit(std::move(*calls), std::make_shared<Page>(self));
  });
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
