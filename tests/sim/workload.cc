#include "tests/sim/workload.h"

#include <utility>

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kThink = 30;

// After these a write may or may not have happened; after all others it did not.
bool Perhaps(const Status& status) {
  const Reason reason = ReasonOf(status);
  return reason == Reason::kOutcomeUnknown || reason == Reason::kSessionExpired ||
         reason == Reason::kInternal;
}

}  // namespace

Workload::Workload(const Options& options, EventLoop* loop, SimNetwork* network,
                   SimConnector::FindServer find)
    : options_(options), loop_(loop) {
  Random random(options_.seed);
  for (int i = 0; i < options_.clients; ++i) {
    One one;
    one.random = random.Fork();
    one.process = std::make_unique<SimProcess>(loop, ProcessOf(i));
    one.connector = std::make_unique<SimConnector>(network, one.process.get(), find);
    client::ClientOptions client_options;
    for (int node = 0; node < options_.nodes; ++node) {
      client_options.endpoints.push_back("n" + std::to_string(node + 1) + ":1");
    }
    client_options.timeout = options_.timeout;
    one.client = std::make_unique<client::Client>(
        client_options, client::ClientWorld{.executor = one.process.get(),
                                            .clock = one.process.get(),
                                            .connector = one.connector.get(),
                                            .seed = one.random.Next()});
    clients_.push_back(std::move(one));
  }
}

Workload::~Workload() {
  ended_ = true;
  for (int i = 0; i < options_.clients; ++i) {
    clients_[static_cast<std::size_t>(i)].client->Shutdown();
    clients_[static_cast<std::size_t>(i)].process->Stop();
  }
}

void Workload::Start() {
  for (std::size_t client = 0; client < clients_.size(); ++client) {
    for (int lane = 0; lane < options_.lanes; ++lane) {
      Next({.client = client, .reads_only = lane == 0});
    }
  }
}

void Workload::Next(Lane lane) {
  if (ended_) return;
  One& one = clients_[lane.client];
  const Duration think(static_cast<std::int64_t>(
      one.random.Below(static_cast<std::uint64_t>(options_.think_max.count()) + 1)));
  loop_->At(loop_->now() + think, one.process->id(), kThink, [this, lane] {
    if (!ended_) Issue(lane);
  });
}

void Workload::Ended(Lane lane, std::size_t number, const Status& status) {
  --under_way_;
  loop_->Trace(static_cast<std::uint64_t>(ReasonOf(status)));
  Operation& operation = history_.At(number);
  if (status.ok() || (operation.kind == OperationKind::kCompareAndSet &&
                      ReasonOf(status) == Reason::kConditionFailed)) {
    operation.answered = loop_->now();
    operation.swapped = status.ok();
    ++answered_;
  } else if (operation.kind == OperationKind::kGet || !Perhaps(status)) {
    history_.Drop(number);
  }
  Next(lane);
}

void Workload::Issue(Lane lane) {
  Random& random = clients_[lane.client].random;
  Operation operation;
  operation.key = "key" + std::to_string(random.Below(static_cast<std::uint64_t>(options_.keys)));
  operation.invoked = loop_->now();
  ++under_way_;
  const std::uint64_t dice = random.Below(100);
  if (lane.reads_only || dice < 30) {
    Get(lane, std::move(operation));
  } else if (dice < 70) {
    Put(lane, std::move(operation));
  } else if (dice < 80) {
    Delete(lane, std::move(operation));
  } else {
    CompareAndSet(lane, std::move(operation));
  }
}

void Workload::Get(Lane lane, Operation operation) {
  operation.kind = OperationKind::kGet;
  const std::string key = operation.key;
  const std::size_t number = history_.Invoke(std::move(operation));
  clients_[lane.client].client->GetAsync(key, {},
                                         [this, lane, number](StatusOr<client::GetResult> result) {
                                           if (result.ok() && result->found)
                                             history_.At(number).read = result->value;
                                           Ended(lane, number, result.status());
                                         });
}

void Workload::Put(Lane lane, Operation operation) {
  operation.kind = OperationKind::kPut;
  operation.argument = "v" + std::to_string(next_value_++);
  const std::string key = operation.key;
  const std::string value = *operation.argument;
  const std::size_t number = history_.Invoke(std::move(operation));
  clients_[lane.client].client->PutAsync(key, value, {},
                                         [this, lane, number](StatusOr<client::PutResult> result) {
                                           Ended(lane, number, result.status());
                                         });
}

void Workload::Delete(Lane lane, Operation operation) {
  operation.kind = OperationKind::kDelete;
  const std::string key = operation.key;
  const std::size_t number = history_.Invoke(std::move(operation));
  clients_[lane.client].client->DeleteAsync(
      key, {}, [this, lane, number](StatusOr<client::DeleteResult> result) {
        Ended(lane, number, result.status());
      });
}

void Workload::CompareAndSet(Lane lane, Operation operation) {
  Random& random = clients_[lane.client].random;
  operation.kind = OperationKind::kCompareAndSet;
  operation.argument = "v" + std::to_string(next_value_++);
  // A guess at a recent value, or absence.
  client::Condition condition = client::Condition::Absent();
  if (random.Chance(0.6) && next_value_ > 10) {
    operation.expected = "v" + std::to_string(next_value_ - random.Between(2, 10));
    condition = client::Condition::ValueIs(*operation.expected);
  }
  const std::string key = operation.key;
  const std::string value = *operation.argument;
  const std::size_t number = history_.Invoke(std::move(operation));
  clients_[lane.client].client->CompareAndSetAsync(
      key, condition, value, {},
      [this, lane, number](StatusOr<client::CompareAndSetResult> result) {
        Ended(lane, number, result.status());
      });
}

}  // namespace flotilla::sim
