#include "cmd/kvd/transact_session.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "cmd/kvd/api_codec.h"

namespace flotilla {
namespace {

constexpr std::size_t kSmall = 64;

bool IsRead(const v1::TxnRequest& request) {
  return request.has_get() || request.has_batch_get() || request.has_scan();
}

// What it finds others are to see.
bool Locks(const v1::TxnRequest& request) {
  return request.get().has_lock() || request.batch_get().has_lock() || request.scan().has_lock();
}

// The transaction lacks something after it has failed.
bool Changes(const v1::TxnRequest& request) {
  return request.has_begin() || request.has_put() || request.has_delete_() ||
         request.has_set_savepoint() || request.has_roll_back_to();
}

std::size_t BytesOfRequest(const v1::TxnRequest& request) {
  switch (request.request_case()) {
    case v1::TxnRequest::kPut:
      return kSmall + request.put().key().size() + request.put().value().size();
    case v1::TxnRequest::kGet:
      return kSmall + request.get().key().size();
    default:
      return kSmall + request.ByteSizeLong();
  }
}

Status NotOpen(std::uint64_t number) {
  return Error(
      Reason::kTxnNotFound,
      fmt::format("no transaction {} is open on this stream: it was not begun here, or has "
                  "ended",
                  number));
}

Status TooMuch() {
  return Error(Reason::kOverloaded,
               "too much is open on this stream: wait for answers, or end transactions, first");
}

v1::TxnResponse Done() {
  v1::TxnResponse response;
  response.mutable_done();
  return response;
}

}  // namespace

TransactSession::TransactSession(const Options& options, Transactions* transactions,
                                 Gateway* gateway, const Clock* clock, Send send)
    : options_(options),
      transactions_(transactions),
      gateway_(gateway),
      clock_(clock),
      send_(std::move(send)) {}

std::size_t TransactSession::BytesOf(const v1::TxnResponse& response) {
  switch (response.response_case()) {
    case v1::TxnResponse::kGet:
      return kSmall + response.get().value().size();
    case v1::TxnResponse::kBatchGet:
    case v1::TxnResponse::kScan:
    case v1::TxnResponse::kError:
      return kSmall + response.ByteSizeLong();
    default:
      return kSmall;
  }
}

// ---- the order of things ----------------------------------------------------------------------

void TransactSession::OnRequests(v1::TransactRequest& batch) {
  if (batch.requests().empty()) {
    v1::TransactResponse answer;
    // Never zero, which would be nothing.
    answer.set_timestamp(std::max<std::uint64_t>(gateway_->Newest().value(), 1));
    Emit(std::move(answer));
    return;
  }
  const MonoTime now = clock_->Now();
  {
    std::lock_guard lock(mutex_);
    taking_in_ = true;
  }
  for (v1::TxnRequest& request : *batch.mutable_requests()) TakeIn(request, now);
  v1::TransactResponse answers;
  {
    std::lock_guard lock(mutex_);
    taking_in_ = false;
    for (const LanePtr& lane : std::exchange(settled_, {})) {
      if (!lane->idle()) continue;
      for (v1::TxnResponse& response : *lane->unsent.mutable_responses()) {
        answers.add_responses()->Swap(&response);
      }
      lane->unsent.Clear();
    }
  }
  if (answers.responses_size() > 0) Emit(std::move(answers));
}

void TransactSession::TakeIn(v1::TxnRequest& request, MonoTime now) {
  const std::uint64_t id = request.id();
  const std::uint64_t number = request.transaction();
  if (request.request_case() == v1::TxnRequest::REQUEST_NOT_SET) {
    Refuse(id, Error(Reason::kUnimplemented,
                     "this version of the server does not know the request: update the server"));
    return;
  }
  Step step;
  step.deadline =
      now + (request.timeout_ms() == 0 ? options_.default_timeout
                                       : Duration(std::chrono::milliseconds(request.timeout_ms())));
  step.bytes = BytesOfRequest(request);
  Status refused;
  bool nothing_to_do = false;
  Lock lock(mutex_);
  const auto found = lanes_.find(number);
  LanePtr lane = found == lanes_.end() ? nullptr : found->second;
  const bool full = requests_ >= options_.requests_max || bytes_ + step.bytes > options_.bytes_max;
  if (lane != nullptr) {
    if (lane->refusing || full) {
      refused = TooMuch();
      // What follows must not take effect without this one.
      if (!IsRead(request)) lane->refusing = true;
    }
  } else if (request.has_roll_back()) {
    nothing_to_do = true;
  } else if (!request.has_begin()) {
    refused = NotOpen(number);
  } else if (full || lanes_.size() >= options_.transactions_max) {
    refused = TooMuch();
  } else {
    lane = std::make_shared<Lane>();
    lanes_.emplace(number, lane);
  }
  if (!refused.ok()) {
    lock.unlock();
    Refuse(id, refused);
    return;
  }
  if (nothing_to_do) {
    lock.unlock();
    v1::TransactResponse response;
    *response.add_responses() = Done();
    response.mutable_responses(0)->set_id(id);
    Emit(std::move(response));
    return;
  }
  ++requests_;
  bytes_ += step.bytes;
  step.request.Swap(&request);
  lane->waiting.push_back(std::move(step));
  Advance(number, lane, lock);
}

bool TransactSession::MayStart(const Lane& lane, const Step& step) {
  if (lane.alone) return false;
  if (lane.reads == 0) return true;
  return lane.reads_together && IsRead(step.request) && !Locks(step.request);
}

void TransactSession::Advance(std::uint64_t number, const LanePtr& lane, Lock& lock) {
  if (lane->advancing) return;
  lane->advancing = true;
  while (!closed_ && !lane->waiting.empty() && MayStart(*lane, lane->waiting.front())) {
    auto step = std::make_shared<Step>(std::move(lane->waiting.front()));
    lane->waiting.pop_front();
    if (IsRead(step->request) && !Locks(step->request)) {
      ++lane->reads;
    } else {
      lane->alone = true;
    }
    lock.unlock();
    if (step->request.has_begin()) {
      Begin(lane, step);
    } else {
      Run(lane, step);
    }
    lock.lock();
  }
  lane->advancing = false;
  EmitOf(lane, lock);
  if (!lane->idle()) return;
  if (lane->refusing) {
    lane->refusing = false;
    if (lane->txn != nullptr) lane->failed = TooMuch();
  }
  if (lane->txn == nullptr) {
    const auto found = lanes_.find(number);
    if (found != lanes_.end() && found->second == lane) lanes_.erase(found);
  }
}

void TransactSession::Finish(const LanePtr& lane, const Step& step, v1::TxnResponse response) {
  const bool read = IsRead(step.request) && !Locks(step.request);
  const std::uint64_t number = step.request.transaction();
  response.set_id(step.request.id());
  Lock lock(mutex_);
  if (!response.has_begun() && !response.has_done()) lane->urgent = true;
  lane->unsent.add_responses()->Swap(&response);
  --requests_;
  bytes_ -= step.bytes;
  if (read) {
    --lane->reads;
  } else {
    lane->alone = false;
  }
  Advance(number, lane, lock);
}

void TransactSession::EmitOf(const LanePtr& lane, Lock& lock) {
  if (lane->unsent.responses().empty()) return;
  if (!lane->urgent) {
    if (!lane->idle()) return;
    if (taking_in_) {
      settled_.push_back(lane);
      return;
    }
  }
  lane->urgent = false;
  v1::TransactResponse answers;
  answers.Swap(&lane->unsent);
  lock.unlock();
  Emit(std::move(answers));
  lock.lock();
}

void TransactSession::Finish(const LanePtr& lane, const Step& step, const Status& status) {
  if (status.ok()) {
    Finish(lane, step, Done());
    return;
  }
  if (Changes(step.request)) MarkFailed(lane, status);
  v1::TxnResponse response;
  EncodeError(status, *response.mutable_error());
  Finish(lane, step, std::move(response));
}

void TransactSession::MarkFailed(const LanePtr& lane, const Status& status) {
  std::lock_guard lock(mutex_);
  if (lane->failed.ok()) lane->failed = status;
}

void TransactSession::Refuse(std::uint64_t id, const Status& status) {
  v1::TransactResponse message;
  v1::TxnResponse& response = *message.add_responses();
  response.set_id(id);
  EncodeError(status, *response.mutable_error());
  Emit(std::move(message));
}

void TransactSession::Emit(v1::TransactResponse response) {
  std::lock_guard lock(send_mutex_);
  if (send_) send_(std::move(response));
}

void TransactSession::Close() {
  {
    std::lock_guard lock(send_mutex_);
    send_ = nullptr;
  }
  std::unordered_map<std::uint64_t, LanePtr> lanes;
  std::vector<std::shared_ptr<Transaction>> open;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    lanes = std::exchange(lanes_, {});
    for (const auto& [number, lane] : lanes) {
      lane->waiting.clear();
      // One that is being committed has been taken out of its lane.
      if (lane->txn != nullptr) open.push_back(std::exchange(lane->txn, nullptr));
    }
  }
  for (const auto& txn : open) txn->RollBack();
}

std::size_t TransactSession::open() const {
  std::lock_guard lock(mutex_);
  return lanes_.size();
}

// ---- the steps --------------------------------------------------------------------------------

template <class Decode, class Then>
void TransactSession::Decoded(const std::shared_ptr<Step>& step, Decode decode, Then then) {
  using Result = std::invoke_result_t<Decode, KeyspaceNames&>;
  auto result = std::make_shared<Result>(Error(Reason::kInternal, "not decoded"));
  DecodeOrRefresh(
      *gateway_, step->deadline,
      [self = shared_from_this(), result, decode = std::move(decode)] {
        KeyspaceNames names(self->gateway_);
        *result = decode(names);
        return result->status();
      },
      [result, then = std::move(then)](const Status& status) mutable {
        if (status.ok()) {
          then(std::move(*result));
        } else {
          then(Result(status));
        }
      });
}

void TransactSession::Begin(const LanePtr& lane, const std::shared_ptr<Step>& step) {
  bool in_use = false;
  {
    std::lock_guard lock(mutex_);
    in_use = lane->txn != nullptr;
  }
  if (in_use) {
    Finish(lane, *step,
           Error(Reason::kBadRequest,
                 fmt::format("transaction {} of this stream is open already: end it first, or "
                             "choose another number",
                             step->request.transaction())));
    return;
  }
  Decoded(
      step, [step](KeyspaceNames& names) { return Decode(step->request.begin(), names); },
      [self = shared_from_this(), lane, step](const StatusOr<DecodedBegin>& decoded) {
        if (!decoded.ok()) {
          self->Finish(lane, *step, decoded.status());
          return;
        }
        self->transactions_->Begin(decoded->options, step->deadline,
                                   [self, lane, step, begin = *decoded](
                                       const StatusOr<std::shared_ptr<Transaction>>& begun) {
                                     self->Begun(lane, step, begin, begun);
                                   });
      });
}

void TransactSession::Begun(const LanePtr& lane, const std::shared_ptr<Step>& step,
                            const DecodedBegin& decoded,
                            const StatusOr<std::shared_ptr<Transaction>>& begun) {
  if (!begun.ok()) {
    Finish(lane, *step, begun.status());
    return;
  }
  bool closed = false;
  {
    std::lock_guard lock(mutex_);
    closed = closed_;
    if (!closed) lane->txn = *begun;
    lane->failed = absl::OkStatus();
    lane->keyspace = decoded.keyspace;
    // At the lower levels each reads as of another moment, which must not run backwards.
    lane->reads_together =
        decoded.options.read_only || decoded.options.isolation >= kv::Isolation::kRepeatableRead;
  }
  if (closed) (*begun)->RollBack();
  v1::TxnResponse response;
  response.mutable_begun()->set_transaction_id((*begun)->id().value());
  response.mutable_begun()->set_read_timestamp((*begun)->start().value());
  Finish(lane, *step, std::move(response));
}

void TransactSession::Run(const LanePtr& lane, const std::shared_ptr<Step>& step) {
  const v1::TxnRequest& request = step->request;
  const bool ends = request.has_commit() || request.has_roll_back();
  Status refused;
  {
    std::lock_guard lock(mutex_);
    step->txn = ends ? std::exchange(lane->txn, nullptr) : lane->txn;
    const bool mends = request.has_roll_back_to() && step->txn != nullptr;
    if (!mends) refused = lane->failed;
    if (refused.ok() && step->txn == nullptr) refused = NotOpen(request.transaction());
    if (ends) lane->failed = absl::OkStatus();
  }
  if (request.has_roll_back()) {
    if (step->txn != nullptr) step->txn->RollBack();
    Finish(lane, *step, absl::OkStatus());
    return;
  }
  if (!refused.ok()) {
    // A commit ends it even so.
    if (ends && step->txn != nullptr) step->txn->RollBack();
    Finish(lane, *step, refused);
    return;
  }
  switch (request.request_case()) {
    case v1::TxnRequest::kGet:
    case v1::TxnRequest::kBatchGet:
      return Get(lane, step);
    case v1::TxnRequest::kScan:
      return Scan(lane, step);
    case v1::TxnRequest::kPut:
    case v1::TxnRequest::kDelete:
      return Write(lane, step);
    case v1::TxnRequest::kCommit:
      return Commit(lane, step);
    default:
      return Savepoint(lane, step);
  }
}

void TransactSession::Get(const LanePtr& lane, const std::shared_ptr<Step>& step) {
  Decoded(
      step,
      [lane, step](KeyspaceNames& names) {
        return step->request.has_get()
                   ? Decode(*step->request.mutable_get(), lane->keyspace, names)
                   : Decode(*step->request.mutable_batch_get(), lane->keyspace, names);
      },
      [self = shared_from_this(), lane, step](StatusOr<DecodedGet> decoded) {
        if (!decoded.ok()) return self->Finish(lane, *step, decoded.status());
        step->txn->Get(decoded->keyspace, std::move(decoded->keys), decoded->lock, step->deadline,
                       [self, lane, step](StatusOr<std::vector<kv::GetResult>> got) {
                         Status status = got.ok() ? CheckResults(*got) : got.status();
                         if (!status.ok()) return self->Finish(lane, *step, status);
                         v1::TxnResponse response;
                         if (step->request.has_get()) {
                           EncodeResult(got->front(), *response.mutable_get());
                         } else {
                           v1::TxnGetResults& all = *response.mutable_batch_get();
                           for (kv::GetResult& one : *got) EncodeResult(one, *all.add_results());
                         }
                         self->Finish(lane, *step, std::move(response));
                       });
      });
}

void TransactSession::Scan(const LanePtr& lane, const std::shared_ptr<Step>& step) {
  Decoded(
      step,
      [lane, step](KeyspaceNames& names) {
        return Decode(*step->request.mutable_scan(), lane->keyspace, step->txn->id(), names);
      },
      [self = shared_from_this(), lane, step](StatusOr<DecodedScan> decoded) {
        if (!decoded.ok()) return self->Finish(lane, *step, decoded.status());
        step->txn->Scan(
            std::move(decoded->request), decoded->lock, step->deadline,
            [self, lane, step, token = std::move(decoded->token)](StatusOr<kv::ScanPage> page) {
              if (!page.ok()) return self->Finish(lane, *step, page.status());
              v1::TxnResponse response;
              EncodeRows(page->rows, *response.mutable_scan()->mutable_rows());
              if (page->more) {
                response.mutable_scan()->set_continuation_token(
                    EncodeScanToken(token, page->resume_key));
              }
              self->Finish(lane, *step, std::move(response));
            });
      });
}

void TransactSession::Write(const LanePtr& lane, const std::shared_ptr<Step>& step) {
  Decoded(
      step,
      [lane, step](KeyspaceNames& names) {
        return step->request.has_put()
                   ? Decode(*step->request.mutable_put(), lane->keyspace, names)
                   : Decode(*step->request.mutable_delete_(), lane->keyspace, names);
      },
      [self = shared_from_this(), lane, step](StatusOr<TxnMutation> decoded) {
        if (!decoded.ok()) return self->Finish(lane, *step, decoded.status());
        std::vector<TxnMutation> mutations;
        mutations.push_back(*std::move(decoded));
        step->txn->Write(
            std::move(mutations), step->deadline,
            [self, lane, step](const Status& status) { self->Finish(lane, *step, status); });
      });
}

void TransactSession::Savepoint(const LanePtr& lane, const std::shared_ptr<Step>& step) {
  const v1::TxnRequest& request = step->request;
  const bool sets = request.has_set_savepoint();
  const std::string& name = sets ? request.set_savepoint().name() : request.roll_back_to().name();
  Status status = CheckSavepoint(name);
  if (status.ok()) status = sets ? step->txn->SetSavepoint(name) : step->txn->RollBackTo(name);
  if (status.ok()) {
    std::lock_guard lock(mutex_);
    lane->failed = absl::OkStatus();
  }
  Finish(lane, *step, status);
}

void TransactSession::Commit(const LanePtr& lane, const std::shared_ptr<Step>& step) {
  step->txn->Commit(step->deadline,
                    [self = shared_from_this(), lane, step](const StatusOr<Timestamp>& end) {
                      if (!end.ok()) {
                        step->txn->RollBack();
                        return self->Finish(lane, *step, end.status());
                      }
                      v1::TxnResponse response;
                      response.mutable_committed()->set_timestamp(end->value());
                      self->Finish(lane, *step, std::move(response));
                    });
}

}  // namespace flotilla
