// lists ENDPOINTS KEYSPACE (client_load.h): transactions at every level that read lists and append
// to them; what they saw is checked for anomalies (tests/sim/list_check.h), some ten thousand
// transactions at a time, which have lists of their own.
#include <absl/strings/numbers.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "client/client.h"
#include "tests/cluster/client_load.h"
#include "tests/sim/list_check.h"

namespace flotilla::client {
namespace {

using sim::List;
using sim::ListElement;
using sim::ListFate;
using sim::ListTxn;

constexpr int kThreads = 12;
constexpr std::size_t kSlots = 40;
constexpr int kAppendsMax = 20;
constexpr std::size_t kStepsMax = 4;
// A node that is gone refuses quickly.
constexpr auto kAfterFailure = std::chrono::milliseconds(2);
constexpr std::size_t kCheckedTogether = 10'000;

struct Level {
  Isolation asked;
  kv::Isolation promised;
};
constexpr std::array kLevels{
    Level{Isolation::kSerializable, kv::Isolation::kSerializable},
    Level{Isolation::kRepeatableRead, kv::Isolation::kRepeatableRead},
    Level{Isolation::kReadCommitted, kv::Isolation::kReadCommitted},
    Level{Isolation::kReadUncommitted, kv::Isolation::kReadUncommitted},
};

List Decode(const std::string& value) {
  List list;
  if (value.empty()) return list;
  for (const absl::string_view one : absl::StrSplit(value, ',')) {
    // What is no number is no element of anybody's.
    if (!absl::SimpleAtoi(one, &list.emplace_back())) list.back() = 0;
  }
  return list;
}

// Transactions on the same lists.
class Era {
 public:
  explicit Era(std::uint64_t number) : number_(number) {}

  // The list that a slot has now, counted.
  std::uint64_t ListIn(std::size_t slot) const {
    std::lock_guard lock(mutex_);
    return slots_[slot].list;
  }
  // Somebody is about to append: one that has got long is followed by a new one, which is not there
  // yet, and a phantom to whoever scans for it.
  ListElement NextElement(std::size_t slot) {
    std::lock_guard lock(mutex_);
    if (++slots_[slot].appended >= kAppendsMax) slots_[slot] = {.list = slots_[slot].list + 1};
    return next_element_++;
  }
  std::string NameOf(std::size_t slot, std::uint64_t list) const {
    return fmt::format("list{:02}-{:06}-{:06}", slot, number_, list);
  }
  void Note(ListTxn txn) {
    std::lock_guard lock(mutex_);
    txn.number = history_.size() + 1;
    history_.push_back(std::move(txn));
  }
  bool full() const {
    std::lock_guard lock(mutex_);
    return history_.size() >= kCheckedTogether;
  }
  std::uint64_t number() const { return number_; }
  // Once nobody uses it any more.
  std::uint64_t committed() const {
    return static_cast<std::uint64_t>(
        std::count_if(history_.begin(), history_.end(),
                      [](const ListTxn& txn) { return txn.fate == ListFate::kCommitted; }));
  }
  std::optional<sim::ListAnomaly> Check() const { return sim::FindAnomaly(history_); }

 private:
  struct Slot {
    std::uint64_t list = 1;
    int appended = 0;
  };
  const std::uint64_t number_;
  mutable std::mutex mutex_;
  std::array<Slot, kSlots> slots_;
  ListElement next_element_ = 1;
  std::vector<ListTxn> history_;
};

class Lists final : public ClientLoad {
 public:
  // Names of another run are never met again.
  explicit Lists(Client* client) : client_(client), era_(NewEra(SeedFromSystem() % 1'000'000)) {}

  int threads() const override { return kThreads; }
  void Work(int, Random random) override {
    while (!stopped()) {
      const std::shared_ptr<Era> era = Current();
      ListTxn run;
      run.begun = clock_.Now();
      run.fate = Run(*era, random, run);
      if (run.fate == ListFate::kCommitted) {
        run.ended = clock_.Now();
        ++committed_;
      } else {
        ++(run.fate == ListFate::kUnknown ? unknown_ : aborted_);
        std::this_thread::sleep_for(kAfterFailure);
      }
      era->Note(std::move(run));
    }
  }
  // What is left is checked when its last user lets go of it.
  void Close() override {
    std::lock_guard lock(mutex_);
    era_ = nullptr;
  }
  std::string Counts() const override {
    return fmt::format("committed {} unknown {} aborted {} checked {}", committed_.load(),
                       unknown_.load(), aborted_.load(), checked_.load());
  }

 private:
  std::shared_ptr<Era> NewEra(std::uint64_t number) {
    return {new Era(number), [this](Era* era) {
              const std::unique_ptr<Era> owned(era);
              if (const auto found = owned->Check()) {
                Wrong(fmt::format("{}: {}", sim::NameOf(found->kind), found->how));
              }
              checked_ += owned->committed();
            }};
  }
  std::shared_ptr<Era> Current() {
    std::shared_ptr<Era> old;  // perhaps checked here, without the lock
    std::lock_guard lock(mutex_);
    if (era_->full()) old = std::exchange(era_, NewEra(era_->number() + 1));
    return era_;
  }

  ListFate Run(Era& era, Random& random, ListTxn& run) {
    TransactionOptions options;
    const Level& level = kLevels[random.Chance(0.6) ? 0 : random.Below(kLevels.size())];
    options.isolation = level.asked;
    run.isolation = level.promised;
    run.read_only = options.read_only = random.Chance(0.2);
    if (!run.read_only && random.Chance(0.15)) options.locking = Locking::kPessimistic;
    run.locks = options.locking == Locking::kPessimistic;
    options.timeout = std::chrono::seconds(20);
    const std::unique_ptr<Transaction> txn = client_->Begin(options);
    for (std::size_t i = random.Between(1, kStepsMax); i > 0; --i) {
      const double act = random.Unit();
      const std::size_t slot = random.Below(kSlots);
      const Status done = act < 0.85 ? Read(era, *txn, slot, act < 0.5, random, run)
                                     : Scan(era, *txn, slot, random, run);
      if (!done.ok()) return ListFate::kAborted;
    }
    const StatusOr<Timestamp> end = txn->Commit();
    if (end.ok()) return ListFate::kCommitted;
    const Reason reason = ReasonOf(end.status());
    const bool perhaps = reason == Reason::kOutcomeUnknown || reason == Reason::kInternal;
    return perhaps ? ListFate::kUnknown : ListFate::kAborted;
  }

  Status Read(Era& era, Transaction& txn, std::size_t slot, bool appends, Random& random,
              ListTxn& run) {
    const std::string name = era.NameOf(slot, era.ListIn(slot));
    TxnCallOptions options;
    if (!run.read_only && random.Chance(appends ? 0.2 : 0.05)) {
      options.lock = TxnLock{.share = !appends};
      run.locks = true;
    }
    ASSIGN_OR_RETURN(const GetResult got, txn.Get(name, options));
    List found = got.found ? Decode(got.value) : List();
    if (!appends || run.read_only) {
      run.steps.push_back({.key = name, .found = std::move(found)});
      return absl::OkStatus();
    }
    const ListElement element = era.NextElement(slot);
    List after = found;
    after.push_back(element);
    RETURN_IF_ERROR(txn.Put(name, absl::StrJoin(after, ",")));
    run.steps.push_back({.key = name, .found = std::move(found), .appended = element});
    return absl::OkStatus();
  }

  // The list that there is, with the one before and the one to come.
  Status Scan(Era& era, Transaction& txn, std::size_t slot, Random& random, ListTxn& run) {
    const std::uint64_t list = era.ListIn(slot);
    TxnCallOptions options;
    if (!run.read_only && random.Chance(0.15)) {
      options.lock.emplace();
      run.locks = true;
    }
    ASSIGN_OR_RETURN(const std::vector<Row> rows, txn.Scan({.start = era.NameOf(slot, list - 1),
                                                            .end = era.NameOf(slot, list + 2)},
                                                           options));
    std::map<std::string, List> found;
    for (std::uint64_t one = list - 1; one <= list + 1; ++one) found[era.NameOf(slot, one)] = {};
    for (const Row& row : rows) found[row.key] = Decode(row.value);
    for (auto& [name, seen] : found) {
      run.steps.push_back({.key = name, .found = std::move(seen)});
    }
    return absl::OkStatus();
  }

  Client* const client_;
  const RealClock clock_;
  std::mutex mutex_;
  std::shared_ptr<Era> era_;
  std::atomic<std::uint64_t> committed_{0};
  std::atomic<std::uint64_t> unknown_{0};
  std::atomic<std::uint64_t> aborted_{0};
  std::atomic<std::uint64_t> checked_{0};
};

}  // namespace
}  // namespace flotilla::client

int main(int argc, char** argv) {
  using namespace flotilla::client;
  return RunLoad(argc, argv, [](Client* client) { return std::make_unique<Lists>(client); });
}
