#include "tests/bench/load.h"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/random.h"
#include "cmd/kvctl/histogram.h"

namespace flotilla::bench {
namespace {

// What the workers of one load share.
struct Shared {
  System* system = nullptr;
  Executor* executor = nullptr;
  const Clock* clock = nullptr;
  std::string op;
  OpKind of_own_key = OpKind::kCas;
  std::uint32_t keys = 0;
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> errors = 0;
  std::atomic<std::uint32_t> preload_next = 0;
  kvctl::Histogram latencies;

  std::mutex mutex;
  std::condition_variable ended;
  std::uint32_t running = 0;  // guarded by mutex
};

// One operation in flight; the next starts when it ends.
class Worker final : public Completion {
 public:
  Worker(Shared* shared, std::uint32_t number, std::uint32_t of, std::uint64_t seed)
      : shared_(shared),
        random_(seed + number),
        own_keys_(shared->keys / of),
        own_key_(number * own_keys_) {}

  void Next() {
    if (shared_->stop.load(std::memory_order_relaxed)) return End();
    started_ = shared_->clock->Now();
    const auto key = static_cast<std::uint32_t>(random_.Below(shared_->keys));
    const std::string& op = shared_->op;
    if (op == "preload") {
      const std::uint32_t next = shared_->preload_next.fetch_add(1, std::memory_order_relaxed);
      if (next >= shared_->keys) return End();
      shared_->system->Start(OpKind::kPut, next, 0, this);
    } else if (op == "put") {
      shared_->system->Start(OpKind::kPut, key, 0, this);
    } else if (op == "get") {
      shared_->system->Start(OpKind::kGet, key, 0, this);
    } else if (op == "stale_get") {
      shared_->system->Start(OpKind::kStaleGet, key, 0, this);
    } else if (op == "mixed") {
      shared_->system->Start(random_.Chance(0.5) ? OpKind::kPut : OpKind::kGet, key, 0, this);
    } else if (op == "scan100") {
      const auto first = static_cast<std::uint32_t>(random_.Below(shared_->keys - kScanRows));
      shared_->system->Start(OpKind::kScan100, first, 0, this);
    } else {
      // Each worker has keys of its own. Of the one that it compares and sets it knows the version
      // after a first read; transactions take one after the other.
      const bool chained = shared_->op == "cas" || shared_->system->name() == "etcd";
      counts_ = version_ != 0 || !chained;
      if (!chained) round_ = (round_ + 1) % own_keys_;
      shared_->system->Start(counts_ ? shared_->of_own_key : OpKind::kGet, own_key_ + round_,
                             version_, this);
    }
  }

  void Done(bool ok, std::uint64_t version) override {
    if (!ok) {
      shared_->errors.fetch_add(1, std::memory_order_relaxed);
      version_ = 0;
      // Elsewhere: a refused call completes inside Start().
      shared_->executor->Post([this] { Next(); });
      return;
    }
    version_ = version;
    if (counts_) {
      shared_->latencies.Add(
          static_cast<std::uint64_t>((shared_->clock->Now() - started_).count()));
    }
    Next();
  }

 private:
  void End() {
    std::lock_guard lock(shared_->mutex);
    if (--shared_->running == 0) shared_->ended.notify_all();
  }

  Shared* const shared_;
  Random random_;
  const std::uint32_t own_keys_;
  const std::uint32_t own_key_;
  std::uint32_t round_ = 0;
  std::uint64_t version_ = 0;
  bool counts_ = true;
  MonoTime started_;
};

// Returns after `duration`, by a timer of the executor.
void Pass(Executor& executor, Duration duration) {
  std::mutex mutex;
  std::condition_variable passed;
  bool over = false;
  const auto strand = executor.NewStrand("bench timer");
  strand->After(duration, [&] {
    std::lock_guard lock(mutex);
    over = true;
    passed.notify_all();
  });
  std::unique_lock lock(mutex);
  passed.wait(lock, [&] { return over; });
}

class Workers {
 public:
  Workers(Shared* shared, std::uint32_t count, std::uint64_t seed) : shared_(shared) {
    shared_->running = count;
    for (std::uint32_t i = 0; i < count; ++i) {
      workers_.push_back(std::make_unique<Worker>(shared, i, count, seed));
    }
    for (const auto& worker : workers_) worker->Next();
  }
  ~Workers() {
    std::unique_lock lock(shared_->mutex);
    shared_->ended.wait(lock, [&] { return shared_->running == 0; });
  }

 private:
  Shared* const shared_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace

StatusOr<Row> RunLoad(System& system, const LoadOptions& options, Executor& executor,
                      const Clock& clock) {
  Shared shared;
  shared.system = &system;
  shared.executor = &executor;
  shared.clock = &clock;
  shared.op = options.op;
  if (options.op == "txn") shared.of_own_key = OpKind::kTxn;
  if (options.op == "txn_one") shared.of_own_key = OpKind::kTxnOne;
  if (options.op == "txn_two") shared.of_own_key = OpKind::kTxnTwo;
  shared.keys = options.keys;
  Row row{.system = std::string(system.name()),
          .api = std::string(system.api()),
          .op = options.op,
          .outstanding = options.outstanding};
  std::uint64_t count = 0;
  {
    Workers workers(&shared, options.outstanding, options.seed);
    Pass(executor, options.warm_up);
    const double cpu_before = CpuMicros(options.server_pids);
    const MonoTime before = clock.Now();
    shared.latencies.Clear();
    Pass(executor, options.duration);
    count = shared.latencies.Count();
    const std::chrono::duration<double> elapsed = clock.Now() - before;
    const double cpu = CpuMicros(options.server_pids) - cpu_before;
    row.ops_per_s = static_cast<double>(count) / elapsed.count();
    if (count > 0) row.server_cpu_us_per_op = cpu / static_cast<double>(count);
    row.p50_us = shared.latencies.QuantileMicros(0.5);
    row.p99_us = shared.latencies.QuantileMicros(0.99);
    row.p999_us = shared.latencies.QuantileMicros(0.999);
    shared.stop = true;
  }
  row.errors = shared.errors;
  if (count == 0 || row.errors * 100 > count) {
    return Error(Reason::kInternal,
                 fmt::format("{} {} {} at {}: {} operations, {} errors", row.system, row.api,
                             row.op, row.outstanding, count, row.errors));
  }
  return row;
}

Status Preload(System& system, std::uint32_t keys, Executor& executor, const Clock& clock) {
  Shared shared;
  shared.system = &system;
  shared.executor = &executor;
  shared.clock = &clock;
  shared.op = "preload";
  shared.keys = keys;
  {
    Workers workers(&shared, 256, 1);
  }
  if (shared.errors > 0) {
    return Error(Reason::kInternal,
                 fmt::format("{} of the {} first puts failed", shared.errors.load(), keys));
  }
  return absl::OkStatus();
}

}  // namespace flotilla::bench
