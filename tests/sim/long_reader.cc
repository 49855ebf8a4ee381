#include "tests/sim/long_reader.h"

#include <fmt/format.h>

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kAct = 54;
constexpr Duration kLasts = std::chrono::seconds(12);
constexpr Duration kBetween = std::chrono::milliseconds(400);
constexpr Duration kWithin = std::chrono::seconds(4);
constexpr int kKeys = 8;

std::vector<std::string> Keys() {
  std::vector<std::string> keys;
  for (int key = 0; key < kKeys; ++key) keys.push_back(fmt::format("key{}", key));
  for (int key = 0; key < kKeys; ++key) keys.push_back(fmt::format("txn{}", key));
  return keys;
}

}  // namespace

template <class Answer, class Do>
auto LongReader::WhileAlive(Do then) {
  return [weak = std::weak_ptr(self_), then = std::move(then)](Answer answer) mutable {
    if (const auto self = weak.lock()) then(**self, std::move(answer));
  };
}

void LongReader::After(Duration pause, void (LongReader::*then)()) {
  loop_->At(loop_->now() + pause, kNoProcess, kAct, [weak = std::weak_ptr(self_), then] {
    if (const auto self = weak.lock()) ((*self)->*then)();
  });
}

MonoTime LongReader::Deadline() const { return cluster_->process(node_)->Now() + kWithin; }

void LongReader::Start() { Begin(); }

void LongReader::Begin() {
  txn_ = nullptr;
  first_ = nullptr;
  node_ = 0;
  while (node_ + 1 < cluster_->size() && !cluster_->running(node_)) ++node_;
  if (!cluster_->running(node_) || !cluster_->node(node_)->Ready()) {
    After(kBetween, &LongReader::Begin);
    return;
  }
  life_ = cluster_->life(node_);
  cluster_->node(node_)->transactions().Begin(
      {.read_only = true, .timeout = std::chrono::minutes(9)}, Deadline(),
      WhileAlive<StatusOr<std::shared_ptr<Transaction>>>(
          [](LongReader& reader, StatusOr<std::shared_ptr<Transaction>> txn) {
            if (txn.ok()) {
              reader.txn_ = *std::move(txn);
              reader.begun_ = reader.loop_->now();
              reader.Look();
            } else {
              reader.After(kBetween, &LongReader::Begin);
            }
          }));
}

void LongReader::Look() {
  if (!Lives()) {
    Begin();
    return;
  }
  if (loop_->now() - begun_ >= kLasts) {
    txn_ = nullptr;
    done_ = true;
    return;
  }
  Read(0, std::make_shared<Rows>());
}

void LongReader::Read(std::size_t keyspace, const std::shared_ptr<Rows>& rows) {
  const auto id = cluster_->node(node_)->gateway().FindKeyspace(keyspaces_[keyspace]);
  if (!id) {
    After(kBetween, &LongReader::Look);
    return;
  }
  txn_->Get(
      *id, Keys(), Deadline(),
      WhileAlive<StatusOr<std::vector<kv::GetResult>>>(
          [keyspace, rows](LongReader& reader, const StatusOr<std::vector<kv::GetResult>>& got) {
            reader.OnRead(keyspace, rows, got);
          }));
}

void LongReader::OnRead(std::size_t keyspace, const std::shared_ptr<Rows>& rows,
                        const StatusOr<std::vector<kv::GetResult>>& got) {
  const Reason reason = ReasonOf(got.status());
  loop_->Trace(static_cast<std::uint64_t>(reason));
  if (reason == Reason::kTxnAborted || reason == Reason::kTimestampTooOld) {
    failure_ = fmt::format("a transaction that had read for {:.1f} s was refused: {}",
                           std::chrono::duration<double>(loop_->now() - begun_).count(),
                           MessageOf(got.status()));
    return;
  }
  if (!got.ok() || !Lives()) {
    After(kBetween, &LongReader::Look);
    return;
  }
  const std::vector<std::string> keys = Keys();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    (*rows)[keyspaces_[keyspace] + "/" + keys[i]] =
        (*got)[i].found ? (*got)[i].version : Timestamp();
  }
  if (keyspace + 1 < keyspaces_.size()) {
    Read(keyspace + 1, rows);
    return;
  }
  Judge(*rows);
  if (failure_.empty()) After(kBetween, &LongReader::Look);
}

void LongReader::Judge(const Rows& rows) {
  ++looks_;
  if (!first_) first_ = std::make_shared<const Rows>(rows);
  for (const auto& [key, version] : rows) {
    const Timestamp before = first_->at(key);
    if (version == before) continue;
    failure_ = fmt::format("a transaction that reads as of {} found version {} of {}, and then {}",
                           txn_->start().value(), before.value(), key, version.value());
    return;
  }
}

}  // namespace flotilla::sim
