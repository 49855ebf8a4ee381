#include "tests/sim/txn_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "kv/command.h"
#include "kv/page_overlay.h"
#include "shard/one_answer.h"

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kAct = 53;
constexpr std::size_t kLanes = 4;
constexpr int kKeys = 4;      // of each keyspace
constexpr int kAccounts = 3;  // of each keyspace
constexpr std::int64_t kMoney = 100;
// Now and then a transaction writes a few thousand keys.
constexpr double kLarge = 0.006;
constexpr std::uint64_t kLargeKeysMin = 500;
constexpr std::uint64_t kLargeKeys = 3'000;
constexpr Duration kThinkMax = std::chrono::milliseconds(15);
constexpr Duration kBetweenMax = std::chrono::milliseconds(120);
constexpr Duration kWithin = std::chrono::seconds(4);
constexpr std::uint64_t kFirstClient = 1ull << 40;
// Of a transaction whose node has gone nothing more is heard.
constexpr Duration kGiveUp = std::chrono::seconds(15);

bool Perhaps(const Status& status) {
  const Reason reason = ReasonOf(status);
  return reason == Reason::kOutcomeUnknown || reason == Reason::kInternal;
}

}  // namespace

TxnLoad::TxnLoad(EventLoop* loop, SimCluster* cluster, std::vector<std::string> keyspaces,
                 std::uint64_t seed)
    : loop_(loop),
      cluster_(cluster),
      keyspaces_(std::move(keyspaces)),
      random_(seed),
      lanes_(kLanes) {}

void TxnLoad::Start() {
  for (std::size_t lane = 0; lane < kLanes; ++lane) Next(lane);
}

bool TxnLoad::idle() const {
  return std::none_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.busy; });
}

int TxnLoad::AnyNode() {
  const int node = static_cast<int>(random_.Below(static_cast<std::uint64_t>(cluster_->size())));
  if (!cluster_->running(node) || loop_->paused(SimCluster::IdOf(node))) return -1;
  // One that has just started may not know them all.
  const Gateway& gateway = cluster_->node(node)->gateway();
  const bool knows =
      std::all_of(keyspaces_.begin(), keyspaces_.end(),
                  [&](const std::string& name) { return gateway.FindKeyspace(name).has_value(); });
  return knows ? node : -1;
}

MonoTime TxnLoad::Deadline(int node) const { return cluster_->process(node)->Now() + kWithin; }

TxnLoad::Key TxnLoad::AnyKey(bool account) {
  Key key;
  key.keyspace = random_.Below(keyspaces_.size());
  if (account) {
    key.name = fmt::format("txn-account{}", random_.Below(kAccounts));
  } else if (random_.Chance(0.05)) {
    key = LargeKey(random_.Below(kLargeKeys));
  } else {
    key.name = fmt::format("txn{}", random_.Below(kKeys));
  }
  return key;
}

// Of those that large ones write: most of them in one shard, where it takes several steps to
// resolve them.
TxnLoad::Key TxnLoad::LargeKey(std::uint64_t number) const {
  const bool here = number < kLargeKeys * 2 / 3;
  return {.keyspace = here ? 0 : number % keyspaces_.size(),
          .name = fmt::format("txn-large{}", number)};
}

std::vector<TxnLoad::Key> TxnLoad::Accounts() const {
  std::vector<Key> keys;
  for (std::size_t keyspace = 0; keyspace < keyspaces_.size(); ++keyspace) {
    for (int i = 0; i < kAccounts; ++i) {
      keys.push_back({.keyspace = keyspace, .name = fmt::format("txn-account{}", i)});
    }
  }
  return keys;
}

std::string TxnLoad::NameOf(const Key& key) const {
  return keyspaces_[key.keyspace] + "/" + key.name;
}

kv::KeyspaceId TxnLoad::IdOf(int node, std::size_t keyspace) const {
  return cluster_->node(node)->gateway().FindKeyspace(keyspaces_[keyspace]).value();
}

template <class Answer, class Do>
auto TxnLoad::Guard(std::size_t lane, Do then) {
  return [weak = std::weak_ptr(self_), lane, generation = lanes_[lane].generation,
          then = std::move(then)](Answer answer) mutable {
    const auto self = weak.lock();
    if (!self || (*self)->lanes_[lane].generation != generation) return;
    then(**self, std::move(answer));
  };
}

void TxnLoad::Later(std::size_t lane, void (TxnLoad::*then)(std::size_t)) {
  const auto wait = static_cast<std::int64_t>(
      random_.Below(static_cast<std::uint64_t>(Duration(kThinkMax).count()) + 1));
  loop_->At(loop_->now() + Duration(wait), kNoProcess, kAct,
            [this, lane, generation = lanes_[lane].generation, then] {
              if (lanes_[lane].generation == generation) (this->*then)(lane);
            });
}

void TxnLoad::Next(std::size_t lane) {
  const auto between = static_cast<std::int64_t>(
      random_.Below(static_cast<std::uint64_t>(Duration(kBetweenMax).count()) + 1));
  loop_->At(loop_->now() + Duration(between), kNoProcess, kAct, [this, lane] {
    Lane& own = lanes_[lane];
    if (own.busy && loop_->now() >= own.give_up) Ended(lane);
    if (!own.busy && !ended_) Begin(lane);
    if (own.busy || !ended_) Next(lane);
  });
}

void TxnLoad::Begin(std::size_t lane) {
  const int node = AnyNode();
  if (node < 0) return;
  Lane& own = lanes_[lane];
  ++own.generation;
  own.busy = true;
  own.node = node;
  own.life = cluster_->life(node);
  own.give_up = loop_->now() + kGiveUp;
  own.committing = false;
  own.run = TxnRun();
  own.run.number = next_number_++;
  own.run.after = history_.acknowledged();
  own.steps = static_cast<int>(random_.Between(1, 5));
  own.transfers = !opened_ ? lane == 0 : random_.Chance(0.4);
  own.large = !own.transfers && opened_ && random_.Chance(kLarge);
  if (random_.Chance(0.12)) {
    PutPlain(lane);
    return;
  }
  TxnOptions options;
  const double level = random_.Unit();
  if (own.transfers) {
    options.isolation = level < 0.7 ? kv::Isolation::kSerializable : kv::Isolation::kRepeatableRead;
  } else if (level > 0.75) {
    options.isolation = static_cast<kv::Isolation>(1 + random_.Below(3));
  }
  options.read_only = opened_ && !own.large && random_.Chance(0.25);
  if (!options.read_only && random_.Chance(0.3)) options.locking = Locking::kPessimistic;
  own.run.isolation = options.isolation;
  own.run.read_only = options.read_only;
  own.run.locks = options.locking == Locking::kPessimistic;
  own.locks_reads = own.run.locks && options.isolation == kv::Isolation::kSerializable;
  cluster_->node(node)->transactions().Begin(
      options, Deadline(node),
      Guard<StatusOr<std::shared_ptr<Transaction>>>(
          lane, [lane](TxnLoad& load, StatusOr<std::shared_ptr<Transaction>> txn) {
            load.Begun(lane, std::move(txn));
          }));
}

void TxnLoad::Begun(std::size_t lane, StatusOr<std::shared_ptr<Transaction>> txn) {
  Lane& own = lanes_[lane];
  loop_->Trace(static_cast<std::uint64_t>(ReasonOf(txn.status())));
  if (!txn.ok()) {
    Ended(lane);
    return;
  }
  own.txn = *std::move(txn);
  own.run.start = own.txn->start();
  Later(lane, &TxnLoad::Step);
}

void TxnLoad::Step(std::size_t lane) {
  Lane& own = lanes_[lane];
  if (!Lives(own)) {
    Ended(lane);
    return;
  }
  if (own.transfers && !opened_) {
    std::vector<Change> all;
    for (const Key& key : Accounts()) all.push_back(PutOf(lane, key, true, kMoney));
    Write(lane, std::move(all), &TxnLoad::Commit);
    return;
  }
  if (own.large) {
    const std::uint64_t first = random_.Below(kLargeKeys);
    std::vector<Change> all;
    for (std::uint64_t i = random_.Between(kLargeKeysMin, kLargeKeys); i > 0; --i) {
      all.push_back(PutOf(lane, LargeKey((first + i) % kLargeKeys), true, 0));
    }
    Write(lane, std::move(all), &TxnLoad::Commit);
    return;
  }
  if (own.transfers && own.run.read_only) {
    Read(lane, Accounts());
    own.steps = 0;
    return;
  }
  if (own.transfers) {
    const std::vector<Key> all = Accounts();
    const std::size_t from = random_.Below(all.size());
    const std::size_t to = (from + 1 + random_.Below(all.size() - 1)) % all.size();
    own.steps = 0;
    Read(lane, {all[from], all[to]});
    return;
  }
  if (own.steps-- <= 0) {
    Commit(lane);
    return;
  }
  const double what = random_.Unit();
  if (what < 0.35) {
    std::vector<Key> keys{AnyKey(false)};
    if (random_.Chance(0.4)) keys.push_back(AnyKey(false));
    Read(lane, keys);
  } else if (what < 0.5) {
    const std::size_t keyspace = random_.Below(keyspaces_.size());
    const int first = static_cast<int>(random_.Below(kKeys));
    Scan(lane,
         {.keyspace = IdOf(own.node, keyspace),
          .start = fmt::format("txn{}", first),
          .end = fmt::format("txn{}", random_.Between(static_cast<std::uint64_t>(first) + 1, 9)),
          .reverse = random_.Chance(0.3)},
         keyspace);
  } else {
    const Key key = AnyKey(false);
    if (own.run.read_only) {
      Later(lane, &TxnLoad::Step);
      return;
    }
    std::vector<Change> changes;
    if (random_.Chance(0.15)) changes.push_back(PutOf(lane, key, false, 0));
    changes.push_back(random_.Chance(0.2) ? DeletionOf(lane, key) : PutOf(lane, key, true, 0));
    Write(lane, std::move(changes), &TxnLoad::Step);
  }
}

void TxnLoad::Read(std::size_t lane, const std::vector<Key>& keys) {
  Lane& own = lanes_[lane];
  // Of one keyspace in one call; the others after it.
  auto values = std::make_shared<std::vector<std::string>>(keys.size());
  auto open = std::make_shared<std::size_t>(0);
  auto failed = std::make_shared<bool>(false);
  const std::optional<TxnLock> lock = AnyLock(lane);
  own.run.locks |= lock.has_value();
  std::vector<std::vector<std::size_t>> places(keyspaces_.size());
  for (std::size_t i = 0; i < keys.size(); ++i) places[keys[i].keyspace].push_back(i);
  for (const auto& one : places) *open += one.empty() ? 0 : 1;
  for (std::size_t keyspace = 0; keyspace < places.size(); ++keyspace) {
    if (places[keyspace].empty()) continue;
    std::vector<std::string> names;
    for (const std::size_t place : places[keyspace]) names.push_back(keys[place].name);
    auto then = [lane, keys, values, open, failed, locked = lock || own.locks_reads,
                 mine = places[keyspace]](TxnLoad& load, StatusOr<std::vector<kv::GetResult>> got) {
      load.loop_->Trace(static_cast<std::uint64_t>(ReasonOf(got.status())));
      Lane& lane_now = load.lanes_[lane];
      *failed |= !got.ok();
      for (std::size_t i = 0; got.ok() && i < mine.size(); ++i) {
        const kv::GetResult& result = (*got)[i];
        const std::string name = load.NameOf(keys[mine[i]]);
        (*values)[mine[i]] = result.value;
        if (lane_now.run.writes.contains(name)) continue;
        // What is provisional has no version, and may never be committed.
        if (result.found && !result.version) continue;
        if (result.skipped) continue;
        lane_now.run.reads.push_back({.key = name, .version = result.version, .locked = locked});
        if (result.found) load.history_.NoteVersion(name, result.version, result.value);
      }
      if (--*open > 0) return;
      if (*failed) {
        lane_now.txn->RollBack();
        load.Ended(lane);
      } else if (lane_now.transfers && lane_now.run.read_only) {
        load.LookAtTotal(lane, *values);
        load.Commit(lane);
      } else if (lane_now.transfers) {
        const auto amount = static_cast<std::int64_t>(load.random_.Between(1, 20));
        load.Write(lane,
                   {load.PutOf(lane, keys[0], true, TxnHistory::BalanceOf((*values)[0]) - amount),
                    load.PutOf(lane, keys[1], true, TxnHistory::BalanceOf((*values)[1]) + amount)},
                   &TxnLoad::Commit);
      } else {
        load.Later(lane, &TxnLoad::Step);
      }
    };
    own.txn->Get(IdOf(own.node, keyspace), std::move(names), lock, Deadline(own.node),
                 Guard<StatusOr<std::vector<kv::GetResult>>>(lane, std::move(then)));
  }
}

void TxnLoad::LookAtTotal(std::size_t lane, const std::vector<std::string>& values) {
  std::int64_t total = 0;
  for (const std::string& value : values) total += TxnHistory::BalanceOf(value);
  const auto wanted = kMoney * static_cast<std::int64_t>(values.size());
  ++totals_;
  if (total == wanted || !failure_.empty()) return;
  failure_ = fmt::format("transaction {} (start {}) found {} on all accounts instead of {}",
                         lanes_[lane].run.number, lanes_[lane].run.start.value(), total, wanted);
}

void TxnLoad::Scan(std::size_t lane, const kv::ScanRequest& request, std::size_t keyspace) {
  Lane& own = lanes_[lane];
  const std::optional<TxnLock> lock = AnyLock(lane);
  own.run.locks |= lock.has_value();
  const bool skips = lock && lock->patience == LockPatience::kSkipLocked;
  auto then = [lane, request, keyspace, locked = lock || own.locks_reads, skips](
                  TxnLoad& load, StatusOr<kv::ScanPage> page) {
    load.loop_->Trace(static_cast<std::uint64_t>(ReasonOf(page.status())));
    Lane& lane_now = load.lanes_[lane];
    if (!page.ok()) {
      lane_now.txn->RollBack();
      load.Ended(lane);
      return;
    }
    // Of every key that the page speaks of: what it is not among, it has not got.
    std::map<std::string, Timestamp> found;
    for (const kv::ScanRow& row : page->rows) {
      found[row.key] = row.version;
      const std::string name = load.NameOf({keyspace, row.key});
      if (!lane_now.run.writes.contains(name) && row.version) {
        load.history_.NoteVersion(name, row.version, row.value);
      }
    }
    const kv::PageSpan span = kv::SpanOf(request, *page);
    for (int i = 0; i < kKeys; ++i) {
      const std::string key = fmt::format("txn{}", i);
      const std::string name = load.NameOf({keyspace, key});
      if (key < span.start || key >= span.end || lane_now.run.writes.contains(name)) continue;
      if (skips && !found.contains(key)) continue;
      lane_now.run.reads.push_back({.key = name, .version = found[key], .locked = locked});
    }
    if (!page->more) {
      load.Later(lane, &TxnLoad::Step);
      return;
    }
    kv::ScanRequest rest = request;
    (rest.reverse ? rest.end : rest.start) = page->resume_key;
    if (load.Lives(lane_now)) load.Scan(lane, rest, keyspace);
  };
  own.txn->Scan(request, lock, Deadline(own.node),
                Guard<StatusOr<kv::ScanPage>>(lane, std::move(then)));
}

TxnLoad::Change TxnLoad::PutOf(std::size_t lane, const Key& key, bool final,
                               std::int64_t balance) const {
  return {.key = key,
          .value = TxnHistory::ValueOf(lanes_[lane].run.number, final, balance),
          .deletes = false};
}

TxnLoad::Change TxnLoad::DeletionOf(std::size_t lane, const Key& key) const {
  return {.key = key, .value = TxnHistory::DeletedBy(lanes_[lane].run.number), .deletes = true};
}

void TxnLoad::Write(std::size_t lane, std::vector<Change> changes,
                    void (TxnLoad::*then)(std::size_t)) {
  Lane& own = lanes_[lane];
  if (!Lives(own)) {
    Ended(lane);
    return;
  }
  std::vector<TxnMutation> mutations;
  for (const Change& change : changes) {
    mutations.push_back({.keyspace = IdOf(own.node, change.key.keyspace),
                         .deletes = change.deletes,
                         .key = change.key.name,
                         .value = change.deletes ? std::string() : change.value});
  }
  auto done = [lane, changes = std::move(changes), then](TxnLoad& load, const Status& written) {
    load.loop_->Trace(static_cast<std::uint64_t>(ReasonOf(written)));
    Lane& now = load.lanes_[lane];
    if (!written.ok()) {
      now.txn->RollBack();
      load.Ended(lane);
      return;
    }
    for (const Change& change : changes) now.run.writes[load.NameOf(change.key)] = change.value;
    load.Later(lane, then);
  };
  own.txn->Write(std::move(mutations), Deadline(own.node), Guard<Status>(lane, std::move(done)));
}

// Some of those that may write lock what they read.
std::optional<TxnLock> TxnLoad::AnyLock(std::size_t lane) {
  Lane& own = lanes_[lane];
  if (own.run.read_only || !random_.Chance(own.transfers ? 0.4 : 0.15)) return std::nullopt;
  TxnLock lock;
  if (!own.transfers && random_.Chance(0.3)) lock.strength = LockStrength::kShare;
  const double patience = random_.Unit();
  if (patience < 0.1) lock.patience = LockPatience::kNoWait;
  if (!own.transfers && patience > 0.85) lock.patience = LockPatience::kSkipLocked;
  return lock;
}

void TxnLoad::PutPlain(std::size_t lane) {
  Lane& own = lanes_[lane];
  const Key key = AnyKey(false);
  const std::string value = TxnHistory::ValueOf(own.run.number, true, 0);
  own.run.isolation = kv::Isolation::kReadUncommitted;
  own.run.writes[NameOf(key)] = value;
  kv::CommandView command;
  command.keyspace = IdOf(own.node, key.keyspace);
  // So that a message which comes twice has one effect.
  command.session = {.client = ClientId(kFirstClient + own.run.number), .sequence = 1};
  command.ops.push_back({.key = key.name, .value = value});
  std::vector<GatewayRequest> requests(1);
  requests[0].deadline = Deadline(own.node);
  requests[0].call = WriteCall{.command = Bytes(kv::EncodeCommand(command))};
  cluster_->node(own.node)->gateway().Submit(
      std::move(requests),
      std::make_shared<OneAnswer>(
          Guard<GatewayAnswer>(lane, [lane](TxnLoad& load, const GatewayAnswer& answer) {
            load.loop_->Trace(static_cast<std::uint64_t>(ReasonOf(answer.status)));
            TxnRun& run = load.lanes_[lane].run;
            if (answer.status.ok()) {
              run.commit = std::get<kv::WriteResult>(answer.result).timestamp;
            } else {
              run.refused = !Perhaps(answer.status);
            }
            load.Ended(lane);
          })));
}

void TxnLoad::Commit(std::size_t lane) {
  Lane& own = lanes_[lane];
  if (!Lives(own)) {
    Ended(lane);
    return;
  }
  own.committing = true;
  const bool opens = own.transfers && !opened_;
  auto then = [lane, opens](TxnLoad& load, const StatusOr<Timestamp>& end) {
    load.loop_->Trace(static_cast<std::uint64_t>(ReasonOf(end.status())));
    TxnRun& run = load.lanes_[lane].run;
    if (end.ok()) {
      run.commit = *end;
      load.opened_ |= opens;
    } else {
      run.refused = !Perhaps(end.status());
    }
    load.Ended(lane);
  };
  own.txn->Commit(Deadline(own.node), Guard<StatusOr<Timestamp>>(lane, std::move(then)));
}

void TxnLoad::Ended(std::size_t lane) {
  Lane& own = lanes_[lane];
  // Nobody has been asked to commit it.
  if (own.txn && !own.committing) own.run.refused = true;
  history_.Note(std::move(own.run));
  own.txn = nullptr;
  own.busy = false;
  ++own.generation;
}

}  // namespace flotilla::sim
