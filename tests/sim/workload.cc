#include "tests/sim/workload.h"

#include <map>
#include <utility>

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kThink = 30;
// About one of so many reads is a scan.
constexpr std::size_t kReadsPerScan = 7;
// Few, so that pages are put together.
constexpr std::uint32_t kKeysPerPage = 3;

// After these a write may or may not have happened; after all others it did not.
bool Perhaps(const Status& status) {
  const Reason reason = ReasonOf(status);
  return reason == Reason::kOutcomeUnknown || reason == Reason::kSessionExpired ||
         reason == Reason::kInternal;
}

// What makes a value unique, which is what histories hold of it.
std::string NameOf(std::uint64_t number) { return "v" + std::to_string(number); }
std::string NameIn(const std::string& value) { return value.substr(0, value.find(':')); }

}  // namespace

Workload::Workload(const Options& options, EventLoop* loop, SimNetwork* network,
                   SimConnector::FindServer find, TimestampWatch* timestamps,
                   SnapshotWatch* snapshots)
    : options_(options), loop_(loop), timestamps_(timestamps), snapshots_(snapshots) {
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
    for (const KeyspaceLoad& keyspace : options_.keyspaces) {
      client_options.keyspace = keyspace.name;
      one.clients.push_back(std::make_unique<client::Client>(
          client_options, client::ClientWorld{.executor = one.process.get(),
                                              .clock = one.process.get(),
                                              .connector = one.connector.get(),
                                              .seed = one.random.Next()}));
    }
    clients_.push_back(std::move(one));
  }
}

Workload::~Workload() {
  ended_ = true;
  for (One& one : clients_) {
    for (const auto& client : one.clients) client->Shutdown();
    one.process->Stop();
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
    if (ended_) return;
    if (Paced(lane)) {
      Next(lane);
      int& open = clients_[lane.client].reads_open;
      if (open >= options_.reads_open_max) return;
      ++open;
    }
    Issue(lane);
  });
}

void Workload::Record(std::size_t number, const Status& status) {
  Operation& operation = history_.At(number);
  if (status.ok() || (operation.kind == OperationKind::kCompareAndSet &&
                      ReasonOf(status) == Reason::kConditionFailed)) {
    operation.answered = loop_->now();
    operation.swapped = status.ok();
  } else if (operation.kind == OperationKind::kGet || !Perhaps(status)) {
    history_.Drop(number);
  }
}

void Workload::Done(Lane lane, const Status& status) {
  --under_way_;
  const Reason reason = ReasonOf(status);
  loop_->Trace(static_cast<std::uint64_t>(reason));
  if (status.ok() || reason == Reason::kConditionFailed) ++answered_;
  if (reason == Reason::kDiskFull) ++refused_for_room_;
  if (Paced(lane)) {
    --clients_[lane.client].reads_open;
  } else {
    Next(lane);
  }
}

void Workload::Ended(Lane lane, std::size_t number, const Status& status) {
  Record(number, status);
  Done(lane, status);
}

std::string Workload::CheckedKey(Lane lane) {
  const int keys = options_.keyspaces[lane.keyspace].keys;
  return "key" +
         std::to_string(clients_[lane.client].random.Below(static_cast<std::uint64_t>(keys)));
}

std::string Workload::HistoryName(Lane lane, const std::string& key) const {
  const std::string& keyspace = options_.keyspaces[lane.keyspace].name;
  return keyspace.empty() ? key : keyspace + "/" + key;
}

std::string Workload::ValueOf(std::uint64_t number) const {
  std::string value = NameOf(number);
  if (options_.value_bytes_max > 0) {
    value += ':';
    value.append(number * 2'654'435'761 % options_.value_bytes_max, 'x');
  }
  return value;
}

void Workload::Issue(Lane lane) {
  Random& random = clients_[lane.client].random;
  if (options_.keyspaces.size() > 1) lane.keyspace = random.Below(options_.keyspaces.size());
  Operation operation;
  operation.key = CheckedKey(lane);
  operation.invoked = loop_->now();
  ++under_way_;
  const std::uint64_t dice = random.Below(100);
  if (lane.reads_only || !writing_ || dice < 28) {
    if (history_.size() % kReadsPerScan == 0) {
      Scan(lane, operation);
    } else {
      Get(lane, std::move(operation));
    }
  } else if (dice < 62) {
    Put(lane, std::move(operation));
  } else if (dice < 70) {
    Delete(lane, std::move(operation));
  } else if (dice < 86) {
    CompareAndSet(lane, std::move(operation));
  } else if (dice < 92) {
    Batch(lane, std::move(operation));
  } else {
    Disturb(lane);
  }
}

std::size_t Workload::Invoke(Lane lane, Operation operation) {
  operation.key = HistoryName(lane, operation.key);
  return history_.Invoke(std::move(operation));
}

void Workload::Get(Lane lane, Operation operation) {
  operation.kind = OperationKind::kGet;
  const std::string key = operation.key;
  const std::size_t number = Invoke(lane, std::move(operation));
  ClientOf(lane).GetAsync(key, {}, [this, lane, number](StatusOr<client::GetResult> result) {
    if (result.ok() && result->found) history_.At(number).read = NameIn(result->value);
    Ended(lane, number, result.status());
  });
}

// What is under way over several pages.
struct Workload::Scanning {
  client::ScanOptions options;
  std::string token;
  std::map<std::string, std::size_t> numbers;  // of the reads, by key
};

void Workload::Scan(Lane lane, const Operation& asked) {
  auto scanning = std::make_shared<Scanning>();
  scanning->options.prefix = "key";
  scanning->options.reverse = history_.size() % (2 * kReadsPerScan) == 0;
  if (options_.keyspaces.size() > 1) scanning->options.page_size = kKeysPerPage;
  for (int key = 0; key < options_.keyspaces[lane.keyspace].keys; ++key) {
    Operation operation = asked;
    operation.kind = OperationKind::kGet;
    operation.key = "key" + std::to_string(key);
    const std::string name = operation.key;
    scanning->numbers[name] = Invoke(lane, std::move(operation));
  }
  ScanPage(lane, scanning);
}

void Workload::ScanPage(Lane lane, const std::shared_ptr<Scanning>& scanning) {
  ClientOf(lane).ScanPageAsync(
      scanning->options, scanning->token,
      [this, lane, scanning, asked = loop_->now()](const StatusOr<client::ScanPage>& page) {
        if (page.ok()) {
          for (const client::Row& row : page->rows) {
            Operation& read = history_.At(scanning->numbers.at(row.key));
            read.read = NameIn(row.value);
            read.invoked = asked;
          }
          if (!page->continuation_token.empty()) {
            scanning->token = page->continuation_token;
            ScanPage(lane, scanning);
            return;
          }
        }
        for (const auto& [key, number] : scanning->numbers) Record(number, page.status());
        Done(lane, page.status());
      });
}

void Workload::ReadAll() {
  for (std::size_t keyspace = 0; keyspace < options_.keyspaces.size(); ++keyspace) {
    for (int key = 0; key < options_.keyspaces[keyspace].keys; ++key) {
      ++under_way_;
      Operation operation;
      operation.key = "key" + std::to_string(key);
      operation.invoked = loop_->now();
      Get({.keyspace = keyspace}, std::move(operation));
    }
  }
}

void Workload::Put(Lane lane, Operation operation) {
  operation.kind = OperationKind::kPut;
  operation.argument = NameOf(next_value_);
  const std::string key = operation.key;
  const std::string value = ValueOf(next_value_++);
  const std::size_t number = Invoke(lane, std::move(operation));
  ClientOf(lane).PutAsync(key, value, {},
                          [this, lane, number, key,
                           before = timestamps_->newest()](StatusOr<client::PutResult> result) {
                            if (result.ok()) {
                              timestamps_->Note(before, result->version, 1);
                              snapshots_->NotePut(options_.keyspaces[lane.keyspace].name, key,
                                                  result->version);
                            }
                            Ended(lane, number, result.status());
                          });
}

void Workload::Delete(Lane lane, Operation operation) {
  operation.kind = OperationKind::kDelete;
  const std::string key = operation.key;
  const std::size_t number = Invoke(lane, std::move(operation));
  ClientOf(lane).DeleteAsync(key, {}, [this, lane, number](StatusOr<client::DeleteResult> result) {
    Ended(lane, number, result.status());
  });
}

client::Condition Workload::AnyCondition(Lane lane, Operation& operation) {
  Random& random = clients_[lane.client].random;
  if (!random.Chance(0.6) || next_value_ <= 10) return client::Condition::Absent();
  const std::uint64_t guess = next_value_ - random.Between(2, 10);
  operation.expected = NameOf(guess);
  return client::Condition::ValueIs(ValueOf(guess));
}

void Workload::CompareAndSet(Lane lane, Operation operation) {
  operation.kind = OperationKind::kCompareAndSet;
  operation.argument = NameOf(next_value_);
  const std::string value = ValueOf(next_value_++);
  const client::Condition condition = AnyCondition(lane, operation);
  const std::string key = operation.key;
  const std::size_t number = Invoke(lane, std::move(operation));
  ClientOf(lane).CompareAndSetAsync(
      key, condition, value, {},
      [this, lane, number](StatusOr<client::CompareAndSetResult> result) {
        Ended(lane, number, result.status());
      });
}

void Workload::Batch(Lane lane, Operation first) {
  first.kind = OperationKind::kPut;
  Operation second = first;
  do {
    second.key = CheckedKey(lane);
  } while (second.key == first.key);
  client::WriteBatch batch;
  std::vector<std::size_t> numbers;
  if (clients_[lane.client].random.Chance(0.4)) {
    first.kind = OperationKind::kCompareAndSet;
    const client::Condition condition = AnyCondition(lane, first);
    first.argument = NameOf(next_value_);
    batch.Put(first.key, ValueOf(next_value_++), {}, condition);
  } else {
    first.argument = NameOf(next_value_);
    batch.Put(first.key, ValueOf(next_value_++));
  }
  numbers.push_back(Invoke(lane, std::move(first)));
  second.argument = NameOf(next_value_);
  batch.Put(second.key, ValueOf(next_value_++));
  numbers.push_back(Invoke(lane, std::move(second)));
  ClientOf(lane).WriteAsync(batch, {}, [this, lane, numbers](StatusOr<client::BatchResult> result) {
    for (const std::size_t one : numbers) Record(one, result.status());
    Done(lane, result.status());
  });
}

void Workload::Disturb(Lane lane) {
  Random& random = clients_[lane.client].random;
  client::Client& client = ClientOf(lane);
  const std::string key = "other" + std::to_string(random.Below(20));
  const std::uint64_t dice = random.Below(10);
  if (dice < 6) {
    client::WriteOptions options;
    options.ttl = std::chrono::milliseconds(random.Between(1, 3'000));
    client.PutAsync(
        key, ValueOf(next_value_++), options,
        [this, lane](const StatusOr<client::PutResult>& result) { Done(lane, result.status()); });
  } else if (dice < 8) {
    client.DeleteRangeAsync(key, key + "~", {},
                            [this, lane](const StatusOr<client::DeleteRangeResult>& result) {
                              Done(lane, result.status());
                            });
  } else {
    client::ScanOptions scan;
    scan.prefix = "other";
    client.ScanPageAsync(scan, "", [this, lane](const StatusOr<client::ScanPage>& result) {
      Done(lane, result.status());
    });
  }
}

}  // namespace flotilla::sim
