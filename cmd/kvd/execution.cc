#include "cmd/kvd/execution.h"

#include <algorithm>
#include <utility>

#include "cmd/kvd/api_codec.h"

namespace flotilla {
namespace {

constexpr Duration kBackoffMin = std::chrono::milliseconds(2);
constexpr std::uint32_t kDoublingsMax = 7;

}  // namespace

void Execution::Start(const World& world, DecodedExecute plan, MonoTime deadline, Random random,
                      Callback done) {
  std::make_shared<Execution>(world, std::move(plan), deadline, random, std::move(done))->Begin();
}

Execution::Execution(const World& world, DecodedExecute plan, MonoTime deadline, Random random,
                     Callback done)
    : world_(world),
      plan_(std::move(plan)),
      deadline_(deadline),
      random_(random),
      done_(std::move(done)) {}

void Execution::Begin() {
  ++attempts_;
  result_ = {.succeeded = true};
  TxnOptions options;
  options.timeout = std::clamp<Duration>(deadline_ - world_.clock->Now(),
                                         std::chrono::milliseconds(1), std::chrono::minutes(10));
  world_.transactions->Begin(
      options, deadline_,
      [self = shared_from_this()](StatusOr<std::shared_ptr<Transaction>> begun) {
        if (!begun.ok()) return self->Failed(begun.status());
        self->txn_ = *std::move(begun);
        self->Compare(0);
      });
}

void Execution::Compare(std::size_t next) {
  const auto& compare = plan_.compare;
  if (next == compare.size() || !result_.succeeded) return Run(0);
  const kv::KeyspaceId keyspace = compare[next].get.keyspace;
  std::vector<std::string> keys;
  std::size_t end = next;
  for (; end < compare.size() && compare[end].get.keyspace == keyspace; ++end) {
    keys.push_back(compare[end].get.keys.front());
  }
  txn_->Get(keyspace, std::move(keys), deadline_,
            [self = shared_from_this(), next, end](const StatusOr<Got>& got) {
              if (!got.ok()) return self->Failed(got.status());
              for (std::size_t i = next; i < end; ++i) {
                if (!Holds(self->plan_.compare[i].op, (*got)[i - next])) {
                  self->result_.succeeded = false;
                }
              }
              self->Compare(end);
            });
}

void Execution::Run(std::size_t next) {
  const auto& operations = result_.succeeded ? plan_.success : plan_.failure;
  std::vector<TxnMutation> mutations;
  for (; next < operations.size(); ++next) {
    const auto* mutation = std::get_if<TxnMutation>(&operations[next]);
    if (mutation == nullptr) break;
    mutations.push_back(*mutation);
  }
  if (!mutations.empty()) {
    txn_->Write(std::move(mutations), deadline_, [self = shared_from_this(), next](Status status) {
      if (!status.ok()) return self->Failed(status);
      self->Run(next);
    });
    return;
  }
  if (next == operations.size()) return Commit();
  const kv::KeyspaceId keyspace = std::get<DecodedGet>(operations[next]).keyspace;
  std::vector<std::string> keys;
  for (; next < operations.size(); ++next) {
    const auto* get = std::get_if<DecodedGet>(&operations[next]);
    if (get == nullptr || get->keyspace != keyspace) break;
    keys.push_back(get->keys.front());
  }
  txn_->Get(keyspace, std::move(keys), deadline_,
            [self = shared_from_this(), next](StatusOr<Got> got) {
              if (!got.ok()) return self->Failed(got.status());
              for (kv::GetResult& one : *got) self->result_.results.push_back(std::move(one));
              // Too much for an answer is found out before the commit.
              if (const Status fits = CheckResults(self->result_.results); !fits.ok()) {
                return self->Failed(fits);
              }
              self->Run(next);
            });
}

void Execution::Commit() {
  txn_->Commit(deadline_, [self = shared_from_this()](const StatusOr<Timestamp>& end) {
    if (!end.ok()) return self->Failed(end.status());
    self->result_.timestamp = *end;
    self->End(std::move(self->result_));
  });
}

void Execution::Failed(const Status& status) {
  if (txn_ != nullptr) std::exchange(txn_, nullptr)->RollBack();
  const std::uint32_t doublings = std::min(attempts_ - 1, kDoublingsMax);
  const Duration whole = kBackoffMin * (1 << doublings);
  const Duration pause(static_cast<std::int64_t>(random_.Between(
      static_cast<std::uint64_t>(whole.count()) / 2, static_cast<std::uint64_t>(whole.count()))));
  if (InfoOf(ReasonOf(status)).retry != Retry::kRestartTxn ||
      world_.clock->Now() + pause >= deadline_) {
    return End(status);
  }
  world_.timers->After(pause, [self = shared_from_this()] { self->Begin(); });
}

void Execution::End(StatusOr<Result> result) {
  txn_ = nullptr;
  std::exchange(done_, nullptr)(std::move(result));
}

}  // namespace flotilla
