// BatchReactor: the gRPC side of a session whose messages carry many requests, or many answers.
//
// Answers that become ready while a write is under way go out together in the next ones, in
// messages of about a mebibyte: large answers together would exceed what one message may have. A
// client that does not read its answers is not read from either.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "base/turn.h"
#include "cmd/kvd/metrics.h"

namespace flotilla {

// Of a PipelineSession, or a TransactSession.
template <class Session>
class BatchReactor final
    : public grpc::ServerBidiReactor<typename Session::Incoming, typename Session::Outgoing> {
 public:
  using Incoming = typename Session::Incoming;
  using Outgoing = typename Session::Outgoing;

  // `make` gets the session's way to send, and gives the session. Lives until gRPC is done with it.
  template <class Make>
  static BatchReactor* Start(RequestMetrics* metrics, Make make) {
    auto* const reactor = new BatchReactor(metrics);
    reactor->session_ = make([reactor](Outgoing response) { reactor->Send(std::move(response)); });
    reactor->StartRead(&reactor->request_);
    return reactor;
  }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  // The stream has broken: nobody waits for the answers that are owed.
  void OnCancel() override;
  void OnDone() override;

 private:
  // A message stops growing here; a single larger answer still goes.
  static constexpr std::size_t kMessageBytesMax = 1 << 20;
  // With more than this unwritten, no further requests are read.
  static constexpr std::size_t kUnwrittenBytesMax = 16 << 20;

  explicit BatchReactor(RequestMetrics* metrics) : metrics_(metrics) {}

  void Send(Outgoing response);
  // Without the lock.
  void WriteGathered();
  // With the lock held.
  void Add(Outgoing& response, std::size_t bytes);
  void WriteNext();
  void FinishIfDrained();

  RequestMetrics* const metrics_;
  std::shared_ptr<Session> session_;
  Incoming request_;

  std::mutex mutex_;
  struct Message {
    Outgoing message;
    std::size_t bytes = 0;
  };
  std::deque<Message> outgoing_;  // the front one is under way if any is
  std::size_t outgoing_bytes_ = 0;
  // Requests that were read and whose answers were not given to Send() yet.
  std::size_t unanswered_ = 0;
  bool write_under_way_ = false;
  bool gathering_ = false;   // a write begins when a turn of some thread ends
  bool read_waits_ = false;  // for the client to take its answers
  bool input_ended_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

template <class Session>
void BatchReactor<Session>::OnReadDone(bool ok) {
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
  read_waits_ = outgoing_bytes_ > kUnwrittenBytesMax;
  if (!read_waits_ && !finished_) this->StartRead(&request_);
}

template <class Session>
void BatchReactor<Session>::Send(Outgoing response) {
  std::size_t bytes = 0;
  for (const auto& one : response.responses()) bytes += Session::BytesOf(one);
  std::unique_lock lock(mutex_);
  unanswered_ -= static_cast<std::size_t>(response.responses_size());
  if (finished_) return;
  if (bytes <= kMessageBytesMax || response.responses_size() == 1) {
    Add(response, bytes);
  } else {
    for (auto& one : *response.mutable_responses()) {
      Outgoing alone;
      bytes = Session::BytesOf(one);
      alone.add_responses()->Swap(&one);
      Add(alone, bytes);
    }
  }
  if (write_under_way_ || std::exchange(gathering_, true)) return;
  lock.unlock();
  GatheringTurn::AtEnd([this] { WriteGathered(); });
}

// This object is there still: it does not finish while it gathers.
template <class Session>
void BatchReactor<Session>::WriteGathered() {
  std::lock_guard lock(mutex_);
  gathering_ = false;
  if (!write_under_way_) WriteNext();
}

template <class Session>
void BatchReactor<Session>::Add(Outgoing& response, std::size_t bytes) {
  outgoing_bytes_ += bytes;
  // The front one belongs to gRPC while it is under way.
  const bool open = outgoing_.size() > (write_under_way_ ? 1 : 0);
  if (!open || outgoing_.back().bytes + bytes > kMessageBytesMax) {
    Message& next = outgoing_.emplace_back();
    next.message.Swap(&response);
    next.bytes = bytes;
    return;
  }
  Message& last = outgoing_.back();
  last.bytes += bytes;
  if (response.timestamp() != 0) last.message.set_timestamp(response.timestamp());
  for (auto& one : *response.mutable_responses()) {
    last.message.add_responses()->Swap(&one);
  }
}

template <class Session>
void BatchReactor<Session>::WriteNext() {
  if (cancelled_ || outgoing_.empty()) {
    FinishIfDrained();
    return;
  }
  write_under_way_ = true;
  this->StartWrite(&outgoing_.front().message);
}

template <class Session>
void BatchReactor<Session>::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  write_under_way_ = false;
  if (!ok) {
    input_ended_ = true;
    outgoing_.clear();
    if (!finished_) {
      finished_ = true;
      this->Finish({grpc::StatusCode::CANCELLED, "the client has gone"});
    }
    return;
  }
  outgoing_bytes_ -= outgoing_.front().bytes;
  outgoing_.pop_front();
  if (read_waits_ && outgoing_bytes_ <= kUnwrittenBytesMax) {
    read_waits_ = false;
    this->StartRead(&request_);
  }
  WriteNext();
}

template <class Session>
void BatchReactor<Session>::OnCancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  FinishIfDrained();
}

template <class Session>
void BatchReactor<Session>::FinishIfDrained() {
  if (finished_ || write_under_way_ || gathering_) return;
  if (cancelled_) {
    finished_ = true;
    this->Finish({grpc::StatusCode::CANCELLED, "the client has gone"});
  } else if (input_ended_ && unanswered_ == 0) {
    finished_ = true;
    this->Finish(grpc::Status::OK);
  }
}

template <class Session>
void BatchReactor<Session>::OnDone() {
  {
    const std::lock_guard wait(mutex_);  // for whoever has finished it
  }
  session_->Close();
  delete this;
}

}  // namespace flotilla
