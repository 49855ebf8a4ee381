#include "shard/txn/transaction.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "base/timestamp.h"
#include "kv/key_codec.h"
#include "kv/page_overlay.h"
#include "shard/one_answer.h"

namespace flotilla {
TransactionImpl::TransactionImpl(const World* world, std::shared_ptr<Open> open,
                                 const TxnOptions& options, Timestamp start)
    : world_(world),
      open_(std::move(open)),
      options_(options),
      id_(start.value()),
      start_(options.read_timestamp ? options.read_timestamp : start),
      begun_(world->clock->Now()),
      reads_at_(start_) {}

TransactionImpl::~TransactionImpl() {
  {
    std::lock_guard lock(open_->mutex);
    open_->by_id.erase(id_);
    if (open_->closed) return;
  }
  LetGo(locked_);
}

Status TransactionImpl::CheckOpen() const {
  if (phase_ == TxnPhase::kOpen) return absl::OkStatus();
  if (!why_ended_.ok()) return why_ended_;
  return Error(Reason::kBadRequest, "the transaction has ended, or is being committed");
}

Status TransactionImpl::CheckWritable() const {
  RETURN_IF_ERROR(CheckOpen());
  if (!options_.read_only) return absl::OkStatus();
  return Error(Reason::kBadRequest, "the transaction is read-only: begin one that is not");
}

// ---- reads ------------------------------------------------------------------------------------

void TransactionImpl::BeginRead(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)> then) {
  Status open;
  Timestamp as_of;
  {
    std::lock_guard lock(mutex_);
    open = CheckOpen();
    if (open.ok()) ++reads_open_;
    if (options_.isolation >= kv::Isolation::kRepeatableRead) reads_at_used_ = true;
    as_of = reads_at_;
  }
  if (!open.ok()) {
    then(open);
    return;
  }
  if (ReadsAt() == kv::Consistency::kProvisional) {
    then(Timestamp());
    return;
  }
  if (ReadsAtStart()) {
    then(as_of);
    return;
  }
  world_->timestamp(deadline, [self = shared_from_this(),
                               then = std::move(then)](const StatusOr<Timestamp>& taken) mutable {
    if (!taken.ok()) self->EndRead();
    then(taken);
  });
}

void TransactionImpl::EndRead() {
  std::lock_guard lock(mutex_);
  --reads_open_;
}

void TransactionImpl::Read(GatewayCall call, MonoTime deadline,
                           UniqueFunction<void(GatewayAnswer)> done) {
  std::vector<GatewayRequest> requests(1);
  requests[0].deadline = std::min(deadline, expires());
  requests[0].call = std::move(call);
  world_->gateway->Submit(std::move(requests), std::make_shared<OneAnswer>(std::move(done)));
}

void TransactionImpl::Get(kv::KeyspaceId keyspace, std::vector<std::string> keys,
                          std::optional<TxnLock> lock, MonoTime deadline, GetDone done) {
  if (!lock && LocksReads()) lock = TxnLock{.strength = LockStrength::kShare};
  if (lock) {
    GetLocked(keyspace, std::move(keys), *lock, /*keys_only=*/false, deadline, std::move(done));
    return;
  }
  Got results(keys.size());
  std::vector<std::string> others;
  std::vector<std::size_t> places;
  {
    std::lock_guard guard(mutex_);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (auto own = writes_.Find(keyspace, keys[i])) {
        results[i] = *std::move(own);
      } else {
        others.push_back(std::move(keys[i]));
        places.push_back(i);
      }
    }
  }
  BeginRead(deadline, [self = shared_from_this(), keyspace, others = std::move(others),
                       places = std::move(places), results = std::move(results), deadline,
                       done = std::move(done)](const StatusOr<Timestamp>& as_of) mutable {
    if (!as_of.ok()) {
      done(as_of.status());
      return;
    }
    Status noted = self->NoteKeys(keyspace, others);
    if (!noted.ok() || others.empty()) {
      self->EndRead();
      if (noted.ok()) {
        done(std::move(results));
      } else {
        done(std::move(noted));
      }
      return;
    }
    GatewayCall call;
    if (others.size() == 1) {
      call = GetCall{.keyspace = keyspace,
                     .consistency = self->ReadsAt(),
                     .key = std::move(others.front()),
                     .as_of = *as_of,
                     .reader = self->Reader()};
    } else {
      call = BatchGetCall{.keyspace = keyspace,
                          .consistency = self->ReadsAt(),
                          .keys = std::move(others),
                          .as_of = *as_of,
                          .reader = self->Reader()};
    }
    TransactionImpl* const txn = self.get();
    txn->Read(std::move(call), deadline,
              [self = std::move(self), places = std::move(places), results = std::move(results),
               done = std::move(done)](GatewayAnswer answer) mutable {
                self->EndRead();
                if (!answer.status.ok()) {
                  done(self->NoteFailure(std::move(answer.status)));
                  return;
                }
                if (auto* one = std::get_if<kv::GetResult>(&answer.result)) {
                  results[places.front()] = std::move(*one);
                } else {
                  auto& found = std::get<Got>(answer.result);
                  for (std::size_t i = 0; i < places.size(); ++i) {
                    results[places[i]] = std::move(found[i]);
                  }
                }
                done(std::move(results));
              });
  });
}

void TransactionImpl::Scan(kv::ScanRequest request, std::optional<TxnLock> lock, MonoTime deadline,
                           ScanDone done) {
  if (!lock && LocksReads()) lock = TxnLock{.strength = LockStrength::kShare};
  if (lock) {
    ScanLocked(std::move(request), *lock, deadline, std::move(done));
    return;
  }
  BeginRead(deadline, [self = shared_from_this(), request = std::move(request), deadline,
                       done = std::move(done)](const StatusOr<Timestamp>& as_of) mutable {
    if (!as_of.ok()) {
      done(as_of.status());
      return;
    }
    request.as_of = *as_of;
    ScanCall call{.consistency = self->ReadsAt(), .request = request, .reader = self->Reader()};
    TransactionImpl* const txn = self.get();
    txn->Read(std::move(call), deadline,
              [self = std::move(self), request = std::move(request),
               done = std::move(done)](GatewayAnswer answer) mutable {
                Status status = self->NoteFailure(std::move(answer.status));
                kv::ScanPage page;
                if (status.ok()) {
                  page = std::get<kv::ScanPage>(std::move(answer.result));
                  status = self->NoteScan(request, page);
                }
                if (status.ok()) {
                  std::lock_guard guard(self->mutex_);
                  self->writes_.Overlay(request, page);
                }
                self->EndRead();
                if (status.ok()) {
                  done(std::move(page));
                } else {
                  done(std::move(status));
                }
              });
  });
}

Status TransactionImpl::NoteKeys(kv::KeyspaceId keyspace, const std::vector<std::string>& keys) {
  if (!Tracks()) return absl::OkStatus();
  std::lock_guard lock(mutex_);
  for (const std::string& key : keys) RETURN_IF_ERROR(reads_.AddKey(kv::EncodeKey(keyspace, key)));
  return absl::OkStatus();
}

Status TransactionImpl::NoteScan(const kv::ScanRequest& request, const kv::ScanPage& page) {
  if (!Tracks() || Planted(Plant::kScansUnchecked)) return absl::OkStatus();
  std::lock_guard lock(mutex_);
  // Of a hashed keyspace every slot has a part of the range.
  if (kv::IsHashed(request.keyspace)) {
    return reads_.AddRange(kv::KeyspaceStart(request.keyspace), kv::KeyspaceEnd(request.keyspace));
  }
  const kv::PageSpan span = kv::SpanOf(request, page);
  return reads_.AddRange(kv::RangeStart(request.keyspace, span.start),
                         kv::RangeEnd(request.keyspace, span.end));
}

// ---- writes -----------------------------------------------------------------------------------

Status TransactionImpl::Add(std::vector<TxnMutation> mutations) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckWritable());
  return writes_.Add(std::move(mutations));
}

Status TransactionImpl::SetSavepoint(const std::string& name) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckOpen());
  return writes_.SetSavepoint(name);
}

Status TransactionImpl::RollBackTo(const std::string& name) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckOpen());
  return writes_.RollBackTo(name);
}

// ---- the end ----------------------------------------------------------------------------------

std::uint64_t TransactionImpl::ValidUntil(std::size_t bytes) const {
  const auto age =
      std::chrono::duration_cast<std::chrono::milliseconds>(world_->clock->Now() - begun_).count();
  return MillisecondsOf(Timestamp(id_.value())) + static_cast<std::uint64_t>(age) +
         CommitWithinMs(bytes);
}

void TransactionImpl::Commit(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)> done) {
  CommitRequest request;
  request.txn = id_;
  request.isolation = options_.isolation;
  StatusOr<Timestamp> at_once = start_;
  bool commits = false;
  Locked locked;
  {
    std::lock_guard lock(mutex_);
    const Status open = CheckOpen();
    if (!open.ok()) {
      at_once = open;
    } else if (reads_open_ > 0) {
      at_once = Error(Reason::kBadRequest, "a read of the transaction is still under way");
    } else if (writes_.empty() && !(Tracks() && found_locked_ && !reads_.empty())) {
      // Reads as of one timestamp need nothing more.
      at_once = reads_at_;
      phase_ = TxnPhase::kEnded;
      locked = std::exchange(locked_, {});
    } else {
      phase_ = TxnPhase::kCommitting;
      commits = true;
      keys_committing_ = writes_.writes().size();
      keys_checked_ = reads_.size();
      request.valid_until_ms = ValidUntil(writes_.bytes());
      request.reads_at = reads_at_;
      request.holds_locks = found_locked_;
      request.writes = writes_.TakeWrites();
      request.reads = std::move(reads_);
    }
  }
  if (!commits) {
    LetGo(locked);
    done(std::move(at_once));
    return;
  }
  auto shared = std::make_shared<UniqueFunction<void(StatusOr<Timestamp>)>>(std::move(done));
  const bool begun = world_->spawn([self = shared_from_this(), request = std::move(request),
                                    deadline, shared](Coordinator& coordinator) mutable {
    return Commit(std::move(self), &coordinator, std::move(request), deadline, std::move(*shared));
  });
  if (begun) return;
  const Status stopping =
      Error(Reason::kNodeStopping, "the node is stopping: begin it anew elsewhere");
  {
    std::lock_guard lock(mutex_);
    locked = End(stopping);
  }
  LetGo(locked);
  (*shared)(stopping);
}

Task<> TransactionImpl::Commit(std::shared_ptr<TransactionImpl> self, Coordinator* coordinator,
                               CommitRequest request, MonoTime deadline,
                               UniqueFunction<void(StatusOr<Timestamp>)> done) {
  StatusOr<Timestamp> end = co_await coordinator->Commit(std::move(request), deadline);
  Locked locked;
  {
    std::lock_guard lock(self->mutex_);
    self->phase_ = TxnPhase::kEnded;
    if (!end.ok()) self->why_ended_ = end.status();
    locked = std::exchange(self->locked_, {});
    // Its locks go in each group with what it has prepared there.
    if (end.ok() && !self->failed_to_lock_) locked.clear();
  }
  self->LetGo(locked);
  done(std::move(end));
}

void TransactionImpl::RollBack() { Abort(absl::OkStatus()); }

TransactionImpl::Locked TransactionImpl::End(Status why) {
  phase_ = TxnPhase::kEnded;
  why_ended_ = std::move(why);
  writes_ = WriteBuffer();
  reads_ = ReadSet();
  return std::exchange(locked_, {});
}

bool TransactionImpl::Abort(const Status& why) {
  Locked locked;
  {
    std::lock_guard lock(mutex_);
    if (phase_ != TxnPhase::kOpen) return false;
    locked = End(why);
  }
  LetGo(locked);
  return true;
}

std::optional<Timestamp> TransactionImpl::reads_at() const {
  std::lock_guard lock(mutex_);
  if (phase_ != TxnPhase::kOpen || !ReadsAtStart()) return std::nullopt;
  return start_;
}

LockOwner TransactionImpl::Reader() const {
  std::lock_guard lock(mutex_);
  return locked_.empty() ? LockOwner() : Owner();
}

Status TransactionImpl::NoteFailure(Status status) {
  if (ReasonOf(status) == Reason::kDeadlock) Abort(status);
  // Who names a time may name another.
  const bool outlived =
      ReasonOf(status) == Reason::kTimestampTooOld && ReadsAtStart() && !options_.read_timestamp;
  if (!outlived) return status;
  const double age_s = std::chrono::duration<double>(world_->clock->Now() - begun_).count();
  Status why = Error(
      Reason::kTxnAborted,
      fmt::format("the transaction reads as of its beginning, {:.0f} s ago, which is longer than "
                  "old versions are kept for it ({}): begin it anew, and let it take less time, or "
                  "have versions kept for longer (`kvctl keyspace alter --retention`, `kvd "
                  "--vacuum-hold`)",
                  age_s, MessageOf(status)));
  Abort(why);
  return why;
}

bool TransactionImpl::ended() const {
  std::lock_guard lock(mutex_);
  return phase_ == TxnPhase::kEnded;
}

TransactionInfo TransactionImpl::Info() const {
  std::lock_guard lock(mutex_);
  return {.id = id_,
          .isolation = options_.isolation,
          .locking = options_.locking,
          .phase = phase_,
          .age = world_->clock->Now() - begun_,
          .keys_written = keys_committing_ + writes_.writes().size(),
          .keys_read = keys_checked_ + reads_.size()};
}

}  // namespace flotilla
