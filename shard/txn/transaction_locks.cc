// What a transaction locks on its way: see shard/locking.
//
// Every key that was locked must have the version with which it was found when the transaction
// commits, and every range be unchanged since: a lock that was lost is noticed there.

#include <algorithm>
#include <utility>

#include "kv/key_codec.h"
#include "shard/one_answer.h"
#include "shard/txn/transaction.h"

namespace flotilla {
namespace {

// For locks to be let go; after that they go by themselves.
constexpr Duration kLetGoWithin = std::chrono::seconds(1);

Status Overtaken() {
  return Error(Reason::kTxnConflict,
               "what the transaction locked was changed after its first read, which does not see "
               "that: begin it anew, and lock before you read");
}

}  // namespace

LockOwner TransactionImpl::Owner() const {
  return {.txn = id_,
          .coordinator = world_->self(),
          .since = options_.first_try ? options_.first_try : id_};
}

LockRequest TransactionImpl::RequestOf(const TxnLock& lock) const {
  return {.owner = Owner(),
          .strength = lock.strength,
          .patience = lock.patience,
          .within = lock.within == Duration(0) ? options_.lock_timeout : lock.within};
}

void TransactionImpl::NoteLocked(const std::string& start, const std::string& end) {
  const std::shared_ptr<const DirectoryImage> image = world_->directory->image();
  if (end.empty()) {
    const ShardDescriptor* shard = image->Locate(start);
    if (shard != nullptr) locked_.emplace(shard->group, start);
    return;
  }
  for (const ShardDescriptor* shard : image->Overlapping(start, end)) {
    locked_.emplace(shard->group, std::max(start, shard->start));
  }
}

Status TransactionImpl::BeginLocking(kv::KeyspaceId keyspace,
                                     const std::vector<std::string>& keys) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckWritable());
  for (const std::string& key : keys) NoteLocked(kv::EncodeKey(keyspace, key), {});
  ++reads_open_;
  return absl::OkStatus();
}

Status TransactionImpl::BeginLocking(const kv::ScanRequest& request) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckWritable());
  ++reads_open_;
  return absl::OkStatus();
}

Status TransactionImpl::EndLocking(const GatewayAnswer& answer,
                                   const std::function<Status()>& note) {
  Locked locked;
  Status status = answer.status;
  {
    std::lock_guard lock(mutex_);
    --reads_open_;
    if (status.ok()) status = CheckOpen();
    if (status.ok()) status = note();
    if (status.ok()) {
      found_locked_ = true;
      return status;
    }
    failed_to_lock_ = true;
    const Reason reason = ReasonOf(status);
    const bool over = reason == Reason::kDeadlock || reason == Reason::kTxnConflict ||
                      reason == Reason::kTxnAborted;
    if (over && phase_ == TxnPhase::kOpen) locked = End(status);
    if (phase_ == TxnPhase::kEnded && locked.empty()) locked = std::exchange(locked_, {});
  }
  LetGo(locked);
  return status;
}

Status TransactionImpl::MoveReads(Timestamp seen_by, Timestamp newest) {
  if (options_.isolation < kv::Isolation::kRepeatableRead) return absl::OkStatus();
  if (!reads_at_used_) {
    reads_at_ = std::max({reads_at_, seen_by, newest});
    return absl::OkStatus();
  }
  return newest > reads_at_ ? Overtaken() : absl::OkStatus();
}

Status TransactionImpl::NoteGot(kv::KeyspaceId keyspace, const std::vector<std::string>& keys,
                                const Got& got, Timestamp seen_by) {
  Timestamp newest;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (got[i].skipped) continue;
    newest = std::max(newest, got[i].version);
    RETURN_IF_ERROR(reads_.AddLocked(kv::EncodeKey(keyspace, keys[i]), got[i].version));
  }
  return MoveReads(seen_by, newest);
}

Status TransactionImpl::NotePage(const kv::ScanRequest& request, const TxnLock& lock,
                                 const kv::ScanPage& page, Timestamp seen_by) {
  Timestamp newest;
  for (const kv::ScanRow& row : page.rows) {
    newest = std::max(newest, row.version);
    if (lock.patience != LockPatience::kSkipLocked) continue;
    std::string key = kv::EncodeKey(request.keyspace, row.key);
    NoteLocked(key, {});
    RETURN_IF_ERROR(reads_.AddLocked(std::move(key), row.version));
  }
  for (const kv::LockedRange& range : page.locked) {
    NoteLocked(range.start, range.end);
    RETURN_IF_ERROR(reads_.AddRange(range.start, range.end, range.as_of));
  }
  return MoveReads(seen_by, newest);
}

void TransactionImpl::GetLocked(kv::KeyspaceId keyspace, std::vector<std::string> keys,
                                const TxnLock& lock, bool keys_only, MonoTime deadline,
                                GetDone done) {
  const Status begun = BeginLocking(keyspace, keys);
  if (!begun.ok() || keys.empty()) {
    if (begun.ok()) EndRead();
    done(begun.ok() ? StatusOr<Got>(Got()) : begun);
    return;
  }
  BatchGetCall call{.keyspace = keyspace, .keys = keys, .lock = RequestOf(lock)};
  call.lock->keys_only = keys_only;
  Read(std::move(call), deadline,
       [self = shared_from_this(), keyspace, keys = std::move(keys),
        done = std::move(done)](GatewayAnswer answer) mutable {
         Got* const got = std::get_if<Got>(&answer.result);
         Status status = self->EndLocking(answer, [&] {
           Status noted = self->NoteGot(keyspace, keys, *got, answer.origin.timestamp);
           for (std::size_t i = 0; noted.ok() && i < keys.size(); ++i) {
             if ((*got)[i].skipped) continue;
             if (auto own = self->writes_.Find(keyspace, keys[i])) (*got)[i] = *std::move(own);
           }
           return noted;
         });
         if (status.ok()) {
           done(std::move(*got));
         } else {
           done(std::move(status));
         }
       });
}

void TransactionImpl::ScanLocked(kv::ScanRequest request, const TxnLock& lock, MonoTime deadline,
                                 ScanDone done) {
  const Status begun = BeginLocking(request);
  if (!begun.ok()) {
    done(begun);
    return;
  }
  ScanCall call{.request = request, .lock = RequestOf(lock)};
  Read(std::move(call), deadline,
       [self = shared_from_this(), request = std::move(request), lock,
        done = std::move(done)](GatewayAnswer answer) mutable {
         auto* const page = std::get_if<kv::ScanPage>(&answer.result);
         Status status = self->EndLocking(answer, [&] {
           Status noted = self->NotePage(request, lock, *page, answer.origin.timestamp);
           if (noted.ok()) self->writes_.Overlay(request, *page);
           return noted;
         });
         if (status.ok()) {
           done(std::move(*page));
         } else {
           done(std::move(status));
         }
       });
}

struct TransactionImpl::LockedWrite {
  std::vector<TxnMutation> mutations;
  std::map<kv::KeyspaceId, std::vector<std::string>> keys;  // that are not locked yet
  MonoTime deadline;
  UniqueFunction<void(Status)> done;
};

void TransactionImpl::Write(std::vector<TxnMutation> mutations, MonoTime deadline,
                            UniqueFunction<void(Status)> done) {
  if (options_.locking == Locking::kOptimistic) {
    done(Add(std::move(mutations)));
    return;
  }
  auto write = std::make_shared<LockedWrite>();
  for (const TxnMutation& one : mutations) write->keys[one.keyspace].push_back(one.key);
  write->mutations = std::move(mutations);
  write->deadline = deadline;
  write->done = std::move(done);
  LockToWrite(std::move(write));
}

void TransactionImpl::LockToWrite(std::shared_ptr<LockedWrite> write) {
  if (write->keys.empty()) {
    write->done(Add(std::move(write->mutations)));
    return;
  }
  auto next = write->keys.extract(write->keys.begin());
  const MonoTime deadline = write->deadline;
  GetLocked(next.key(), std::move(next.mapped()), {}, /*keys_only=*/true, deadline,
            [self = shared_from_this(), write = std::move(write)](const StatusOr<Got>& got) {
              if (got.ok()) {
                self->LockToWrite(write);
              } else {
                write->done(got.status());
              }
            });
}

void TransactionImpl::LetGo(const Locked& locked) {
  if (locked.empty()) return;
  std::vector<GatewayRequest> requests;
  for (const auto& [group, key] : locked) {
    GatewayRequest& request = requests.emplace_back();
    request.deadline = world_->clock->Now() + kLetGoWithin;
    request.call = UnlockCall{.key = key, .txn = id_};
  }
  class Nobody final : public AnswerSink {
   public:
    void OnAnswers(std::vector<GatewayAnswer>) override {}
  };
  world_->gateway->Submit(std::move(requests), std::make_shared<Nobody>());
}

}  // namespace flotilla
