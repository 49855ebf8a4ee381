#include "tests/sim/list_load.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "tests/sim/list_check.h"

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kAct = 54;
constexpr std::size_t kLanes = 4;
constexpr std::size_t kSlots = 5;
constexpr int kAppendsMax = 10;
constexpr std::size_t kStepsMax = 4;
constexpr Duration kThinkMax = std::chrono::milliseconds(10);
constexpr Duration kBetweenMax = std::chrono::milliseconds(100);
constexpr Duration kWithin = std::chrono::seconds(4);
// Of a transaction whose node has gone nothing more is heard.
constexpr Duration kGiveUp = std::chrono::seconds(15);

std::string Encode(const List& list) { return absl::StrJoin(list, ","); }

List Decode(const std::string& value) {
  List list;
  if (value.empty()) return list;
  for (const std::string& one : std::vector<std::string>(absl::StrSplit(value, ','))) {
    // What is no number is no element of anybody's.
    if (!absl::SimpleAtoi(one, &list.emplace_back())) list.back() = 0;
  }
  return list;
}

}  // namespace

ListLoad::ListLoad(EventLoop* loop, SimCluster* cluster, std::vector<std::string> keyspaces,
                   std::uint64_t seed)
    : loop_(loop),
      cluster_(cluster),
      keyspaces_(std::move(keyspaces)),
      random_(seed),
      lanes_(kLanes),
      slots_(kSlots) {}

void ListLoad::Start() {
  for (std::size_t lane = 0; lane < kLanes; ++lane) Next(lane);
}

bool ListLoad::idle() const {
  return std::none_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.busy; });
}

std::string ListLoad::Check() const {
  const std::optional<ListAnomaly> found = FindAnomaly(history_);
  return found ? fmt::format("lists: {}: {}", sim::NameOf(found->kind), found->how) : "";
}

int ListLoad::AnyNode() {
  const int node = static_cast<int>(random_.Below(static_cast<std::uint64_t>(cluster_->size())));
  if (!cluster_->running(node) || loop_->paused(SimCluster::IdOf(node))) return -1;
  // One that has just started may not know them all.
  const Gateway& gateway = cluster_->node(node)->gateway();
  const bool knows =
      std::all_of(keyspaces_.begin(), keyspaces_.end(),
                  [&](const std::string& name) { return gateway.FindKeyspace(name).has_value(); });
  return knows ? node : -1;
}

MonoTime ListLoad::Deadline(int node) const { return cluster_->process(node)->Now() + kWithin; }

kv::KeyspaceId ListLoad::KeyspaceOf(int node, std::size_t slot) const {
  const std::string& name = keyspaces_[slot % keyspaces_.size()];
  return cluster_->node(node)->gateway().FindKeyspace(name).value();
}

std::string ListLoad::NameOf(std::size_t slot, std::uint64_t list) {
  return fmt::format("list{}-{:06}", slot, list);
}

template <class Answer, class Do>
auto ListLoad::Guard(std::size_t lane, Do then) {
  return [weak = std::weak_ptr(self_), lane, generation = lanes_[lane].generation,
          then = std::move(then)](Answer answer) mutable {
    const auto self = weak.lock();
    if (!self || (*self)->lanes_[lane].generation != generation) return;
    then(**self, std::move(answer));
  };
}

void ListLoad::Later(std::size_t lane) {
  const auto wait = static_cast<std::int64_t>(
      random_.Below(static_cast<std::uint64_t>(Duration(kThinkMax).count()) + 1));
  loop_->At(loop_->now() + Duration(wait), kNoProcess, kAct,
            [this, lane, generation = lanes_[lane].generation] {
              if (lanes_[lane].generation == generation) Step(lane);
            });
}

void ListLoad::Next(std::size_t lane) {
  const auto between = static_cast<std::int64_t>(
      random_.Below(static_cast<std::uint64_t>(Duration(kBetweenMax).count()) + 1));
  loop_->At(loop_->now() + Duration(between), kNoProcess, kAct, [this, lane] {
    Lane& own = lanes_[lane];
    if (own.busy && loop_->now() >= own.give_up) {
      Ended(lane, own.committing ? ListFate::kUnknown : ListFate::kAborted);
    }
    if (!own.busy && !ended_) Begin(lane);
    if (own.busy || !ended_) Next(lane);
  });
}

void ListLoad::Begin(std::size_t lane) {
  const int node = AnyNode();
  if (node < 0) return;
  Lane& own = lanes_[lane];
  ++own.generation;
  own.busy = true;
  own.committing = false;
  own.node = node;
  own.life = cluster_->life(node);
  own.give_up = loop_->now() + kGiveUp;
  own.run = ListTxn();
  own.run.number = next_number_++;
  own.run.begun = loop_->now();
  TxnOptions options;
  const double level = random_.Unit();
  if (level > 0.6) options.isolation = static_cast<kv::Isolation>(1 + random_.Below(3));
  options.read_only = random_.Chance(0.2);
  if (!options.read_only && random_.Chance(0.3)) options.locking = Locking::kPessimistic;
  own.run.isolation = options.isolation;
  own.run.locks = options.locking == Locking::kPessimistic;
  own.run.read_only = options.read_only;
  own.plans.clear();
  for (std::size_t i = random_.Between(1, kStepsMax); i > 0; --i) {
    const double act = random_.Unit();
    own.plans.push_back({.act = act < 0.5    ? Act::kAppend
                                : act < 0.85 ? Act::kRead
                                             : Act::kScan,
                         .slot = random_.Below(kSlots)});
  }
  cluster_->node(node)->transactions().Begin(
      options, Deadline(node),
      Guard<StatusOr<std::shared_ptr<Transaction>>>(
          lane, [lane](ListLoad& load, StatusOr<std::shared_ptr<Transaction>> txn) {
            load.loop_->Trace(static_cast<std::uint64_t>(ReasonOf(txn.status())));
            if (!txn.ok()) {
              load.Abort(lane);
              return;
            }
            load.lanes_[lane].txn = *std::move(txn);
            load.Later(lane);
          }));
}

void ListLoad::Step(std::size_t lane) {
  Lane& own = lanes_[lane];
  if (!Lives(own)) {
    Abort(lane);
    return;
  }
  if (own.plans.empty()) {
    Commit(lane);
    return;
  }
  const Plan plan = own.plans.back();
  own.plans.pop_back();
  if (plan.act == Act::kScan) {
    Scan(lane, plan);
  } else {
    Read(lane, plan);
  }
}

void ListLoad::Read(std::size_t lane, const Plan& plan) {
  Lane& own = lanes_[lane];
  const std::string name = NameOf(plan.slot, slots_[plan.slot].list);
  auto then = [lane, plan, name](ListLoad& load, StatusOr<std::vector<kv::GetResult>> got) {
    load.loop_->Trace(static_cast<std::uint64_t>(ReasonOf(got.status())));
    if (!got.ok()) {
      load.Abort(lane);
      return;
    }
    Lane& now = load.lanes_[lane];
    List found = got->front().found ? Decode(got->front().value) : List();
    if (plan.act == Act::kAppend && !now.run.read_only) {
      load.Append(lane, plan.slot, name, std::move(found));
      return;
    }
    now.run.steps.push_back({.key = name, .found = std::move(found)});
    load.Later(lane);
  };
  std::optional<TxnLock> lock;
  if (!own.run.read_only && random_.Chance(plan.act == Act::kAppend ? 0.4 : 0.1)) {
    lock = TxnLock{.strength =
                       plan.act == Act::kAppend ? LockStrength::kUpdate : LockStrength::kShare};
    own.run.locks = true;
  }
  own.txn->Get(KeyspaceOf(own.node, plan.slot), {name}, lock, Deadline(own.node),
               Guard<StatusOr<std::vector<kv::GetResult>>>(lane, std::move(then)));
}

void ListLoad::Append(std::size_t lane, std::size_t slot, const std::string& name, List found) {
  Lane& own = lanes_[lane];
  if (!Lives(own)) return;
  const ListElement element = next_element_++;
  List after = found;
  after.push_back(element);
  if (++slots_[slot].appended >= kAppendsMax) slots_[slot] = {.list = slots_[slot].list + 1};
  auto then = [lane, element, name, found = std::move(found)](ListLoad& load,
                                                              const Status& written) mutable {
    load.loop_->Trace(static_cast<std::uint64_t>(ReasonOf(written)));
    if (!written.ok()) {
      load.Abort(lane);
      return;
    }
    load.lanes_[lane].run.steps.push_back(
        {.key = name, .found = std::move(found), .appended = element});
    load.Later(lane);
  };
  own.txn->Write({{.keyspace = KeyspaceOf(own.node, slot), .key = name, .value = Encode(after)}},
                 Deadline(own.node), Guard<Status>(lane, std::move(then)));
}

// The list that there is, with the one before and the one to come.
void ListLoad::Scan(std::size_t lane, const Plan& plan) {
  Lane& own = lanes_[lane];
  const std::uint64_t list = slots_[plan.slot].list;
  kv::ScanRequest request{.keyspace = KeyspaceOf(own.node, plan.slot),
                          .start = NameOf(plan.slot, list - 1),
                          .end = NameOf(plan.slot, list + 2)};
  auto then = [lane, plan, list](ListLoad& load, StatusOr<kv::ScanPage> page) {
    load.loop_->Trace(static_cast<std::uint64_t>(ReasonOf(page.status())));
    // Where shards end within the three lists, others have looked at whether pages go together.
    if (!page.ok() || page->more) {
      load.Abort(lane);
      return;
    }
    std::map<std::string, List> found;
    for (std::uint64_t one = list - 1; one <= list + 1; ++one) found[NameOf(plan.slot, one)] = {};
    for (const kv::ScanRow& row : page->rows) found[row.key] = Decode(row.value);
    for (auto& [name, rows] : found) {
      load.lanes_[lane].run.steps.push_back({.key = name, .found = std::move(rows)});
    }
    load.Later(lane);
  };
  std::optional<TxnLock> lock;
  if (!own.run.read_only && random_.Chance(0.15)) {
    lock.emplace();
    own.run.locks = true;
  }
  own.txn->Scan(std::move(request), lock, Deadline(own.node),
                Guard<StatusOr<kv::ScanPage>>(lane, std::move(then)));
}

void ListLoad::Commit(std::size_t lane) {
  Lane& own = lanes_[lane];
  own.committing = true;
  auto then = [lane](ListLoad& load, const StatusOr<Timestamp>& end) {
    const Reason reason = ReasonOf(end.status());
    load.loop_->Trace(static_cast<std::uint64_t>(reason));
    if (end.ok()) {
      load.lanes_[lane].run.ended = load.loop_->now();
      ++load.committed_;
      load.Ended(lane, ListFate::kCommitted);
      return;
    }
    const bool perhaps = reason == Reason::kOutcomeUnknown || reason == Reason::kInternal;
    load.Ended(lane, perhaps ? ListFate::kUnknown : ListFate::kAborted);
  };
  own.txn->Commit(Deadline(own.node), Guard<StatusOr<Timestamp>>(lane, std::move(then)));
}

void ListLoad::Abort(std::size_t lane) {
  Lane& own = lanes_[lane];
  if (own.txn && Lives(own)) own.txn->RollBack();
  Ended(lane, ListFate::kAborted);
}

void ListLoad::Ended(std::size_t lane, ListFate fate) {
  Lane& own = lanes_[lane];
  own.run.fate = fate;
  history_.push_back(std::move(own.run));
  own.txn = nullptr;
  own.busy = false;
  ++own.generation;
}

}  // namespace flotilla::sim
