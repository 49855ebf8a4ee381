// bench: a quick load, and how fast it went. Its keys are removed at the end, Ctrl-C or not.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/random.h"
#include "cmd/kvctl/app.h"
#include "cmd/kvctl/histogram.h"
#include "cmd/kvctl/interrupt.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

struct BenchFlags {
  std::string op = "put";
  std::uint32_t outstanding = 64;
  std::uint32_t value_bytes = 256;
  std::uint32_t keys = 10'000;
  std::string duration = "5s";
};

// What the workers share.
struct Load {
  client::Client* client = nullptr;
  BenchFlags flags;
  std::string prefix;
  std::string value;
  client::ReadOptions read;
  RealClock clock;
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> errors = 0;
  Histogram latencies;

  std::mutex mutex;
  std::condition_variable ended;
  std::uint32_t running = 0;  // guarded by mutex
  Status last_error;          // guarded by mutex
};

std::string KeyOf(const Load& load, std::uint64_t number) {
  return fmt::format("{}{:08}", load.prefix, number);
}

// One operation in flight; the next starts when it ends.
class Worker {
 public:
  Worker(Load* load, std::uint64_t seed) : load_(load), random_(seed) {}

  void Next() {
    if (load_->stop) return End();
    started_ = load_->clock.Now();
    std::string key = KeyOf(*load_, random_.Below(load_->flags.keys));
    const std::string& op = load_->flags.op;
    if (op == "put" || (op == "mixed" && random_.Chance(0.5))) {
      load_->client->PutAsync(std::move(key), load_->value, {},
                              [this](auto result) { Done(result.status()); });
    } else {
      load_->client->GetAsync(std::move(key), load_->read,
                              [this](auto result) { Done(result.status()); });
    }
  }

 private:
  void Done(const Status& status) {
    if (status.ok()) {
      load_->latencies.Add(static_cast<std::uint64_t>((load_->clock.Now() - started_).count()));
      return Next();
    }
    ++load_->errors;
    {
      std::lock_guard lock(load_->mutex);
      load_->last_error = status;
    }
    End();  // the others go on; a failing cluster is not hammered
  }

  void End() {
    std::lock_guard lock(load_->mutex);
    if (--load_->running == 0) load_->ended.notify_all();
  }

  Load* const load_;
  Random random_;
  MonoTime started_;
};

void Report(Session& session, const Load& load, double seconds, bool interrupted) {
  const auto count = load.latencies.Count();
  const double per_second = static_cast<double>(count) / seconds;
  const double p50 = load.latencies.QuantileMicros(0.5);
  const double p99 = load.latencies.QuantileMicros(0.99);
  const double p999 = load.latencies.QuantileMicros(0.999);
  if (session.FormatFor(false) == Format::kJson) {
    session.PrintLine(JsonObject()
                          .Text("op", load.flags.op)
                          .Number("outstanding", load.flags.outstanding)
                          .Number64("operations", count)
                          .Number64("errors", load.errors)
                          .Number("seconds", seconds)
                          .Number("ops_per_s", per_second)
                          .Number("p50_us", p50)
                          .Number("p99_us", p99)
                          .Number("p999_us", p999)
                          .Bool("interrupted", interrupted)
                          .str());
    return;
  }
  session.PrintLine(
      fmt::format("{} {} operations in {:.1f} s, {} at a time: {:.0f} per second\n"
                  "latency: p50 {:.0f} us, p99 {:.0f} us, p99.9 {:.0f} us{}",
                  count, load.flags.op, seconds, load.flags.outstanding, per_second, p50, p99, p999,
                  load.errors > 0 ? fmt::format("; {} errors", load.errors.load()) : ""));
}

// Until `end`; on a terminal, tells every second how it goes. True: the user interrupted.
bool WaitWithProgress(Session& session, const Load& load, Interrupt& interrupt, MonoTime end) {
  std::uint64_t before = 0;
  for (;;) {
    const Duration left = end - load.clock.Now();
    if (left <= Duration::zero()) return false;
    if (interrupt.WaitFor(std::min<Duration>(left, std::chrono::seconds(1)))) return true;
    const std::uint64_t count = load.latencies.Count();
    session.Progress(fmt::format("{} operations, {} in the last second", count, count - before));
    before = count;
  }
}

// A few keys at a time: all of them with all their versions may be more than one request's time is
// enough for.
StatusOr<std::uint64_t> RemoveKeys(const Load& load) {
  constexpr std::uint64_t kSlices = 20;
  std::uint64_t removed = 0;
  for (std::uint64_t slice = 0; slice < kSlices; ++slice) {
    const std::string start =
        slice == 0 ? load.prefix : KeyOf(load, load.flags.keys * slice / kSlices);
    const std::string end = slice + 1 == kSlices
                                ? PrefixEnd(load.prefix)
                                : KeyOf(load, load.flags.keys * (slice + 1) / kSlices);
    if (start >= end) continue;
    ASSIGN_OR_RETURN(const auto part, load.client->DeleteRange(start, end));
    removed += part.deleted;
  }
  return removed;
}

Status Bench(Session& session, const BenchFlags& flags) {
  const auto duration = ParseDuration(flags.duration);
  if (!duration) {
    return Error(Reason::kBadRequest,
                 fmt::format("--duration {} is not a duration: write 5s or 1m", flags.duration));
  }
  ASSIGN_OR_RETURN(auto* const client, session.Client());
  Load load;
  load.client = client;
  load.flags = flags;
  load.prefix = fmt::format("kvctl-bench/{:016x}/", SeedFromSystem());
  load.value.assign(flags.value_bytes, 'v');
  load.read = session.ReadOptions();
  // The first write tells whether there is a cluster at all.
  RETURN_IF_ERROR(client->Put(load.prefix, "").status());
  Interrupt interrupt;
  std::vector<std::unique_ptr<Worker>> workers;
  load.running = flags.outstanding;
  const MonoTime before = load.clock.Now();
  for (std::uint32_t i = 0; i < flags.outstanding; ++i) {
    workers.push_back(std::make_unique<Worker>(&load, i + 1));
    workers.back()->Next();
  }
  const bool interrupted = WaitWithProgress(session, load, interrupt, before + *duration);
  load.stop = true;
  {
    std::unique_lock lock(load.mutex);
    load.ended.wait(lock, [&] { return load.running == 0; });
  }
  const std::chrono::duration<double> elapsed = load.clock.Now() - before;
  session.Progress("");
  Report(session, load, elapsed.count(), interrupted);
  const auto removed = RemoveKeys(load);
  if (!removed.ok()) {
    return Annotate(removed.status(),
                    fmt::format("the keys below {} were left behind", load.prefix));
  }
  session.Detail(fmt::format("removed {} keys", *removed));
  return load.last_error;
}

}  // namespace

void AddBenchCommand(CLI::App& app, Session& session) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = app.add_subcommand("bench", "Put a load on the cluster and time it");
  command->add_option("--op", flags->op, "put, get or mixed")
      ->check(CLI::IsMember({"put", "get", "mixed"}));
  command->add_option("--outstanding", flags->outstanding, "operations at a time; default 64")
      ->check(CLI::Range(1, 10'000));
  command->add_option("--value-size", flags->value_bytes, "bytes; default 256")
      ->check(CLI::Range(0, 8 << 20));
  command->add_option("--keys", flags->keys, "different keys; default 10000")
      ->check(CLI::Range(1, 100'000'000));
  command->add_option("--duration", flags->duration, "default 5s");
  command->callback([=, &session] {
    const Status status = Bench(session, *flags);
    if (!status.ok()) session.Fail(status);
  });
}

}  // namespace flotilla::kvctl
