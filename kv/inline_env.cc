#include "kv/inline_env.h"

#include <utility>

namespace flotilla::kv {
namespace {

// RocksDB's view of an injected clock.
class InjectedClock final : public rocksdb::SystemClock {
 public:
  explicit InjectedClock(const Clock* clock) : clock_(clock) {}

  const char* Name() const override { return "FlotillaInjectedClock"; }
  std::uint64_t NowMicros() override {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(clock_->Now().time_since_epoch())
            .count());
  }
  std::uint64_t NowNanos() override {
    return static_cast<std::uint64_t>(clock_->Now().time_since_epoch().count());
  }
  std::uint64_t CPUMicros() override { return 0; }
  void SleepForMicroseconds(int) override {}
  rocksdb::Status GetCurrentTime(std::int64_t* seconds) override {
    *seconds = clock_->WallNow().count() / 1'000'000;
    return rocksdb::Status::OK();
  }
  std::string TimeToString(std::uint64_t seconds) override { return std::to_string(seconds); }

 private:
  const Clock* const clock_;
};

}  // namespace

InlineEnv::InlineEnv(const std::shared_ptr<rocksdb::FileSystem>& files, const Clock* clock)
    : EnvWrapper(rocksdb::NewCompositeEnv(files)) {
  file_system_ = files;
  system_clock_ = std::make_shared<InjectedClock>(clock);
}

InlineEnv::~InlineEnv() = default;

void InlineEnv::Schedule(void (*function)(void*), void* arg, Priority priority, void* tag,
                         void (*unschedule)(void*)) {
  const Job job{.function = function, .arg = arg, .tag = tag, .unschedule = unschedule};
  if (priority == Priority::HIGH) {
    queue_.push_front(job);  // flushes, never more than one
  } else {
    queue_.push_back(job);
  }
}

int InlineEnv::UnSchedule(void* tag, Priority) {
  int count = 0;
  std::deque<Job> kept;
  for (Job& job : queue_) {
    if (job.tag != tag) {
      kept.push_back(job);
      continue;
    }
    if (job.unschedule != nullptr) job.unschedule(job.arg);
    ++count;
  }
  queue_ = std::move(kept);
  return count;
}

// RocksDB starts threads for nothing that the simulator uses; what comes all the same is a job.
void InlineEnv::StartThread(void (*function)(void*), void* arg) {
  queue_.push_back({.function = function, .arg = arg, .tag = nullptr, .unschedule = nullptr});
}

void InlineEnv::RunQueued() {
  if (running_) return;
  running_ = true;
  constexpr int kJobsMax = 16;
  for (int jobs = 0; jobs < kJobsMax && !queue_.empty(); ++jobs) {
    const Job job = queue_.front();
    queue_.pop_front();
    job.function(job.arg);
  }
  running_ = false;
}

}  // namespace flotilla::kv
