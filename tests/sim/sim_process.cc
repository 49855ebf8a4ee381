#include "tests/sim/sim_process.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

namespace flotilla::sim {
namespace {

enum TraceKind : std::uint32_t { kClosure = 1, kTimer = 2, kPoolClosure = 3 };

// Posting and running cost this much virtual time, so that time passes even in a busy loop.
constexpr Duration kStep = std::chrono::microseconds(2);

class SimStrand final : public Strand {
 public:
  // `sync_time`: null for a strand that does not wait for the disk.
  SimStrand(SimProcess* process, std::shared_ptr<const Duration> sync_time)
      : state_(std::make_shared<State>()) {
    state_->process = process;
    state_->sync_time = std::move(sync_time);
  }

  void Post(Closure closure) override {
    MonoTime at = std::max(state_->process->Now() + kStep, state_->busy_until);
    if (state_->sync_time) {
      at = std::max(at, state_->disk_free_at) + *state_->sync_time;
      state_->disk_free_at = at;
    }
    Schedule(state_, at, kClosure, std::move(closure));
  }

  TimerId After(Duration delay, Closure closure) override {
    const TimerId id = state_->next_timer++;
    state_->timers.emplace(id, std::move(closure));
    Schedule(state_, state_->process->Now() + std::max(delay, kStep), kTimer,
             [state = state_.get(), id] {
               const auto found = state->timers.find(id);
               if (found == state->timers.end()) return;
               Closure fired = std::move(found->second);
               state->timers.erase(found);
               fired();
             });
    return id;
  }

  void Cancel(TimerId timer) override {
    const auto found = state_->timers.find(timer);
    if (found == state_->timers.end()) return;
    const Closure cancelled = std::move(found->second);
    state_->timers.erase(found);
  }

  bool IsCurrent() const override { return state_->running; }

 private:
  struct State {
    SimProcess* process = nullptr;
    std::shared_ptr<const Duration> sync_time;
    MonoTime disk_free_at{};
    MonoTime busy_until{};
    std::uint64_t last_order = 0;
    TimerId next_timer = 1;
    std::map<TimerId, Closure> timers;
    bool running = false;
  };

  // A closure that comes while the strand is busy with a slow one waits for it.
  static void Schedule(const std::shared_ptr<State>& state, MonoTime at, std::uint32_t what,
                       Closure closure) {
    EventLoop& loop = state->process->loop();
    loop.At(at, state->process->id(), what, [state, what, closure = std::move(closure)]() mutable {
      EventLoop& running_loop = state->process->loop();
      if (running_loop.now() < state->busy_until) {
        Schedule(state, state->busy_until, what, std::move(closure));
        return;
      }
      state->running = true;
      // Such a strand has waited already.
      running_loop.SetCharging(!state->sync_time);
      closure();
      closure = nullptr;
      running_loop.SetCharging(true);
      state->running = false;
      state->busy_until = running_loop.now() + running_loop.charged();
    });
  }

  const std::shared_ptr<State> state_;
};

}  // namespace

std::unique_ptr<Strand> SimProcess::NewStrand(std::string_view) {
  return std::make_unique<SimStrand>(this, nullptr);
}

std::unique_ptr<Strand> SimProcess::NewBlockingStrand(std::string_view name) {
  return std::make_unique<SimStrand>(this, name == "log" ? sync_time_ : nullptr);
}

void SimProcess::Post(Closure closure) {
  loop_->At(Now() + kStep, id_, kPoolClosure, std::move(closure));
}

std::chrono::microseconds SimProcess::WallNow() const {
  // Any date will do, as long as it is the same in every run.
  constexpr std::chrono::microseconds kEpoch = std::chrono::hours(24 * 365 * 55);
  return kEpoch + wall_offset_ +
         std::chrono::duration_cast<std::chrono::microseconds>(Now().time_since_epoch());
}

}  // namespace flotilla::sim
