#include "client/transaction.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "client/transactor.h"
#include "client/waiter.h"
#include "client/wire.h"

namespace flotilla::client {
namespace {

// Writes are kept back up to here.
constexpr std::size_t kHeldBytesMax = 1 << 20;
constexpr std::size_t kHeldCallsMax = 1'000;

constexpr auto kBounded = Transactor::Admission::kBounded;
constexpr auto kAlways = Transactor::Admission::kAlways;

v1::Isolation ToWire(Isolation isolation) {
  switch (isolation) {
    case Isolation::kReadUncommitted:
      return v1::ISOLATION_READ_UNCOMMITTED;
    case Isolation::kReadCommitted:
      return v1::ISOLATION_READ_COMMITTED;
    case Isolation::kRepeatableRead:
      return v1::ISOLATION_REPEATABLE_READ;
    case Isolation::kSerializable:
      break;
  }
  return v1::ISOLATION_SERIALIZABLE;
}

void ToDuration(Duration from, google::protobuf::Duration& to) {
  to.set_seconds(from.count() / 1'000'000'000);
  to.set_nanos(static_cast<std::int32_t>(from.count() % 1'000'000'000));
}

template <class Request>
void SetKeyspace(const TxnCallOptions& options, Request& request) {
  if (options.keyspace) request.set_keyspace(*options.keyspace);
}

template <class Request>
void SetLock(const TxnCallOptions& options, Request& request) {
  if (!options.lock) return;
  v1::TxnLock& lock = *request.mutable_lock();
  lock.set_strength(options.lock->share ? v1::LOCK_STRENGTH_SHARE : v1::LOCK_STRENGTH_UPDATE);
  switch (options.lock->patience) {
    case TxnLock::Patience::kWait:
      lock.set_patience(v1::LOCK_PATIENCE_WAIT);
      break;
    case TxnLock::Patience::kNoWait:
      lock.set_patience(v1::LOCK_PATIENCE_NO_WAIT);
      break;
    case TxnLock::Patience::kSkipLocked:
      lock.set_patience(v1::LOCK_PATIENCE_SKIP_LOCKED);
      break;
  }
  if (options.lock->timeout > Duration(0))
    ToDuration(options.lock->timeout, *lock.mutable_timeout());
}

std::uint32_t PageRows(const ScanOptions& range) {
  const std::uint32_t page = std::clamp<std::uint32_t>(range.page_size, 1, 10'000);
  return range.limit == 0 ? page
                          : static_cast<std::uint32_t>(std::min<std::uint64_t>(page, range.limit));
}

Status Ended() { return Error(Reason::kBadRequest, "the transaction has ended: begin another"); }

Status Unfit() {
  return Error(Reason::kInternal, "the node's answer does not fit the request: update one of them");
}

}  // namespace

// Outlives the handle while calls are on their way.
class Transaction::State : public std::enable_shared_from_this<State> {
 public:
  State(std::shared_ptr<Transactor> transactor, const std::string& client_keyspace,
        const TransactionOptions& options)
      : transactor_(std::move(transactor)),
        seat_(transactor_->NewSeat()),
        held_bytes_max_(options.locking == Locking::kPessimistic ? 0 : kHeldBytesMax),
        deadline_(transactor_->Now() + options.timeout) {
    v1::TxnBegin& begin = *begin_.mutable_begin();
    begin.set_keyspace(options.keyspace.empty() ? client_keyspace : options.keyspace);
    begin.set_isolation(ToWire(options.isolation));
    begin.set_read_only(options.read_only);
    begin.set_read_timestamp(options.read_timestamp.value());
    ToDuration(options.timeout, *begin.mutable_timeout());
    if (options.locking == Locking::kPessimistic) begin.set_locking(v1::LOCKING_PESSIMISTIC);
    if (options.lock_timeout > Duration(0)) {
      ToDuration(options.lock_timeout, *begin.mutable_lock_timeout());
    }
    begin.set_first_transaction_id(options.first_try);
  }

  // `decode` gets the response and the result to fill in; false: it does not fit.
  template <class T, class Decode>
  void Read(v1::TxnRequest request, const TxnCallOptions& options, Transactor::Admission admission,
            Callback<T> done, Decode decode) {
    Status refused;
    Transactor::Calls calls;
    {
      std::lock_guard lock(mutex_);
      refused = ended_ ? Ended() : failed_;
      if (refused.ok()) calls = TakeHeld();
    }
    if (!refused.ok()) return done(std::move(refused));
    const Duration timeout =
        options.timeout > Duration(0) ? options.timeout : transactor_->options().timeout;
    auto call = std::make_unique<TxnCall>();
    call->request = std::move(request);
    call->deadline = std::min(deadline_, transactor_->Now() + timeout);
    call->done = [self = shared_from_this(), done = std::move(done), decode = std::move(decode)](
                     const Status& status, v1::TxnResponse* got) mutable {
      if (!status.ok()) return done(self->Explain(status));
      T result{};
      if (decode(*got, result)) {
        done(std::move(result));
      } else {
        done(Unfit());
      }
    };
    calls.push_back(std::move(call));
    transactor_->Send(seat_, std::move(calls), admission);
  }

  // Holds it back.
  Status Write(v1::TxnRequest request, std::size_t bytes) {
    Transactor::Calls calls;
    {
      std::lock_guard lock(mutex_);
      if (ended_) return Ended();
      if (!failed_.ok() && !request.has_roll_back_to()) return failed_;
      // What it mends has failed: so may what is sent before the node says that it is whole again.
      const bool mends = request.has_roll_back_to();
      if (mends) failed_ = absl::OkStatus();
      if (!mends && !request.has_set_savepoint()) wrote_ = true;
      ++unanswered_;
      auto call = std::make_unique<TxnCall>();
      call->request = std::move(request);
      call->deadline = deadline_;
      call->done = [self = shared_from_this(), mends](const Status& status, v1::TxnResponse*) {
        self->OnTaken(status, mends);
      };
      if (held_.empty()) held_bytes_ = 0;
      held_bytes_ += bytes;
      held_.push_back(std::move(call));
      if (held_bytes_ < held_bytes_max_ && held_.size() < kHeldCallsMax) return absl::OkStatus();
      calls = TakeHeld();
    }
    transactor_->Send(seat_, std::move(calls), kAlways);
    return absl::OkStatus();
  }

  void Flush(UniqueFunction<void(Status)> done) {
    Transactor::Calls calls;
    Status known;
    {
      std::lock_guard lock(mutex_);
      known = ended_ ? Ended() : failed_;
      if (!ended_) calls = TakeHeld();
      if (!ended_ && unanswered_ > 0) flushes_.push_back(std::exchange(done, nullptr));
    }
    if (done) done(std::move(known));
    if (!calls.empty()) transactor_->Send(seat_, std::move(calls), kAlways);
  }

  void Commit(Transactor::Admission admission, Callback<Timestamp> done) {
    Status refused;
    Transactor::Calls calls;
    bool wrote = false;
    {
      std::lock_guard lock(mutex_);
      refused = ended_ ? Ended() : failed_;
      if (refused.ok()) {
        calls = TakeHeld();
        ended_ = true;
        wrote = wrote_;
      }
    }
    if (!refused.ok()) {
      RollBack();
      return done(std::move(refused));
    }
    auto call = std::make_unique<TxnCall>();
    call->request.mutable_commit();
    call->deadline = std::min(deadline_, transactor_->Now() + transactor_->options().timeout);
    call->perhaps = wrote;
    call->done = [self = shared_from_this(), done = std::move(done)](const Status& status,
                                                                     v1::TxnResponse* got) mutable {
      if (status.ok() && got->has_committed()) {
        done(Timestamp(got->committed().timestamp()));
        return;
      }
      // Perhaps it never left; what it did, it has done.
      const Reason reason = ReasonOf(status);
      if (reason == Reason::kDeadlineExceeded || reason == Reason::kOverloaded) {
        self->SendRollBack();
      }
      done(status.ok() ? Unfit() : self->Explain(status));
    };
    calls.push_back(std::move(call));
    transactor_->Send(seat_, std::move(calls), admission);
  }

  void RollBack() {
    bool there = false;
    Transactor::Calls unsent;  // each holds this object
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
      there = begun_;
      unsent = std::exchange(held_, {});
      unanswered_ -= unsent.size();
    }
    if (there) SendRollBack();
  }

  std::uint64_t id() const {
    std::lock_guard lock(mutex_);
    return id_;
  }

 private:
  // With the lock held: what was held back, after the beginning if it is still to come.
  Transactor::Calls TakeHeld() {
    Transactor::Calls calls;
    if (!std::exchange(begun_, true)) {
      auto call = std::make_unique<TxnCall>();
      call->request.Swap(&begin_);
      call->deadline = deadline_;
      ++unanswered_;
      call->done = [self = shared_from_this()](const Status& status, v1::TxnResponse* got) {
        if (got != nullptr && got->has_begun()) {
          std::lock_guard lock(self->mutex_);
          self->id_ = got->begun().transaction_id();
        }
        self->OnTaken(status, /*mends=*/false);
      };
      calls.push_back(std::move(call));
    }
    for (auto& call : held_) calls.push_back(std::move(call));
    held_.clear();
    return calls;
  }

  // A write, or the beginning, was answered.
  void OnTaken(const Status& status, bool mends) {
    std::vector<UniqueFunction<void(Status)>> flushes;
    Status failed;
    {
      std::lock_guard lock(mutex_);
      --unanswered_;
      if (!status.ok() && failed_.ok()) failed_ = status;
      if (status.ok() && mends) failed_ = absl::OkStatus();
      if (unanswered_ == 0) flushes = std::exchange(flushes_, {});
      failed = failed_;
    }
    for (auto& done : flushes) done(failed);
  }

  // What follows a failure fails, too: the first says more.
  Status Explain(const Status& status) {
    std::lock_guard lock(mutex_);
    return ReasonOf(status) == Reason::kTxnNotFound && !failed_.ok() ? failed_ : status;
  }

  void SendRollBack() {
    Transactor::Calls calls;
    auto call = std::make_unique<TxnCall>();
    call->request.mutable_roll_back();
    call->deadline = transactor_->Now() + transactor_->options().timeout;
    calls.push_back(std::move(call));
    transactor_->Send(seat_, std::move(calls), kAlways);
  }

  const std::shared_ptr<Transactor> transactor_;
  const std::shared_ptr<TxnSeat> seat_;
  const std::size_t held_bytes_max_;  // 0: writes are sent at once, so that what they lock is
  const MonoTime deadline_;
  v1::TxnRequest begin_;

  mutable std::mutex mutex_;
  // ---- guarded by mutex_ ----
  Transactor::Calls held_;
  std::size_t held_bytes_ = 0;
  std::size_t unanswered_ = 0;  // of the beginning and writes
  std::vector<UniqueFunction<void(Status)>> flushes_;
  Status failed_;
  std::uint64_t id_ = 0;
  bool begun_ = false;  // sent
  bool wrote_ = false;
  bool ended_ = false;
};

Transaction::Transaction(std::shared_ptr<Transactor> transactor, const std::string& client_keyspace,
                         const TransactionOptions& options)
    : state_(std::make_shared<State>(std::move(transactor), client_keyspace, options)) {}

Transaction::~Transaction() { state_->RollBack(); }

namespace {

v1::TxnRequest GetOf(std::string key, const TxnCallOptions& options) {
  v1::TxnRequest request;
  request.mutable_get()->set_key(std::move(key));
  SetKeyspace(options, *request.mutable_get());
  SetLock(options, *request.mutable_get());
  return request;
}

v1::TxnRequest BatchGetOf(std::vector<std::string> keys, const TxnCallOptions& options) {
  v1::TxnRequest request;
  v1::TxnBatchGet& get = *request.mutable_batch_get();
  for (std::string& key : keys) get.add_keys(std::move(key));
  SetKeyspace(options, get);
  SetLock(options, get);
  return request;
}

v1::TxnRequest ScanOf(const ScanOptions& range, const std::string& token,
                      const TxnCallOptions& options) {
  v1::TxnRequest request;
  v1::TxnScan& scan = *request.mutable_scan();
  scan.set_prefix(range.prefix);
  scan.set_start(range.start);
  scan.set_end(range.end);
  scan.set_reverse(range.reverse);
  scan.set_keys_only(range.keys_only);
  scan.set_limit(PageRows(range));
  scan.set_continuation_token(token);
  SetKeyspace(options, scan);
  SetLock(options, scan);
  return request;
}

bool DecodeGet(v1::TxnResponse& response, GetResult& result) {
  if (!response.has_get()) return false;
  result = ToGetResult(*response.mutable_get());
  return true;
}

bool DecodeBatchGet(v1::TxnResponse& response, std::vector<GetResult>& results) {
  if (!response.has_batch_get()) return false;
  results = ToGetResults(*response.mutable_batch_get()->mutable_results());
  return true;
}

bool DecodePage(v1::TxnResponse& response, ScanPage& page) {
  if (!response.has_scan()) return false;
  page.rows = ToRows(*response.mutable_scan()->mutable_rows());
  page.continuation_token = std::move(*response.mutable_scan()->mutable_continuation_token());
  return true;
}

}  // namespace

StatusOr<GetResult> Transaction::Get(std::string key, const TxnCallOptions& options) {
  Waiter<GetResult> waiter;
  state_->Read<GetResult>(GetOf(std::move(key), options), options, kAlways, waiter.Done(),
                          DecodeGet);
  return waiter.Wait();
}

void Transaction::GetAsync(std::string key, const TxnCallOptions& options,
                           Callback<GetResult> done) {
  state_->Read<GetResult>(GetOf(std::move(key), options), options, kBounded, std::move(done),
                          DecodeGet);
}

StatusOr<std::vector<GetResult>> Transaction::BatchGet(std::vector<std::string> keys,
                                                       const TxnCallOptions& options) {
  Waiter<std::vector<GetResult>> waiter;
  state_->Read<std::vector<GetResult>>(BatchGetOf(std::move(keys), options), options, kAlways,
                                       waiter.Done(), DecodeBatchGet);
  return waiter.Wait();
}

void Transaction::BatchGetAsync(std::vector<std::string> keys, const TxnCallOptions& options,
                                Callback<std::vector<GetResult>> done) {
  state_->Read<std::vector<GetResult>>(BatchGetOf(std::move(keys), options), options, kBounded,
                                       std::move(done), DecodeBatchGet);
}

StatusOr<ScanPage> Transaction::GetPage(const ScanOptions& range, const std::string& token,
                                        const TxnCallOptions& options) {
  Waiter<ScanPage> waiter;
  state_->Read<ScanPage>(ScanOf(range, token, options), options, kAlways, waiter.Done(),
                         DecodePage);
  return waiter.Wait();
}

void Transaction::ScanPageAsync(const ScanOptions& range, const std::string& token,
                                const TxnCallOptions& options, Callback<ScanPage> done) {
  state_->Read<ScanPage>(ScanOf(range, token, options), options, kBounded, std::move(done),
                         DecodePage);
}

StatusOr<std::vector<Row>> Transaction::Scan(const ScanOptions& range,
                                             const TxnCallOptions& options) {
  std::vector<Row> rows;
  ScanOptions left = range;
  std::string token;
  do {
    if (range.limit != 0) left.limit = range.limit - rows.size();
    ASSIGN_OR_RETURN(ScanPage page, GetPage(left, token, options));
    for (Row& row : page.rows) rows.push_back(std::move(row));
    token = std::move(page.continuation_token);
  } while (!token.empty() && (range.limit == 0 || rows.size() < range.limit));
  return rows;
}

Status Transaction::Put(std::string key, std::string value, const TxnCallOptions& options) {
  const std::size_t bytes = key.size() + value.size();
  v1::TxnRequest request;
  v1::TxnPut& put = *request.mutable_put();
  put.set_key(std::move(key));
  put.set_value(std::move(value));
  SetKeyspace(options, put);
  if (options.ttl.count() != 0) ToDuration(options.ttl, *put.mutable_ttl());
  return state_->Write(std::move(request), bytes);
}

Status Transaction::Delete(std::string key, const TxnCallOptions& options) {
  const std::size_t bytes = key.size();
  v1::TxnRequest request;
  request.mutable_delete_()->set_key(std::move(key));
  SetKeyspace(options, *request.mutable_delete_());
  return state_->Write(std::move(request), bytes);
}

Status Transaction::SetSavepoint(std::string name) {
  v1::TxnRequest request;
  request.mutable_set_savepoint()->set_name(std::move(name));
  return state_->Write(std::move(request), 0);
}

Status Transaction::RollBackTo(std::string name) {
  v1::TxnRequest request;
  request.mutable_roll_back_to()->set_name(std::move(name));
  return state_->Write(std::move(request), 0);
}

Status Transaction::Flush() {
  Waiter<bool> waiter;
  state_->Flush([done = waiter.Done()](const Status& status) mutable {
    if (status.ok()) {
      done(true);
    } else {
      done(status);
    }
  });
  return waiter.Wait().status();
}

void Transaction::FlushAsync(UniqueFunction<void(Status)> done) { state_->Flush(std::move(done)); }

StatusOr<Timestamp> Transaction::Commit() {
  Waiter<Timestamp> waiter;
  state_->Commit(kAlways, waiter.Done());
  return waiter.Wait();
}

void Transaction::CommitAsync(Callback<Timestamp> done) {
  state_->Commit(kBounded, std::move(done));
}

void Transaction::RollBack() { state_->RollBack(); }

std::uint64_t Transaction::id() const { return state_->id(); }

}  // namespace flotilla::client
