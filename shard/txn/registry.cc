#include "shard/txn/registry.h"

#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "base/gathering_strand.h"
#include "shard/answers.h"

namespace flotilla {
namespace {

constexpr std::size_t kLanes = 2;
constexpr std::uint64_t kBegunTogether = 256;
// Longer than any commit of it would be accepted.
constexpr Duration kTimeoutMax = std::chrono::minutes(10);

Status Check(const TxnOptions& options) {
  if (options.read_timestamp && !options.read_only) {
    return Error(Reason::kBadRequest,
                 "a transaction that writes reads as of its beginning: only a read-only one can "
                 "name a timestamp");
  }
  if (options.read_only && options.locking == Locking::kPessimistic) {
    return Error(Reason::kBadRequest,
                 "a read-only transaction locks nothing: begin it as an optimistic one");
  }
  if (options.timeout <= Duration(0) || options.timeout > kTimeoutMax) {
    return Error(Reason::kBadRequest, "a transaction's timeout is from 1 ms to 10 minutes");
  }
  return absl::OkStatus();
}

}  // namespace

TxnRegistry::TxnRegistry(World world)
    : world_(std::move(world)), calls_(world_.calls), lanes_(kLanes) {
  lane_worlds_.resize(kLanes);
  for (std::size_t i = 0; i < kLanes; ++i) {
    Lane& lane = lanes_[i];
    lane.strand = std::make_unique<GatheringStrand>(world_.executor->NewStrand("transactions"));
    lane.scope = std::make_unique<TaskScope>(lane.strand.get());
    lane.coordinator = std::make_unique<Coordinator>(&calls_, lane.scope.get());
    lane.writes =
        std::make_unique<SpanningWrite>(&calls_, lane.coordinator.get(), world_.timestamp);
    TransactionImpl::World& mine = lane_worlds_[i];
    mine.gateway = world_.calls.gateway;
    mine.clock = world_.clock;
    mine.timestamp = world_.timestamp;
    mine.directory = world_.calls.directory;
    mine.self = world_.self;
    mine.spawn = [this, &lane](UniqueFunction<Task<>(Coordinator&)> begin) {
      if (stopping_.load()) return false;
      // Not dispatched: it may be called with locks held that its end would want.
      lane.strand->Post([&lane, begin = std::move(begin)]() mutable {
        lane.scope->Spawn(begin(*lane.coordinator));
      });
      return true;
    };
  }
  settler_ = std::make_unique<Settler>(Settler::World{.calls = &calls_,
                                                      .scope = lanes_.front().scope.get(),
                                                      .held = world_.held,
                                                      .lingers = world_.lingers,
                                                      .hurry = world_.hurry});
}

void TxnRegistry::Hurry(kv::TxnId txn) {
  for (const Lane& lane : lanes_) {
    lane.strand->Post([&lane, txn] {
      if (!lane.scope->stopping()) lane.coordinator->finisher().Hurry(txn);
    });
  }
}

TxnRegistry::~TxnRegistry() {
  std::lock_guard lock(open_->mutex);
  open_->closed = true;
}

Status TxnRegistry::Refusal() const {
  if (stopping_.load()) return StoppingError();
  std::lock_guard lock(open_->mutex);
  if (open_->by_id.size() < world_.open_max) return absl::OkStatus();
  return Error(Reason::kOverloaded, "the node has too many transactions open: try again");
}

void TxnRegistry::Begin(const TxnOptions& options, MonoTime deadline,
                        UniqueFunction<void(StatusOr<std::shared_ptr<Transaction>>)> done) {
  const Status bad = Check(options);
  const Status refused = bad.ok() ? Refusal() : bad;
  if (!refused.ok()) {
    done(refused);
    return;
  }
  world_.timestamp(
      deadline, [this, options, done = std::move(done)](const StatusOr<Timestamp>& start) mutable {
        // Others may have begun meanwhile.
        const Status refusal = start.ok() ? Refusal() : start.status();
        if (refusal.ok()) {
          Add(options, *start, std::move(done));
        } else {
          done(refusal);
        }
      });
}

void TxnRegistry::Add(const TxnOptions& options, Timestamp start,
                      UniqueFunction<void(StatusOr<std::shared_ptr<Transaction>>)> done) {
  // Those that have begun together go on together.
  const std::size_t lane = start.value() / kBegunTogether % kLanes;
  auto txn = std::make_shared<TransactionImpl>(&lane_worlds_[lane], open_, options, start);
  {
    std::lock_guard lock(open_->mutex);
    open_->by_id.emplace(txn->id(), txn);
  }
  done(std::shared_ptr<Transaction>(std::move(txn)));
}

std::vector<std::shared_ptr<TransactionImpl>> TxnRegistry::Open() const {
  std::vector<std::shared_ptr<TransactionImpl>> open;
  std::lock_guard lock(open_->mutex);
  for (const auto& [id, weak] : open_->by_id) {
    if (auto txn = weak.lock()) open.push_back(std::move(txn));
  }
  return open;
}

std::vector<TransactionInfo> TxnRegistry::List() const {
  std::vector<TransactionInfo> infos;
  for (const auto& txn : Open()) {
    if (!txn->ended()) infos.push_back(txn->Info());
  }
  return infos;
}

std::optional<OldestReader> TxnRegistry::FindOldestReader(Duration age_min) const {
  std::optional<OldestReader> oldest;
  const MonoTime begun_by = world_.clock->Now() - age_min;
  for (const auto& txn : Open()) {
    const std::optional<Timestamp> reads_at =
        txn->begun() <= begun_by ? txn->reads_at() : std::nullopt;
    if (!reads_at || (oldest && oldest->reads_at <= *reads_at)) continue;
    oldest = OldestReader{.reads_at = *reads_at, .txn = txn->id(), .node = {}};
  }
  return oldest;
}

Status TxnRegistry::Abort(kv::TxnId id) {
  std::shared_ptr<TransactionImpl> txn;
  {
    std::lock_guard lock(open_->mutex);
    const auto found = open_->by_id.find(id);
    if (found != open_->by_id.end()) txn = found->second.lock();
  }
  if (txn != nullptr &&
      txn->Abort(Error(Reason::kTxnAborted, "the transaction was rolled back on request"))) {
    return absl::OkStatus();
  }
  return Error(Reason::kTxnNotFound,
               fmt::format("no transaction {} is open on this node: it has ended, is being "
                           "committed, or another node coordinates it",
                           id.value()));
}

namespace {

Task<> Answer(SpanningWrite* writes, Bytes command, MonoTime deadline,
              UniqueFunction<void(GatewayAnswer)> done) {
  GatewayAnswer answer = co_await writes->Run(std::move(command), deadline);
  done(std::move(answer));
}

}  // namespace

void TxnRegistry::Write(Bytes command, MonoTime deadline,
                        UniqueFunction<void(GatewayAnswer)> done) {
  Lane& lane = lanes_[next_write_++ % kLanes];
  lane.strand->Post(
      [this, &lane, command = std::move(command), deadline, done = std::move(done)]() mutable {
        if (stopping_.load()) {
          GatewayAnswer answer;
          answer.status = StoppingError();
          done(std::move(answer));
          return;
        }
        lane.scope->Spawn(Answer(lane.writes.get(), std::move(command), deadline, std::move(done)));
      });
}

std::vector<kv::TxnId> TxnRegistry::OpenOf(const std::vector<kv::TxnId>& txns) const {
  std::vector<kv::TxnId> found;
  for (const kv::TxnId id : txns) {
    std::shared_ptr<TransactionImpl> txn;
    {
      std::lock_guard lock(open_->mutex);
      const auto known = open_->by_id.find(id);
      if (known != open_->by_id.end()) txn = known->second.lock();
    }
    if (txn != nullptr && !txn->ended()) found.push_back(id);
  }
  return found;
}

void TxnRegistry::Expire() {
  const MonoTime now = world_.clock->Now();
  for (const auto& txn : Open()) {
    if (txn->expires() > now) continue;
    txn->Abort(Error(Reason::kTxnAborted,
                     "the transaction's timeout has passed, and it was rolled back: begin it "
                     "anew, with more time"));
  }
}

void TxnRegistry::Stop(Closure done) {
  stopping_.store(true);
  struct Stopping {
    std::atomic<std::size_t> open{kLanes};
    Closure done;
  };
  auto stopping = std::make_shared<Stopping>();
  stopping->done = std::move(done);
  for (Lane& lane : lanes_) {
    lane.strand->Post([&lane, stopping] {
      lane.scope->Stop([stopping] {
        if (--stopping->open == 0) stopping->done();
      });
    });
  }
}

}  // namespace flotilla
