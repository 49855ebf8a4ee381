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
    loop_->Purge(ProcessOf(i));
  }
}

void Workload::Start() {
  for (std::size_t who = 0; who < clients_.size(); ++who) Next(who);
}

void Workload::Next(std::size_t who) {
  if (ended_) return;
  One& one = clients_[who];
  const Duration think(static_cast<std::int64_t>(
      one.random.Below(static_cast<std::uint64_t>(options_.think_max.count()) + 1)));
  loop_->At(loop_->now() + think, one.process->id(), kThink, [this, who] {
    if (!ended_) Issue(who);
  });
}

void Workload::Ended(std::size_t who, std::size_t number, const Status& status) {
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
  Next(who);
}

void Workload::Issue(std::size_t who) {
  One& one = clients_[who];
  Operation operation;
  operation.key =
      "key" + std::to_string(one.random.Below(static_cast<std::uint64_t>(options_.keys)));
  operation.invoked = loop_->now();
  const std::uint64_t dice = one.random.Below(100);
  const std::string value = "v" + std::to_string(next_value_++);
  ++under_way_;
  if (dice < 40) {
    operation.kind = OperationKind::kGet;
    const std::string key = operation.key;
    const std::size_t number = history_.Invoke(std::move(operation));
    one.client->GetAsync(key, {}, [this, who, number](StatusOr<client::GetResult> result) {
      if (result.ok() && result->found) history_.At(number).read = result->value;
      Ended(who, number, result.status());
    });
  } else if (dice < 75) {
    operation.kind = OperationKind::kPut;
    operation.argument = value;
    const std::string key = operation.key;
    const std::size_t number = history_.Invoke(std::move(operation));
    one.client->PutAsync(key, value, {}, [this, who, number](StatusOr<client::PutResult> result) {
      Ended(who, number, result.status());
    });
  } else if (dice < 85) {
    operation.kind = OperationKind::kDelete;
    const std::string key = operation.key;
    const std::size_t number = history_.Invoke(std::move(operation));
    one.client->DeleteAsync(key, {}, [this, who, number](StatusOr<client::DeleteResult> result) {
      Ended(who, number, result.status());
    });
  } else {
    operation.kind = OperationKind::kCompareAndSet;
    operation.argument = value;
    // A guess at a recent value, or absence.
    client::Condition condition = client::Condition::Absent();
    if (one.random.Chance(0.6) && next_value_ > 10) {
      operation.expected = "v" + std::to_string(next_value_ - one.random.Between(1, 9));
      condition = client::Condition::ValueIs(*operation.expected);
    }
    const std::string key = operation.key;
    const std::size_t number = history_.Invoke(std::move(operation));
    one.client->CompareAndSetAsync(
        key, condition, value, {},
        [this, who, number](StatusOr<client::CompareAndSetResult> result) {
          Ended(who, number, result.status());
        });
  }
}

}  // namespace flotilla::sim
