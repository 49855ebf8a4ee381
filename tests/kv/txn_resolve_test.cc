// What a transaction leaves is resolved: step by step, and behind the back of readers.

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

TEST(TxnResolve, ManyLocksAreResolvedInSteps) {
  Machine machine;
  const TxnId txn = machine.Begin();
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < 2 * kTxnResolveMax + 500; ++i) {
    keys.push_back(Encoded("k" + std::to_string(10'000 + i)));
  }
  const std::string& anchor = keys.front();
  const auto step = [&](decltype(TxnCommand::step) one) {
    return machine.Step(kParent, {{.key = anchor, .txn = txn, .step = std::move(one)}}).front();
  };
  TxnPrepare prepare{.anchor = anchor, .valid_until_ms = 1'000'000'000'000};
  for (const std::string& key : keys) prepare.writes.push_back({.key = key, .value = "1"});
  prepare.parts = {{.first = anchor, .last = keys.back()}};
  const Timestamp commit = step(std::move(prepare)).timestamp;
  ASSERT_EQ(step(TxnDecide{.commit = commit, .valid_until_ms = 1}).timestamp, commit);
  std::uint64_t resolved = 0;
  int steps = 0;
  for (bool more = true; more; ++steps) {
    const WriteResult result = step(TxnResolve{.commit = commit, .last = keys.back()});
    resolved += result.affected;
    more = result.obstacle != nullptr;
  }
  EXPECT_EQ(resolved, keys.size());
  EXPECT_EQ(steps, 3);
  EXPECT_TRUE(machine.store().locks().empty());
}

// Whoever is told of a commit finds it, wherever its resolution is by then.
TEST(TxnResolve, ReadsOfWhatIsNotCommittedMissNothingThatIs) {
  Machine machine;
  machine.Write({.key = "k", .value = "0"});
  Store& store = machine.store();
  std::atomic<int> told{0};
  std::atomic<bool> ended{false};
  int stale = 0;
  std::thread reader([&] {
    while (!ended) {
      const int before = told;
      const auto got = store.ProvisionalGet(kDefaultKeyspace, {"k"});
      if (std::stoi(got->front().value) < before) ++stale;
      const int then = told;
      const auto page = store.ProvisionalScan({.start = "k"});
      if (std::stoi(page->rows.front().value) < then) ++stale;
    }
  });
  const std::string key = Encoded("k");
  for (int i = 1; i <= 10'000; ++i) {
    const TxnId txn = machine.Begin();
    const auto step = [&](decltype(TxnCommand::step) one) {
      return machine.Step(kParent, {{.key = key, .txn = txn, .step = std::move(one)}}).front();
    };
    const std::string value = std::to_string(i);
    TxnPrepare prepare{.anchor = key, .valid_until_ms = 1'000'000'000'000};
    prepare.writes.push_back({.key = key, .value = value});
    prepare.parts = {{.first = key, .last = key}};
    const Timestamp commit = step(std::move(prepare)).timestamp;
    told = i;
    step(TxnDecide{.commit = commit, .valid_until_ms = 1});
    step(TxnResolve{.commit = commit, .last = key});
  }
  ended = true;
  reader.join();
  EXPECT_EQ(stale, 0);
}

}  // namespace
}  // namespace flotilla::kv
