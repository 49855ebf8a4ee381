#include "tests/sim/sim_process.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/sim/fiber.h"

namespace flotilla::sim {
namespace {

enum TraceKind : std::uint32_t { kClosure = 1, kTimer = 2, kPoolClosure = 3, kSynced = 4 };

// Posting and running cost this much virtual time, so that time passes even in a busy loop.
constexpr Duration kStep = std::chrono::microseconds(2);
constexpr std::int64_t kMillion = 1'000'000;
constexpr Duration kStallMax = std::chrono::milliseconds(100);

}  // namespace

struct SimProcess::StrandState {
  SimProcess* process = nullptr;
  std::shared_ptr<const Duration> sync_time;  // null: does not wait for the disk
  std::unique_ptr<Fiber> fiber;               // what waits in the midst of a closure runs here
  MonoTime synced_at{};                       // of the sync that the fiber waits for
  MonoTime disk_free_at{};
  bool stalls = false;
  MonoTime stalled_until{};
  struct Waiting {
    Closure closure;
    bool for_disk = false;
  };
  // By the time at which they may run, then by the order of their posting.
  std::map<std::pair<MonoTime, std::uint64_t>, Waiting> closures;
  std::uint64_t next_closure = 0;
  std::map<TimerId, Closure> timers;
  TimerId next_timer = 1;
  MonoTime busy_until{};
  bool running = false;
};

class SimProcess::SimStrand final : public Strand {
 public:
  explicit SimStrand(std::shared_ptr<StrandState> state) : state_(std::move(state)) {}
  ~SimStrand() override { const auto timers = std::exchange(state_->timers, {}); }

  void Post(Closure closure) override {
    if (Stopped()) return;
    MonoTime at = state_->process->VirtualNow() + kStep;
    const bool for_disk = state_->sync_time && !state_->fiber;
    if (for_disk) {
      at = std::max(at, state_->disk_free_at) + *state_->sync_time;
      state_->disk_free_at = at;
    }
    if (state_->stalls) {
      at = std::max(at, state_->stalled_until) + state_->process->DrawStall();
      state_->stalled_until = at;
    }
    Schedule(state_, at, kClosure, {std::move(closure), for_disk});
  }

  TimerId After(Duration delay, Closure closure) override {
    const TimerId id = state_->next_timer++;
    if (Stopped()) return id;
    state_->timers.emplace(id, std::move(closure));
    const SimProcess& process = *state_->process;
    Schedule(state_, process.VirtualNow() + std::max(process.ToVirtual(delay), kStep), kTimer,
             {[state = state_.get(), id] {
               const auto found = state->timers.find(id);
               if (found == state->timers.end()) return;
               Closure fired = std::move(found->second);
               state->timers.erase(found);
               fired();
             }});
    return id;
  }

  bool Cancel(TimerId timer) override {
    const auto found = state_->timers.find(timer);
    if (found == state_->timers.end()) return false;
    const Closure cancelled = std::move(found->second);
    state_->timers.erase(found);
    return true;
  }

  bool IsCurrent() const override { return state_->running; }
  bool Stopped() const override { return state_->process->stopped_; }

  // What waits for the disk waits no longer than it would had it begun now.
  static void Hasten(const std::shared_ptr<StrandState>& state) {
    if (state->fiber) {
      if (state->fiber->waiting()) AwaitUntil(state, std::min(state->synced_at, SyncedAt(*state)));
      return;
    }
    MonoTime due = state->process->VirtualNow();
    for (auto one = state->closures.begin(); one != state->closures.end();) {
      const auto [at, number] = one->first;
      const auto next = std::next(one);
      if (one->second.for_disk) {
        due += *state->sync_time;
        if (due < at) {
          auto node = state->closures.extract(one);
          node.key() = {due, number};
          state->closures.insert(std::move(node));
          AddTurn(state, std::max(due, state->busy_until), kClosure);
        } else {
          due = at;
        }
      }
      one = next;
    }
    state->disk_free_at = std::min(state->disk_free_at, due);
  }

  // In the midst of a closure.
  static void AwaitSync(const std::shared_ptr<StrandState>& state) {
    AwaitUntil(state, SyncedAt(*state));
    state->fiber->Wait();
  }

  // The sync has ended, or all has.
  static void GoOn(const std::shared_ptr<StrandState>& state) {
    RunOn(state, [&] { state->fiber->Resume(); });
  }

 private:
  static MonoTime SyncedAt(const StrandState& state) {
    return state.process->VirtualNow() + std::max(*state.sync_time, kStep);
  }

  static void AwaitUntil(const std::shared_ptr<StrandState>& state, MonoTime time) {
    state->synced_at = time;
    EventLoop& loop = state->process->loop();
    loop.At(time, state->process->id(), kSynced, [state, &loop] {
      // One that was hastened has two turns.
      if (!state->fiber->waiting() || loop.now() < state->synced_at) return;
      GoOn(state);
      if (state->fiber->waiting()) return;
      for (const auto& [when, waiting] : state->closures) AddTurn(state, when.first, kClosure);
    });
  }

  template <class Step>
  static void RunOn(const std::shared_ptr<StrandState>& state, Step step) {
    EventLoop& loop = state->process->loop();
    state->running = true;
    if (state->fiber) state->process->on_fiber_ = state;
    // A strand that waits for its disk does so by itself.
    loop.SetCharging(!state->sync_time);
    step();
    loop.SetCharging(true);
    state->process->on_fiber_ = nullptr;
    state->running = false;
    state->busy_until = loop.now() + loop.charged();
  }

  static void Schedule(const std::shared_ptr<StrandState>& state, MonoTime at, std::uint32_t what,
                       StrandState::Waiting closure) {
    state->closures.emplace(std::pair(at, state->next_closure++), std::move(closure));
    AddTurn(state, std::max(at, state->busy_until), what);
  }

  // Runs one closure, once the strand is no longer busy with a slow one. There are at least as many
  // turns as closures, and which of them a turn meets is the strand's business: the order holds
  // whatever the turns had to wait for.
  static void AddTurn(const std::shared_ptr<StrandState>& state, MonoTime at, std::uint32_t what) {
    state->process->loop().At(at, state->process->id(), what, [state, what] {
      EventLoop& loop = state->process->loop();
      if (state->fiber && state->fiber->waiting()) return;  // there will be turns once it has ended
      if (loop.now() < state->busy_until) {
        AddTurn(state, state->busy_until, what);
        return;
      }
      // One that was hastened has two turns.
      if (state->closures.empty() || state->closures.begin()->first.first > loop.now()) return;
      auto first = state->closures.extract(state->closures.begin());
      Closure& closure = first.mapped().closure;
      RunOn(state, [&] {
        if (state->fiber) {
          state->fiber->Run(std::move(closure));
        } else {
          closure();
          closure = nullptr;
        }
      });
    });
  }

  const std::shared_ptr<StrandState> state_;
};

SimProcess::~SimProcess() { Stop(); }

std::unique_ptr<Strand> SimProcess::NewStrand(std::string_view) { return MakeStrand(nullptr); }

std::unique_ptr<Strand> SimProcess::NewBlockingStrand(std::string_view name) {
  auto strand = MakeStrand(name == "log" ? sync_time_ : nullptr);
  strands_.back().lock()->stalls = name == "apply" && stall_chance_ > 0;
  if (name == "log" && syncs_take_their_time_) {
    strands_.back().lock()->fiber = std::make_unique<Fiber>();
  }
  return strand;
}

std::unique_ptr<Strand> SimProcess::MakeStrand(std::shared_ptr<const Duration> sync_time) {
  std::erase_if(strands_, [](const std::weak_ptr<StrandState>& one) { return one.expired(); });
  auto state = std::make_shared<StrandState>();
  state->process = this;
  state->sync_time = std::move(sync_time);
  strands_.push_back(state);
  return std::make_unique<SimStrand>(std::move(state));
}

void SimProcess::Post(Closure closure) {
  if (stopped_) return;
  loop_->At(VirtualNow() + kStep, id_, kPoolClosure, std::move(closure));
}

void SimProcess::StallApply(Random random, double chance) {
  stalls_ = random;
  stall_chance_ = chance;
}

Duration SimProcess::DrawStall() {
  if (!stalls_.Chance(stall_chance_)) return Duration(0);
  return Duration(
      static_cast<std::int64_t>(stalls_.Below(static_cast<std::uint64_t>(kStallMax.count()))));
}

void SimProcess::AwaitSync() {
  if (on_fiber_ && !stopped_) SimStrand::AwaitSync(on_fiber_);
}

void SimProcess::OnSyncTime() {
  for (const std::weak_ptr<StrandState>& one : strands_) {
    const std::shared_ptr<StrandState> state = one.lock();
    if (state && state->sync_time) SimStrand::Hasten(state);
  }
}

void SimProcess::Stop() {
  if (std::exchange(stopped_, true)) return;
  const auto strands = std::exchange(strands_, {});
  loop_->Purge(id_);
  for (const std::weak_ptr<StrandState>& one : strands) {
    const std::shared_ptr<StrandState> state = one.lock();
    if (!state) continue;
    // It learns that its disk is gone.
    while (state->fiber && state->fiber->waiting()) SimStrand::GoOn(state);
    const auto closures = std::exchange(state->closures, {});
    const auto timers = std::exchange(state->timers, {});
  }
}

MonoTime SimProcess::Now() const {
  const Duration passed = VirtualNow() - anchor_virtual_;
  return anchor_local_ + passed + passed * drift_ppm_ / kMillion;
}

void SimProcess::SetDrift(std::int64_t parts_per_million) {
  const MonoTime local = Now();
  anchor_virtual_ = VirtualNow();
  anchor_local_ = local;
  drift_ppm_ = parts_per_million;
}

Duration SimProcess::ToVirtual(Duration local) const {
  return drift_ppm_ == 0 ? local : local * kMillion / (kMillion + drift_ppm_);
}

std::chrono::microseconds SimProcess::WallNow() const {
  // Any date will do, as long as it is the same in every run.
  constexpr std::chrono::microseconds kEpoch = std::chrono::hours(24 * 365 * 55);
  return kEpoch + wall_offset_ +
         std::chrono::duration_cast<std::chrono::microseconds>(Now().time_since_epoch());
}

}  // namespace flotilla::sim
