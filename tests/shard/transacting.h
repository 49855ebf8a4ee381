// Transacting: a cluster on which a test runs transactions, step by step.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/shard/shards.h"

namespace flotilla {

class Transacting : public Shards {
 public:
  explicit Transacting(const NodeOptions& options = ByHand()) : Shards(3, options) {}

  using Txn = std::shared_ptr<Transaction>;

  template <class T>
  T Wait(const std::shared_ptr<std::optional<T>>& slot) {
    EXPECT_TRUE(world_.Await([&] { return slot->has_value(); }, std::chrono::seconds(20)));
    return std::move(slot->value());
  }
  MonoTime Soon(Duration within = std::chrono::seconds(5)) { return world_.loop().now() + within; }

  Txn Begin(int node, const TxnOptions& options = {}) {
    auto slot = std::make_shared<std::optional<StatusOr<Txn>>>();
    world_.node(node).transactions().Begin(options, Soon(),
                                           [slot](StatusOr<Txn> txn) { *slot = std::move(txn); });
    StatusOr<Txn> txn = Wait(slot);
    EXPECT_TRUE(txn.ok()) << txn.status();
    return txn.ok() ? *txn : nullptr;
  }
  Txn Begin(int node, kv::Isolation isolation) {
    return Begin(node, TxnOptions{.isolation = isolation});
  }
  std::string Get(const Txn& txn, const std::string& key) {
    using Got = StatusOr<std::vector<kv::GetResult>>;
    auto slot = std::make_shared<std::optional<Got>>();
    txn->Get(keyspace_, {key}, Soon(), [slot](Got got) { *slot = std::move(got); });
    const Got got = Wait(slot);
    if (!got.ok()) return std::string(InfoOf(ReasonOf(got.status())).name);
    return got->front().found ? got->front().value : "(none)";
  }
  std::string Scan(const Txn& txn, const std::string& start, const std::string& end) {
    auto slot = std::make_shared<std::optional<StatusOr<kv::ScanPage>>>();
    kv::ScanRequest request{.keyspace = keyspace_, .start = start, .end = end};
    std::string all;
    for (bool more = true; more;) {
      slot->reset();
      txn->Scan(request, Soon(), [slot](StatusOr<kv::ScanPage> page) { *slot = std::move(page); });
      const StatusOr<kv::ScanPage> page = Wait(slot);
      if (!page.ok()) return std::string(InfoOf(ReasonOf(page.status())).name);
      for (const kv::ScanRow& row : page->rows) all += row.key + "=" + row.value + " ";
      more = page->more;
      request.start = page->resume_key;
    }
    return all;
  }
  void Put(const Txn& txn, const std::string& key, const std::string& value) {
    const Status put = Wait(BeginWrite(txn, {.keyspace = keyspace_, .key = key, .value = value}));
    EXPECT_TRUE(put.ok()) << put;
  }
  void Delete(const Txn& txn, const std::string& key) {
    const Status erased =
        Wait(BeginWrite(txn, {.keyspace = keyspace_, .deletes = true, .key = key}));
    EXPECT_TRUE(erased.ok()) << erased;
  }
  std::shared_ptr<std::optional<Status>> BeginWrite(const Txn& txn, TxnMutation mutation) {
    auto slot = std::make_shared<std::optional<Status>>();
    txn->Write({std::move(mutation)}, Soon(), [slot](Status status) { *slot = std::move(status); });
    return slot;
  }
  std::shared_ptr<std::optional<StatusOr<Timestamp>>> BeginCommit(const Txn& txn) {
    auto slot = std::make_shared<std::optional<StatusOr<Timestamp>>>();
    txn->Commit(Soon(), [slot](StatusOr<Timestamp> end) { *slot = std::move(end); });
    return slot;
  }
  StatusOr<Timestamp> Commit(const Txn& txn) { return Wait(BeginCommit(txn)); }
  std::string CommitReason(const Txn& txn) {
    const StatusOr<Timestamp> end = Commit(txn);
    return end.ok() ? "OK" : std::string(InfoOf(ReasonOf(end.status())).name);
  }
  std::string Read(const std::string& key, int node = 0) {
    return NodeWorld::ValueOf(Ask(node, GetCall{.keyspace = keyspace_, .key = key}));
  }
  void PutPlain(const std::string& key, const std::string& value) {
    const GatewayAnswer put =
        world_.Wait(world_.Begin(0, Puts(keyspace_, {{key, value}}), std::chrono::seconds(15)));
    EXPECT_TRUE(put.status.ok()) << put.status;
  }
  // Keys up to "m" lie in one group, the others in another.
  void MakeTwoShards() { keyspace_ = Make({.name = "t", .split_keys = {"m"}}); }

  kv::KeyspaceId keyspace_ = kv::kDefaultKeyspace;
};

}  // namespace flotilla
