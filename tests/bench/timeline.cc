// Puts to one keyspace, second after second, and how long each waited: what a split or a move does
// to those who write meanwhile. shards.py starts the servers, and draws what this prints.
//
//   flotilla_timeline --flotilla HOST:PORT,... --keyspace NAME --keys N --load
//   flotilla_timeline ... --seconds 30 --outstanding 64 --middle N --csv FILE
//
// The file has one line per slice and half: at_ms,half,puts,p50_us,max_us,errors; a put belongs to
// the slice in which it began. Half 1 has the keys from `middle` on.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <memory>
#include <mutex>
#include <vector>

#include "base/random.h"
#include "client/client.h"
#include "cmd/kvctl/histogram.h"
#include "tests/bench/system.h"

namespace flotilla::bench {
namespace {

constexpr int kHalves = 2;

struct Flags {
  std::vector<std::string> flotilla;
  std::string keyspace;
  std::uint32_t keys = 1'000'000;
  std::uint32_t middle = 0;
  std::uint32_t value_bytes = 1024;
  std::uint32_t outstanding = 64;
  double seconds = 30;
  int slice_ms = 50;
  bool load = false;
  std::string csv;
};

// Of one half of the keys.
struct Slice {
  kvctl::Histogram latencies;
  std::atomic<std::uint64_t> max_nanos = 0;
  std::atomic<std::uint64_t> errors = 0;

  void Add(Duration waited, bool ok) {
    const auto nanos = static_cast<std::uint64_t>(waited.count());
    latencies.Add(nanos);
    errors += !ok;
    std::uint64_t before = max_nanos.load();
    while (before < nanos && !max_nanos.compare_exchange_weak(before, nanos)) {
    }
  }
};

class Timeline {
 public:
  Timeline(const Flags& flags, client::Client* client)
      : flags_(flags),
        client_(client),
        began_(clock_.Now()),
        slices_(static_cast<std::size_t>(flags.seconds * 1000 / flags.slice_ms) + 1) {}

  // Blocks until every put has its answer.
  void Run() {
    running_ = flags_.outstanding;
    for (std::uint32_t i = 0; i < flags_.outstanding; ++i) {
      randoms_.push_back(std::make_unique<Random>(i + 1));
    }
    for (std::uint32_t i = 0; i < flags_.outstanding; ++i) Next(i);
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return running_ == 0; });
  }

  std::uint64_t failed() const { return failed_; }

  Status WriteCsv() const {
    std::ofstream file(flags_.csv);
    file << "at_ms,half,puts,p50_us,max_us,errors\n";
    for (std::size_t i = 0; i < slices_.size(); ++i) {
      for (int half = 0; half < kHalves; ++half) {
        const Slice& slice = slices_[i][half];
        if (slice.latencies.Count() == 0) continue;
        file << fmt::format("{},{},{},{:.0f},{},{}\n", i * flags_.slice_ms, half,
                            slice.latencies.Count(), slice.latencies.QuantileMicros(0.5),
                            slice.max_nanos.load() / 1000, slice.errors.load());
      }
    }
    if (!file.flush()) return Error(Reason::kInternal, "cannot write " + flags_.csv);
    return absl::OkStatus();
  }

 private:
  // Once, in order; or at random until the time is over.
  bool Choose(std::uint32_t worker, Duration passed, std::uint32_t& key) {
    if (flags_.load) {
      key = next_++;
      return key < flags_.keys;
    }
    key = static_cast<std::uint32_t>(randoms_[worker]->Below(flags_.keys));
    return passed < std::chrono::duration<double>(flags_.seconds);
  }

  void Next(std::uint32_t worker) {
    const MonoTime now = clock_.Now();
    std::uint32_t key = 0;
    if (!Choose(worker, now - began_, key)) {
      std::lock_guard lock(mutex_);
      if (--running_ == 0) ended_.notify_all();
      return;
    }
    std::string value(flags_.value_bytes, '\0');
    for (char& byte : value) byte = static_cast<char>(randoms_[worker]->Next());
    client_->PutAsync(KeyOf(key), std::move(value), {},
                      [this, worker, key, now](const StatusOr<client::PutResult>& result) {
                        Note(key, now, result.status());
                        Next(worker);
                      });
  }

  void Note(std::uint32_t key, MonoTime started, const Status& status) {
    if (!status.ok() && failed_++ < 3) {
      fmt::print(stderr, "{}: {}\n", KeyOf(key), MessageOf(status));
    }
    if (flags_.load) return;
    const auto slice = (started - began_) / std::chrono::milliseconds(flags_.slice_ms);
    const int half = key >= flags_.middle ? 1 : 0;
    slices_[static_cast<std::size_t>(slice)][half].Add(clock_.Now() - started, status.ok());
  }

  const Flags& flags_;
  client::Client* const client_;
  RealClock clock_;
  const MonoTime began_;
  std::vector<std::array<Slice, kHalves>> slices_;
  std::vector<std::unique_ptr<Random>> randoms_;  // a worker's
  std::atomic<std::uint32_t> next_ = 0;
  std::atomic<std::uint64_t> failed_ = 0;

  std::mutex mutex_;
  std::condition_variable ended_;
  std::uint32_t running_ = 0;
};

Status Run(const Flags& flags) {
  ASSIGN_OR_RETURN(auto client, client::Client::Create(
                                    {.endpoints = flags.flotilla, .keyspace = flags.keyspace}));
  Timeline timeline(flags, client.get());
  timeline.Run();
  if (!flags.csv.empty()) RETURN_IF_ERROR(timeline.WriteCsv());
  if (timeline.failed() == 0) return absl::OkStatus();
  return Error(Reason::kInternal, fmt::format("{} puts failed", timeline.failed()));
}

}  // namespace
}  // namespace flotilla::bench

int main(int argc, char** argv) {
  flotilla::bench::Flags flags;
  CLI::App app("Puts to a keyspace for a while, and says how long each waited, slice by slice.");
  app.add_option("--flotilla", flags.flotilla, "endpoints of the nodes")->delimiter(',');
  app.add_option("--keyspace", flags.keyspace, "where to put; default: default");
  app.add_option("--keys", flags.keys, "how many there are");
  app.add_option("--middle", flags.middle, "the first key of the second half");
  app.add_option("--value-bytes", flags.value_bytes, "random ones, per put");
  app.add_option("--outstanding", flags.outstanding, "puts in flight");
  app.add_option("--seconds", flags.seconds, "how long");
  app.add_option("--slice-ms", flags.slice_ms, "of one line");
  app.add_flag("--load", flags.load, "put every key once instead");
  app.add_option("--csv", flags.csv, "where the lines go");
  CLI11_PARSE(app, argc, argv);
  const flotilla::Status status = flotilla::bench::Run(flags);
  if (status.ok()) return 0;
  fmt::print(stderr, "error: {}\n", flotilla::MessageOf(status));
  return 1;
}
